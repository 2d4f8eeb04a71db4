"""The project's equations as residuals: rates out of steppers, Jacobians of fields on masks, residuals that stiffness does not weigh."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import CellPopulations, ProliferationInvasion, TargetMediatedDisposition
from solvers import Affine, Diffusion, VoxelGrid, solve_elliptic
from twinsim.errors import InputError
from twinsim.informed import (
    FieldRows,
    InformedProblem,
    SmoothPerceptron,
    Stage,
    fit,
    implicit_residual,
    rate_of,
    split,
    sum_of_squares,
)  # fmt: skip

MASK = np.ones((5, 4, 1), bool)
MASK[2, 1:3], MASK[0, 0] = False, False
GRID = VoxelGrid(MASK, (0.5, 0.5, 0.5))
COEFFICIENT = np.random.default_rng(0).uniform(0.5, 2.0, MASK.shape)
TUMOUR = ProliferationInvasion(Diffusion(GRID, COEFFICIENT, 0.3), jnp.asarray(0.2))


def field(seed: int = 0) -> jax.Array:
    return GRID.cells(jax.random.uniform(jax.random.key(seed), MASK.shape))


def test_the_rate_of_an_equation_is_found_in_its_stepper_exactly():
    u = field()
    expected = TUMOUR.diffusion.apply(u) + 0.2 * u * (1 - u)
    np.testing.assert_allclose(jax.jit(rate_of(TUMOUR))(u, 1.0), expected, atol=1e-12)
    np.testing.assert_allclose(rate_of(TUMOUR.diffusion)(u, 0.0), TUMOUR.diffusion.apply(u), atol=1e-14)
    np.testing.assert_allclose(rate_of(Affine(TUMOUR.diffusion, u))(u, jnp.zeros(())), TUMOUR.diffusion.apply(u) + u, atol=1e-14)
    drug = TargetMediatedDisposition.peletier2012()
    state = jnp.array([40.0, 3.0, 7.0])
    np.testing.assert_allclose(rate_of(drug)(state, 0.0), drug.rate(state), rtol=1e-12)
    types = CellPopulations.lotka_volterra(jnp.array([0.3, -0.2]), jnp.array([[-0.1, -0.4], [0.2, -0.3]]))
    logs = jnp.array([0.1, -0.7])
    np.testing.assert_allclose(rate_of(types)(logs, 0.0), types.log_rate(logs), rtol=1e-12)


class Density(eqx.Module):
    """exp N, which is above zero."""

    network: SmoothPerceptron

    def both(self, point):
        """Value and time derivative at (x, y, z, t)."""
        inner = self.network.jet(point, ())
        value = jnp.exp(inner.value[0])
        return jnp.stack([value, value * inner.slope(3)[0]])

    def __call__(self, point):
        return jnp.exp(self.network(jnp.append(point, 0.0))[0])


def density(seed: int = 0, widths: tuple[int, ...] = (3,)) -> Density:
    return Density(SmoothPerceptron((0.0,) * 3 + (-1.0,), (2.0, 1.5, 1.0, 1.0), widths, key=jax.random.key(seed)))


def both(model, point):
    return model.both(point)


def value(model, point):
    return model(point)


BLOCKS = {
    "at rest": lambda: FieldRows(value, Affine(TUMOUR.diffusion, field(1)), GRID, weight=2.0),
    "in time": lambda: FieldRows(both, TUMOUR, GRID, jnp.array([0.2, 0.7]), weight=2.0),
}


@pytest.mark.parametrize("name", ["at rest", pytest.param("in time", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_rows_of_a_field_are_the_semi_discrete_equation_with_its_jacobian(name):
    rows, model = BLOCKS[name](), density()
    vector, restore = split(model)
    found, jacobian = jax.jit(lambda at: rows.linearised(at, restore))(vector)
    residuals = jax.jit(lambda at: rows.residuals(restore(at)))
    np.testing.assert_allclose(found, residuals(vector), atol=1e-13)
    direction, step = jax.random.normal(jax.random.key(1), vector.shape), 1e-5
    difference = (residuals(vector + step * direction) - residuals(vector - step * direction)) / (2 * step)
    np.testing.assert_allclose(jacobian @ direction, difference, atol=1e-6 * np.abs(difference).max())
    slope = jax.jit(jax.grad(lambda at: sum_of_squares((rows,), restore(at))))(vector)
    np.testing.assert_allclose(slope, found @ jacobian, atol=1e-10 * np.abs(slope).max())
    if name == "in time":
        at = jax.vmap(model.both)(rows.points[1])
        u = jnp.zeros(MASK.size).at[rows.active].set(at[:, 0])
        rate = (TUMOUR.diffusion.apply(u) + 0.2 * u * (1 - u))[rows.active]
        np.testing.assert_allclose(found[len(at) :], 2 * (at[:, 1] - rate) / (2 * len(at)) ** 0.5, atol=1e-12)


@pytest.mark.slow
def test_a_field_on_a_mask_with_a_slit_comes_to_the_elliptic_solution():
    operator = Diffusion(GRID, COEFFICIENT, loss=np.ones(MASK.size))
    source = field(2)
    rows = FieldRows(value, Affine(operator, source), GRID)
    exact = np.asarray(solve_elliptic(operator, source, tolerance=1e-12).field)[np.asarray(rows.active)]
    answer = jax.jit(lambda model: jax.vmap(model)(rows.points[0]))
    found = fit(InformedProblem(known=(rows,)), density(1, (12,)), (Stage(1, 4, 40),))
    assert found.losses[-1] < 1e-4 * found.losses[0]
    assert np.linalg.norm(answer(found.model) - exact) < 2e-2 * np.linalg.norm(exact)


def test_a_problem_without_rows_is_refused():
    with pytest.raises(InputError, match="without rows"):
        fit(InformedProblem(), density(), (Stage(1, 1, 1),))


def test_a_fast_component_counts_by_its_error_and_a_slow_one_by_its_rate():
    def rate(state, time):
        return jnp.stack([-1e6 * (state[0] - state[1]), -0.01 * state[1]])

    state, still, span = jnp.array([1.0 + 1e-3, 1.0]), jnp.zeros(2), jnp.asarray(10.0)
    plain = still - rate(state, 0.0)
    found = jax.jit(lambda u: implicit_residual(rate, u, still, jnp.zeros(()), span))(state)
    assert abs(plain[0]) > 900
    # The slow component would fall by 0.1 / (1 + 0.1), and the fast one follows it.
    np.testing.assert_allclose(found, [1e-3 + 0.1 / 1.1, 0.1 / 1.1], rtol=1e-4)
