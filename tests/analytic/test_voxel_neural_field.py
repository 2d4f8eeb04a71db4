"""Neural fields in masks: waves and fronts in closed form, slits, mirrors at walls, orders, gradient, lowering."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import ExponentialKernel, NeuralField, VoxelNeuralField, front_speed
from solvers import VoxelGrid
from tests.problems import as_type, slope


def kernel(weight=1.0, reach=1.0):
    return ExponentialKernel(jnp.asarray(weight), jnp.asarray(reach))


def field(mask, spacing, kernels=None, threshold=0.3, width=0.1, recovery=0.0):
    numbers = (jnp.asarray(one) for one in (threshold, width, 1.0, recovery, 0.05))
    return VoxelNeuralField(VoxelGrid(mask, spacing), kernels or (kernel(),), *numbers)


def bar(size):
    return np.ones((size, 1, 1), bool)


def still(activity):
    return jnp.stack([jnp.asarray(activity), jnp.zeros(len(activity))])


def heard(model, activity):
    psi, status = model.heard(jnp.asarray(activity), model.preconditioners(), jnp.zeros((len(model.kernels), len(activity))))
    assert int(status) == 0
    return np.asarray(psi).sum(axis=0)


@pytest.mark.slow
def test_what_is_heard_of_a_wave_between_walls_is_of_order_two_in_the_voxels():
    r"""f a cosine that is level at both walls: psi = W cos/(1 + sigma^2 k^2), no wall is felt."""
    length, errors, widths = 10.0, [], []
    k = 2 * np.pi / length
    for size in (16, 32, 64, 128):
        spacing = length / size
        x = (np.arange(size) + 0.5) * spacing
        rate = 0.5 + 0.3 * np.cos(k * x)
        activity = 0.3 + 0.1 * np.log(rate / (1 - rate))  # its rate is that
        errors.append(np.abs(heard(field(bar(size), spacing), activity) - 0.5 - 0.3 * np.cos(k * x) / (1 + k**2)).max())
        widths.append(spacing)
    assert slope(widths, errors) == pytest.approx(2, abs=0.1)
    assert errors[-1] < 1e-4


@pytest.mark.slow
def test_walls_mirror_as_a_periodic_field_of_twice_the_length_does():
    size, spacing = 48, 0.25
    x = (np.arange(size) + 0.5) * spacing
    activity = 0.8 * np.exp(-((x - 2) ** 2)) + 0.1
    model = field(bar(size), spacing)
    final = model.march(still(activity), 40, 0.1, every=40)
    final.raise_for_status()
    numbers = (jnp.asarray(one) for one in (0.3, 0.1, 1.0, 0.0, 0.05))
    whole = NeuralField(kernel(), *numbers, spacing_mm=spacing)
    mirrored, _ = whole.march(still(np.concatenate([activity, activity[::-1]])), 40, 0.1, every=40)
    np.testing.assert_allclose(final.final[0], mirrored[0, :size], atol=6e-3)  # (h/sigma)^2/12 of the Laplacian


def test_activity_goes_round_a_slit_and_not_through_it():
    """A hairpin one voxel wide hears what the same strip hears when it is straight, by a dense solve."""
    arm, spacing = 12, 0.5
    mask = np.zeros((arm, 3, 1), bool)
    mask[:, 0], mask[:, 2], mask[-1, 1] = True, True, True
    grid = VoxelGrid(mask, spacing)
    along = [(k, 0) for k in range(arm)] + [(arm - 1, 1)] + [(k, 2) for k in reversed(range(arm))]
    place = np.array([np.ravel_multi_index((i, j, 0), grid.shape) for i, j in along])
    strip = 0.9 * np.exp(-0.5 * np.arange(len(along)))
    folded = np.zeros(grid.size)
    folded[place] = strip
    found = heard(field(mask, spacing), folded)
    step = np.diff(np.eye(len(along)), axis=0) / spacing
    rate = 1 / (1 + np.exp(-(strip - 0.3) / 0.1))
    np.testing.assert_allclose(found[place], np.linalg.solve(np.eye(len(along)) + step.T @ step, rate), rtol=1e-6)
    assert not found[~mask.ravel()].any()
    assert found[place][0] > 4 * found[place][-1]  # neighbours across the slit, 1 mm apart


@pytest.mark.slow
def test_a_front_runs_along_a_rod_at_the_speed_of_pinto_and_ermentrout():
    threshold, size, spacing = 0.25, 250, 0.08
    x = (np.arange(size) + 0.5) * spacing
    model = field(bar(size), spacing, threshold=threshold, width=0.02)
    run = jax.jit(lambda state: model.march(state, 120, 0.05, every=60))(still(1.0 * (x < 5)))
    assert int(run.status) == 0

    def crossing(activity):
        k = int(np.argmax(activity < threshold))
        return spacing * (k + (activity[k - 1] - threshold) / (activity[k - 1] - activity[k]))

    begin, end = (crossing(np.asarray(run.saved[k, 0])) for k in (0, 1))
    assert (end - begin) / 3.0 == pytest.approx(front_speed(threshold), rel=0.04)


def ragged(size=6):
    mask = np.ones((size, size, 3), bool)
    mask[0, 0], mask[3, 2:, :2] = False, False
    return mask


def smooth(mask):
    x, y, z = np.indices(mask.shape)
    return still(np.where(mask, 0.3 + 0.2 * np.sin(x) * np.cos(y) + 0.05 * z, 0.0).ravel())


HAT = (kernel(2.0, 0.8), kernel(-1.0, 1.6))


@pytest.mark.slow
def test_the_steps_have_order_two():
    mask = ragged()
    model = field(mask, 0.5, HAT, recovery=0.5)
    marched = jax.jit(lambda state, steps: model.march(state, steps, 2.0 / steps, every=steps).final, static_argnums=1)
    finest = marched(smooth(mask), 256)
    counts = [8, 16, 32, 64]
    errors = [float(jnp.abs(marched(smooth(mask), count) - finest).max()) for count in counts]
    assert slope([1 / count for count in counts], errors) == pytest.approx(2, abs=0.2)


@pytest.mark.slow
def test_the_gradient_is_that_of_central_differences():
    mask = ragged(4)[:, :, :1]

    def energy(values):
        model = field(mask, 0.5, (kernel(values[0], values[1]), kernel(-1.0, 1.6)), recovery=0.5)
        model = eqx.tree_at(lambda one: (one.threshold, one.recovery), model, (values[2], values[3]))
        return (model.march(smooth(mask), 4, 0.2, every=4).final ** 2).sum()

    energy = jax.jit(energy)
    values = jnp.asarray([2.0, 0.8, 0.3, 0.5])
    gradient = jax.jit(jax.grad(energy))(values)
    for place in range(4):
        unit = jnp.zeros(4).at[place].set(1e-4)
        assert gradient[place] == pytest.approx(float(energy(values + unit) - energy(values - unit)) / 2e-4, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_it_lowers(platform):
    with jax.enable_x64(False):
        model = as_type(field(ragged(4), 0.5, HAT), "float32")
        size = model.grid.size
        march = jax.jit(lambda state: model.march(state, 2, 0.1).saved)
        exported = jax.export.export(march, platforms=[platform])(jnp.zeros((2, size), "float32"))
        assert "f64" not in exported.mlir_module()
    assert exported.platforms == (platform,) and exported.out_avals[0].shape == (2, 2, size)


def test_bad_input_is_one_line():
    model = field(bar(8), 0.5)
    for state, steps, dt, every in ((8, 4, 0.1, 3), (9, 4, 0.1, 1), (8, 4, 0.0, 1), (8, 4, -0.1, 1)):
        with pytest.raises(ValueError, match="got a state") as caught:
            model.march(jnp.zeros((2, state)), steps, dt, every=every)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="no kernels"):
        eqx.tree_at(lambda one: one.kernels, model, ()).__check_init__()
