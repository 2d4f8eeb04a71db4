"""What holds for a corrected coarse grid whatever its closure says."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import (
    FACE_INPUTS,
    FACE_OUTPUTS,
    GROWTH_INPUTS,
    GROWTH_OUTPUTS,
    AnalyticClosure,
    CorrectedDiffusion,
    CorrectedInvasion,
    Variable,
)
from solvers import Diffusion, VoxelGrid
from tests.problems import noise, number, slitted_mask
from twinsim.closures import PerceptronClosure, network_parameters

SHAPE = (6, 6, 6)


def loud(inputs, outputs, seed=0):
    """A network with large weights, as no training leaves it."""
    closure = PerceptronClosure.create(seed, inputs, outputs, hidden=(8, 8))
    arrays, rest = eqx.partition(closure, network_parameters(closure))
    leaves, structure = jax.tree.flatten(arrays)
    leaves = [leaf + noise(leaf.shape, 11 + number, -2, 2) for number, leaf in enumerate(leaves)]
    return eqx.combine(jax.tree.unflatten(structure, leaves), rest)


def corrected(mask, pattern, spacing=(1.0, 1.0, 1.0), stages=6):
    grid = VoxelGrid(mask, spacing)
    diffusion = Diffusion(grid, pattern, 0.3)
    return CorrectedDiffusion(diffusion, grid.cells(jnp.asarray(pattern)), loud(FACE_INPUTS, FACE_OUTPUTS), number(4.0), stages)


@pytest.fixture(scope="module")
def scheme():
    return corrected(slitted_mask(SHAPE), noise(SHAPE, 2) + 0.1)


def test_the_sum_is_kept_to_round_off_on_any_mask(scheme):
    field = jnp.where(jnp.asarray(slitted_mask(SHAPE)), noise(SHAPE, 5), 0).reshape(-1)
    after = scheme.advance(field, number(0.0), number(1.0))
    assert np.abs(after - field).max() > 0.01
    assert float(after.sum()) == pytest.approx(float(field.sum()), rel=1e-14)
    assert not np.asarray(after)[~slitted_mask(SHAPE).reshape(-1)].any()


def test_multipliers_are_bounded_and_the_operator_is_symmetric_and_dissipative(scheme):
    field = noise(SHAPE, 5).reshape(-1)
    multipliers = np.asarray(scheme.multipliers(field, number(1.0)))
    assert multipliers.min() > 1 / 4 and multipliers.max() < 4
    assert multipliers.max() / multipliers.min() > 3  # the network does say something
    operator = scheme.corrected(field, number(1.0))
    matrix = np.asarray(jax.vmap(operator.apply)(jnp.eye(field.size)))
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-15)
    assert np.linalg.eigvalsh(matrix).max() < 1e-13
    assert (matrix - np.diag(np.diag(matrix))).min() >= 0  # an M-matrix: what is cooler than its neighbours warms


def test_a_flat_field_stays_flat(scheme):
    field = jnp.where(jnp.asarray(slitted_mask(SHAPE)), 0.7, 0.0).reshape(-1)
    np.testing.assert_allclose(scheme.advance(field, number(0.0), number(1.0)), field, atol=1e-15)


@pytest.mark.parametrize("move", ["mirror", "turn", "exchange"])
def test_turned_and_mirrored_grids_give_turned_and_mirrored_answers(move):
    moved = {
        "mirror": lambda a: np.flip(a, 0),
        "turn": lambda a: np.rot90(a, 1, (0, 1)),
        "exchange": lambda a: np.transpose(a, (2, 0, 1)),
    }[move]
    mask, pattern, field = np.asarray(slitted_mask(SHAPE)), np.asarray(noise(SHAPE, 2)) + 0.1, np.asarray(noise(SHAPE, 5))
    field = np.where(mask, field, 0)

    def after(mask, pattern, field):
        fluxes = corrected(mask, pattern)
        equation = CorrectedInvasion(fluxes, loud(GROWTH_INPUTS, GROWTH_OUTPUTS, 1))
        both = [s.advance(jnp.asarray(field.reshape(-1)), number(0.0), number(1.0)) for s in (fluxes, equation.stepper())]
        return [np.asarray(one).reshape(mask.shape) for one in both]

    for one, other in zip(after(moved(mask), moved(pattern), moved(field)), after(mask, pattern, field)):
        np.testing.assert_allclose(one, moved(other), rtol=1e-12, atol=1e-14)


def test_growth_keeps_nothing_and_everything_where_they_are():
    fluxes = corrected(np.ones(SHAPE, bool), np.ones(SHAPE))
    stepper = CorrectedInvasion(fluxes, loud(GROWTH_INPUTS, GROWTH_OUTPUTS, 1)).stepper()
    for value in (0.0, 1.0):
        field = jnp.full(fluxes.coefficient.shape, value)
        np.testing.assert_allclose(stepper.advance(field, number(0.0), number(1.0)), field, atol=1e-14)
    assert stepper.stable(number(0.5)) and not stepper.stable(number(50.0))
    q = stepper.growth_multipliers(noise(SHAPE, 5).reshape(-1), number(1.0))
    assert 1 / 4 < q.min() < 0.9 or 1.1 < q.max() < 4


def test_what_does_not_fit_is_refused():
    grid = VoxelGrid(np.ones((4, 4, 1), bool), 1.0)
    closure, ones = loud(FACE_INPUTS, FACE_OUTPUTS), jnp.ones(16)
    plain = Diffusion(grid, 1.0)
    wrong = AnalyticClosure(lambda _, x: x[:1], (), FACE_INPUTS[::-1], (Variable("log_multiplier", "1"),))
    for given, words in (
        ((Diffusion(grid, 1.0, interior_order=4), ones, closure, number(1.0)), "interior order 4"),
        ((plain, ones, wrong, number(1.0)), "takes step_number"),
        ((plain, ones, closure, number(-1.0)), "reaction time"),
    ):
        with pytest.raises(ValueError, match=words):
            CorrectedDiffusion(*given)
    with pytest.raises(ValueError, match="largest multiplier"):
        CorrectedDiffusion(plain, ones, closure, number(1.0), largest=0.5)
    with pytest.raises(ValueError, match="takes steepness"):
        CorrectedInvasion(CorrectedDiffusion(plain, ones, closure, number(1.0)), closure)
