"""Order two in time: against the matrix exponential, and with events between the steps of the grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from solvers import Diffusion, ExactFlow, Flow, Operator, RungeKuttaChebyshev2, Strang, VoxelGrid, stability_limit, time_mesh
from tests.problems import GliomaProblem, matrix, noise, number, quick_jit, reference_parameters, slitted_mask, slope


class Decay(Operator):
    """A diagonal operator: every cell decays at its own rate."""

    rates: jax.Array

    def apply(self, field):
        return -self.rates * field

    def spectral_bound(self):
        return jnp.max(self.rates)


def amplification(stages: int, reach: np.ndarray) -> np.ndarray:
    """The method's stability polynomial at h lambda = -reach."""
    stepper = RungeKuttaChebyshev2(Decay(jnp.asarray(reach)), stages)
    return np.asarray(stepper.advance(jnp.ones(reach.size), number(0.0), number(1.0)))


@pytest.mark.parametrize("stages", [2, 3, 4, 5, 6])
def test_every_mode_is_damped_up_to_the_stated_limit_and_not_far_beyond(stages):
    limit = stability_limit(stages)
    inside = amplification(stages, np.linspace(0, limit, 4001))
    assert np.abs(inside).max() <= 1 + 1e-14
    assert np.abs(inside[len(inside) // 2 :]).max() < 1
    assert np.abs(amplification(stages, np.array([1.25 * limit]))).item() > 1  # the formula is an estimate from below


@pytest.mark.parametrize("stages", [2, 3, 4, 5, 6])
def test_the_stability_polynomial_is_the_exponential_to_second_order(stages):
    reach = 0.2 / 2.0 ** np.arange(5)
    assert slope(reach, np.abs(amplification(stages, reach) - np.exp(-reach))) == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize("stages", [2, 3, 4])
@pytest.mark.parametrize("interior_order", [2, 4])
@pytest.mark.quick(3)
def test_rkc_converges_to_the_matrix_exponential_at_order_two(stages, interior_order):
    grid = VoxelGrid(slitted_mask((6, 5, 5)), (1.0, 1.2, 0.9))
    operator = Diffusion(grid, noise(grid.shape, 1, 0.2, 1.0), 0.4, interior_order)
    start = grid.cells(noise(grid.shape, 2))
    span = 3.0
    exact = expm(span * matrix(operator, grid.size)) @ np.asarray(start)
    stepper = RungeKuttaChebyshev2(operator, stages)
    counts = [16, 32, 64, 128]
    assert stepper.stable(number(span / counts[0]))
    step = quick_jit(lambda *arguments: stepper.advance(*arguments))
    errors = []
    for count in counts:
        state = start
        for _ in range(count):
            state = step(state, number(0.0), number(span / count))
        errors.append(np.abs(state - exact).max())
    assert slope([span / n for n in counts], errors) == pytest.approx(2, abs=0.2)


# Fractions and doses every day or two, none of them on a multiple of any step tried.
EVENTFUL = GliomaProblem(
    shape=(6, 5, 5),
    fraction_days=(0.83, 1.91, 3.07, 4.98, 6.13),
    fraction_doses=(2.0, 1.0, 3.0, 2.0, 2.0),
    drug_days=(0.0, 2.03, 4.02, 5.61),
    drug_doses=(150.0, 200.0, 100.0, 150.0),
    save=(7.0,),
    interior_order=2,
)
FAST = reference_parameters() | {"proliferation": number(0.6), "diffusivity": number(0.5), "elimination": number(2.0)}
STEPS = (1 / 4, 1 / 8, 1 / 16, 1 / 32)


def treated(mesh) -> np.ndarray:
    solution = quick_jit(EVENTFUL.solve)(FAST, mesh)
    solution.raise_for_status()
    return np.asarray(solution.final)


@pytest.fixture(scope="module")
def nearly_exact() -> np.ndarray:
    return treated(EVENTFUL.mesh(1 / 256))


@pytest.mark.slow
def test_order_two_through_fractions_and_doses(nearly_exact):
    meshes = [EVENTFUL.mesh(step) for step in STEPS]
    errors = [np.abs(treated(mesh) - nearly_exact).max() for mesh in meshes]
    assert errors[0] > 1e-5
    assert slope([7 / mesh.steps for mesh in meshes], errors) == pytest.approx(2, abs=0.2)


@pytest.mark.slow
def test_order_is_lost_when_steps_straddle_the_doses(nearly_exact):
    meshes = [time_mesh(0.0, EVENTFUL.save, step, EVENTFUL.fraction_days) for step in STEPS]
    errors = [np.abs(treated(mesh) - nearly_exact).max() for mesh in meshes]
    assert slope([7 / mesh.steps for mesh in meshes], errors) < 1.5


def test_a_splitting_reports_the_lower_of_its_orders():
    class Nothing(Flow):
        def solve(self, state, time, length):
            return state

    diffusion = RungeKuttaChebyshev2(Decay(jnp.ones(3)), 2)
    splitting = Strang(ExactFlow(Nothing()), diffusion)
    assert (splitting.order, diffusion.order, splitting.half.order) == (2, 2, 99)
    assert bool(splitting.stable(number(1.9))) and not bool(splitting.stable(number(2.1)))
