"""The splitting of cells and conduction in two media is of second order in time, against a much finer run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import CELL_MODELS, Bidomain, conductor_tensor, fibre_tensor
from solvers import VoxelGrid
from tests.problems import number, quick_jit, slope

SPAN = 1.0


def test_order_in_time():
    mask = np.ones((8, 3, 2), bool)
    mask[..., 1] = False
    tissue, conductor = VoxelGrid(mask, 0.2), VoxelGrid(np.ones_like(mask), 0.2)
    fibres = (np.cos(0.4), np.sin(0.4), 0.0)
    outside = conductor_tensor(tissue, conductor, fibre_tensor(conductor, 0.443, 0.171, fibres), 0.7)
    cell = CELL_MODELS["aliev_panfilov"]()
    equation = Bidomain(tissue, conductor, cell, fibre_tensor(tissue, 0.121, 0.0136, fibres), outside, tolerance=1e-12)
    x = np.broadcast_to(np.asarray(tissue.centres()[0])[:, None, None], tissue.shape)
    start = equation.initial_state().at[0].set(tissue.cells(jnp.asarray(0.6 / (1 + np.exp((x - 0.8) / 0.15)) + 0.2)))
    stepper = equation.stepper()

    @quick_jit
    def final(count, length):
        return jax.lax.fori_loop(0, count, lambda i, u: stepper.advance(u, i * length, length), start)

    exact, counts = final(640, number(SPAN / 640))[:-1], (10, 20, 40, 80)
    errors = [float(jnp.abs(final(count, number(SPAN / count))[:-1] - exact).max()) for count in counts]
    assert slope([SPAN / count for count in counts], errors) == pytest.approx(2, abs=0.2), errors
