"""The speed of a front that grows from a small seed, and what a coarse grid makes of it."""

import jax.numpy as jnp
import numpy as np
import pytest

from physics import LogisticLogKill
from solvers import Diffusion, ExactFlow, RungeKuttaChebyshev2, Strang, VoxelGrid, simulate, time_mesh
from tests.problems import number, slope


def front_positions(h: float, order: int, length: float, step: float, stages: int, times: np.ndarray) -> np.ndarray:
    """Where the density is one half, with D = rho = 1."""
    cells = int(length / h)
    grid = VoxelGrid(np.ones((cells, 1, 1), bool), (h, 1.0, 1.0))
    x = (np.arange(cells) + 0.5) * h
    stepper = Strang(ExactFlow(LogisticLogKill(number(1.0))), RungeKuttaChebyshev2(Diffusion(grid, 1.0, interior_order=order), stages))
    solution = simulate(stepper, jnp.asarray(np.where(x < 2, 1.0, 0.0)), time_mesh(0.0, times.tolist(), step))
    solution.raise_for_status()
    positions = []
    for state in np.asarray(solution.states):
        ahead = np.flatnonzero(state < 0.5)[0]
        positions.append(np.interp(-0.5, -state[ahead - 1 : ahead + 1], x[ahead - 1 : ahead + 1]))
    return np.array(positions)


@pytest.mark.slow
def test_speed_of_a_pulled_front():
    r"""$v(t) = 2 - \tfrac{3}{2t} + \tfrac{3\sqrt\pi}{2}t^{-3/2} + O(t^{-2}\log t)$.

    Bramson (1983), Mem. Am. Math. Soc. 44; third term Ebert and van Saarloos (2000), Physica D 146:1. What is left must fall faster
    than the last of these terms, so every one of them is there.
    """
    starts = np.array([20.0, 40.0, 60.0, 80.0])
    times = np.sort(np.concatenate([starts, starts + 2]))
    speeds = np.diff(front_positions(0.25, 4, 220.0, 0.025, 3, times))[::2] / 2

    def position(time):
        return 2 * time - 1.5 * np.log(time) - 3 * np.sqrt(np.pi) * time**-0.5

    predicted = (position(starts + 2) - position(starts)) / 2
    assert np.all(np.diff(speeds) > 0) and speeds[-1] < 2
    assert speeds[-1] == pytest.approx(predicted[-1], rel=2e-3)
    assert slope(1 / (starts + 1), np.abs(speeds - predicted)) > 1.7


@pytest.mark.slow
def test_a_voxel_as_wide_as_the_front_is_one_per_cent_off_at_order_four_and_four_at_order_two():
    """What ``tissue_diffusion`` states, for voxels as wide as the front."""
    times = np.array([30.0, 50.0])
    fine, two, four = (
        np.ptp(front_positions(h, order, 140.0, 0.05, stages, times)) for h, order, stages in ((0.25, 4, 3), (1.0, 2, 2), (1.0, 4, 2))
    )
    assert abs(four / fine - 1) < 0.015
    assert 0.025 < abs(two / fine - 1) < 0.055
