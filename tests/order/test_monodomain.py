"""Strang's splitting of cells and diffusion is of second order in time, Godunov's of first, against a much finer run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import CELL_MODELS, Monodomain, fibre_tensor, niederer_diffusivities
from solvers import TensorDiffusion, VoxelGrid
from tests.problems import number, quick_jit, slope

SPAN = 2.0
GRID = VoxelGrid(np.ones((8, 3, 1), bool), (0.2, 0.2, 1.0))


@pytest.mark.parametrize(("splitting", "order"), [("stepper", 2), ("godunov", 1)])
@pytest.mark.quick(1)
def test_order_in_time(splitting, order):
    cell = CELL_MODELS["aliev_panfilov"]()
    along, across = niederer_diffusivities()
    equation = Monodomain(cell, TensorDiffusion(GRID, fibre_tensor(GRID, along, across, (np.cos(0.4), np.sin(0.4), 0.0))))
    x = np.broadcast_to(np.asarray(GRID.centres()[0])[:, None, None], GRID.shape)
    start = equation.initial_state(GRID).at[0].set(jnp.asarray(0.6 / (1 + np.exp((x - 0.8) / 0.15)) + 0.2).reshape(-1))

    def final(name, count):
        stepper, length = getattr(equation, name)(), number(SPAN / count)
        return quick_jit(lambda u: jax.lax.fori_loop(0, count, lambda i, v: stepper.advance(v, i * length, length), u))(start)

    exact, counts = final("stepper", 2560), (20, 40, 80, 160)
    errors = [float(jnp.abs(final(splitting, count) - exact).max()) for count in counts]
    assert slope([SPAN / count for count in counts], errors) == pytest.approx(order, abs=0.2), errors
