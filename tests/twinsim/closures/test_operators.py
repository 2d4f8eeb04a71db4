"""Neural operators: what they cannot help but do, what they learn, and that they survive a file."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from physics import Variable, check_closure
from solvers import Status
from solvers.grid import VoxelGrid
from solvers.linear.spectral_diffusion import SpectralDiffusion
from solvers.linear.transforms import basis
from twinsim.closures import CosineConvolution, CosineOperator, OperatorClosure, load_closure, save_closure, train
from twinsim.errors import InputError

INPUTS = (Variable("before", "1"),)
OUTPUTS = (Variable("after", "1"),)


def smooth(samples, voxels, seed=0):
    """A few cosines with random amplitudes."""
    amplitudes = jax.random.normal(jax.random.key(seed), (samples, 4, 4))
    modes = jnp.cos(jnp.pi * jnp.outer(jnp.arange(4), jnp.arange(voxels) + 0.5) / voxels)
    return jnp.einsum("skl,kx,ly->sxy", amplitudes, modes, modes)[:, None]


def diffused(fields, time=0.02):
    """After diffusion between walls of the unit square: exact."""
    first, second = (basis(n, "no flux")[0] for n in fields.shape[-2:])
    decay = np.exp(-time * np.pi**2 * (np.arange(fields.shape[-2])[:, None] ** 2 + np.arange(fields.shape[-1])[None, :] ** 2))
    return jnp.einsum("kx,kl,ly,km,ln,...mn->...xy", first, decay, second, first, second, fields, optimize=True)


def closure(network="cosine", **options):
    before = smooth(16, 16)
    sizes = {"channels": 8, "layers": 2, "modes": 8, "rank": 16, **options}
    return OperatorClosure.create(0, INPUTS, OUTPUTS, network=network, samples=(before, diffused(before)), **sizes)


def squares(model, data):
    before, after = data
    return jnp.mean((jnp.moveaxis(model(jnp.moveaxis(before, 1, 0)), 0, 1) - after) ** 2)


def test_a_cosine_layer_can_be_the_flow_of_diffusion_between_walls():
    layer = CosineConvolution(1, 16, jnp.zeros(()).dtype, rngs=nnx.Rngs(0))
    grid = VoxelGrid(np.ones((16, 16, 1), bool), (1 / 16, 1 / 16, 1.0))
    operator = SpectralDiffusion(grid, jnp.asarray(1.0), symbol="exact")
    field = smooth(1, 16)[0]
    rate = np.pi**2 * (np.arange(16)[:, None] ** 2 + np.arange(16)[None, :] ** 2)
    layer.weights = nnx.Param(jnp.asarray(-rate)[..., None, None])
    np.testing.assert_allclose(layer(field)[0].reshape(-1), operator.apply(field.reshape(-1)), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_a_cosine_operator_commutes_with_mirrors_and_does_not_know_the_grid():
    model = closure()
    field = smooth(2, 16, seed=3)
    mirrored = jnp.flip(model(field.swapaxes(0, 1)), -1)
    np.testing.assert_allclose(model(jnp.flip(field, -1).swapaxes(0, 1)), mirrored, atol=1e-12)
    # The same function on more voxels: point values of cosines converge with order two in the means that gelu makes of them.
    coarse, fine = (model(smooth(1, n, seed=3).swapaxes(0, 1))[0, 0] for n in (32, 96))
    np.testing.assert_allclose(coarse, fine[1::3, 1::3], atol=2e-2 * float(jnp.abs(fine).max()))


@pytest.mark.parametrize(("network", "bound"), [("cosine", 0.05), ("deep", 0.35)])
@pytest.mark.quick(1)
def test_an_operator_learns_diffusion_on_unseen_fields(network, bound):
    before = smooth(256, 16)
    model = closure(network, channels=8 if network == "cosine" else 48)  # of 16 amplitudes, which all have to pass its layers
    steps = 300 if network == "cosine" else 900
    trained = train(model, squares, (before, diffused(before)), steps=steps, batch=16, learning_rate=1e-2)
    assert trained.status is Status.SUCCESS
    unseen = smooth(32, 16, seed=9)
    wanted = diffused(unseen)
    error = np.sqrt(squares(trained.model, (unseen, wanted)) / np.mean(wanted**2))
    assert error < bound < np.sqrt(squares(model, (unseen, wanted)) / np.mean(wanted**2))


@pytest.mark.parametrize("network", ["cosine", "deep"])
@pytest.mark.slow
def test_an_operator_comes_back_from_a_file(network, tmp_path):
    model = closure(network)
    save_closure(tmp_path / "kept", model, {"command": "test", "seed": 0})
    again = load_closure(tmp_path / "kept")
    check_closure(again, INPUTS, OUTPUTS)
    field = smooth(3, 16, seed=5).swapaxes(0, 1)
    np.testing.assert_array_equal(again(field), model(field))
    assert isinstance(again, OperatorClosure) and again.sizes == model.sizes
    assert (again.examine(field[:, 0]) == model.examine(field[:, 0])).all()


@pytest.mark.slow
def test_a_residual_adds_the_state_and_members_do_not_see_each_other():
    model = OperatorClosure.create(0, INPUTS, INPUTS, channels=4, layers=1, modes=4, residual=True)
    field = smooth(3, 8).swapaxes(0, 1)
    silent = eqx.tree_at(lambda m: m.network.project, model, nnx.Param(jnp.zeros((1, 8))))
    np.testing.assert_array_equal(silent(field), field)
    np.testing.assert_allclose(model(field)[:, 1], model(field[:, 1]), atol=1e-14)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="at least one"):
        OperatorClosure.create(0, INPUTS, OUTPUTS, modes=0)
    with pytest.raises(InputError, match="residual"):
        OperatorClosure.create(0, INPUTS, OUTPUTS, residual=True)
    with pytest.raises(ValueError, match="sensors"):
        closure("deep")(jnp.ones((1, 12, 16)))


@pytest.mark.slow
def test_gradients_of_weights_agree_with_central_differences():
    for network in ("cosine", "deep"):
        model = closure(network, channels=4)
        arrays, rest = eqx.partition(model, eqx.is_inexact_array)
        data = (smooth(2, 16), diffused(smooth(2, 16)))
        total = jax.jit(lambda arrays, data=data, rest=rest: squares(eqx.combine(arrays, rest), data))
        slopes = jax.grad(lambda a, total=total: total(a))(arrays)
        weights = lambda tree: jax.tree.leaves(tree.network)[0]  # noqa: E731
        direction = jax.random.normal(jax.random.key(1), weights(arrays).shape)
        moved = lambda step: eqx.tree_at(weights, arrays, weights(arrays) + step * direction)  # noqa: B023, E731
        values = [float(total(moved(step * 1e-4))) for step in (-2, -1, 1, 2)]
        central = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-4
        assert float(jnp.sum(weights(slopes) * direction)) == pytest.approx(central, rel=1e-6)


def test_the_operator_is_a_module_of_flax():
    assert isinstance(closure().network, CosineOperator) and isinstance(closure().network, nnx.Module)
