"""One program for many members: parameters, patients, precisions, and a member that fails alone."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import gaussian_seed, tissue_diffusion
from solvers import Diffusion, RungeKuttaChebyshev2, SimulationError, Status, VoxelGrid, simulate, time_mesh
from tests.problems import GliomaProblem, as_type, noise, number, quick_jit, reference_parameters, slitted_mask

PROBLEM = GliomaProblem(
    shape=(6, 5, 5), fraction_days=(1.3, 2.3), fraction_doses=(2.0, 2.0), drug_days=(0.7,), drug_doses=(150.0,), save=(2.3, 9.0)
)
MESH = PROBLEM.mesh()


def members(factors):
    return jax.tree.map(lambda value: jnp.stack([value * factor for factor in factors]), reference_parameters())


@pytest.fixture(scope="module")
def single():
    return quick_jit(lambda parameters: PROBLEM.solve(parameters, MESH))


@pytest.fixture(scope="module")
def batch():
    return quick_jit(jax.vmap(lambda parameters: PROBLEM.solve(parameters, MESH)))


def member(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


@pytest.mark.slow
def test_a_batch_of_parameters_equals_a_loop(single, batch):
    parameters = members([0.8, 1.0, 1.1])
    together = batch(parameters)
    together.raise_for_status()
    for i in range(3):
        alone = single(member(parameters, i))
        np.testing.assert_allclose(together.states[i], alone.states, rtol=1e-12, atol=1e-16)
        np.testing.assert_allclose(together.final[i], alone.final, rtol=1e-12, atol=1e-16)


def test_a_batch_of_patients_equals_a_loop():
    """Masks of one shape, tissue and seeds of their own; grids and operators are built inside the batch."""
    shape = (6, 5, 5)
    masks = jnp.stack([slitted_mask(shape), slitted_mask(shape)[::-1], jnp.asarray(noise(shape, 3) > 0.4)])
    white = noise((3, *shape), 5)
    centres = jnp.array([[6.0, 4.0, 5.0], [4.0, 3.0, 5.0], [5.0, 5.0, 5.0]])
    template = VoxelGrid(np.ones(shape, bool), (2.0, 1.5, 2.5))

    def final(mask, white, centre):
        grid = eqx.tree_at(lambda grid: grid.mask, template, mask)
        diffusion = tissue_diffusion(grid, white, 1 - white, 0.3)
        return simulate(RungeKuttaChebyshev2(diffusion, 2), gaussian_seed(grid, centre, number(20.0)), time_mesh(0.0, [5.0], 1.0)).final

    together = quick_jit(jax.vmap(final))(masks, white, centres)
    alone = quick_jit(final)
    for i in range(3):
        np.testing.assert_allclose(together[i], alone(masks[i], white[i], centres[i]), rtol=1e-12, atol=1e-17)
        assert not np.asarray(together[i])[~np.asarray(masks[i]).reshape(-1)].any()


def test_a_mask_in_a_batch_with_a_constant_coefficient():
    """The coefficient is known and the mask is traced: nothing can be looked at, and nothing need be."""
    masks = jnp.stack([slitted_mask((4, 5, 3)), slitted_mask((4, 5, 3))[::-1]])
    template = VoxelGrid(np.ones((4, 5, 3), bool), 1.0)

    def change(mask):
        grid = eqx.tree_at(lambda grid: grid.mask, template, mask)
        return Diffusion(grid, 1.0).apply(grid.cells(noise((4, 5, 3))))

    for found, mask in zip(jax.vmap(change)(masks), masks):
        np.testing.assert_allclose(found, change(mask), atol=1e-15)


@pytest.mark.slow
def test_float32_is_close_to_float64():
    def total(parameters):
        final = PROBLEM.solve(parameters).final
        return jnp.sum(final), final

    program = quick_jit(jax.grad(total, has_aux=True))
    exact, double = program(reference_parameters())
    with jax.enable_x64(False):
        slope, half = program(as_type(reference_parameters(), jnp.float32))
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, double, rtol=0, atol=2e-6 * float(double.max()))
    for name, value in exact.items():
        np.testing.assert_allclose(slope[name], value, rtol=0, atol=1e-4 * float(jnp.abs(value).max()))


@pytest.mark.parametrize(
    ("name", "bad", "status"), [("diffusivity", 40.0, Status.UNSTABLE_STEP), ("proliferation", np.nan, Status.NOT_FINITE)]
)
def test_one_bad_member_leaves_the_others_unharmed(batch, name, bad, status):
    good = members([0.8, 1.0, 1.1])
    spoilt = good | {name: good[name].at[1].set(bad)}
    clean, mixed = batch(good), batch(spoilt)
    assert mixed.status.tolist() == [Status.SUCCESS, status, Status.SUCCESS]
    for i in (0, 2):
        np.testing.assert_array_equal(mixed.states[i], clean.states[i])
    clean.raise_for_status()
    with pytest.raises(SimulationError, match=r"^1 of 3 members failed, the first is 1: .*do: ") as caught:
        mixed.raise_for_status()
    expected = "the explicit limit of the stepper" if status == Status.UNSTABLE_STEP else status.message
    assert expected in str(caught.value)


def test_a_member_that_overflows_is_not_finite(batch):
    parameters = members([1.0, 1.0])
    parameters["burden"] = parameters["burden"].at[0].set(np.inf)
    assert batch(parameters).status.tolist() == [Status.NOT_FINITE, Status.SUCCESS]
