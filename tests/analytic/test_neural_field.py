"""Fronts and bumps of neural fields in closed form, order, gradient, and lowering."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics.neural_field import DifferenceKernel, ExponentialKernel, NeuralField, bump_widths, front_speed


def field(kernel=None, threshold=0.3, width=0.002, spacing=0.05, recovery=0.0):
    kernel = kernel or ExponentialKernel(jnp.asarray(1.0), jnp.asarray(1.0))
    return NeuralField(kernel, *(jnp.asarray(one) for one in (threshold, width, 1.0, recovery, 0.05)), spacing_mm=spacing)


def still(activity):
    return jnp.stack([activity, jnp.zeros_like(activity)])


def crossing(activity, threshold, spacing):
    """Where activity falls through the threshold to the right of the middle, mm."""
    right = np.asarray(activity)[activity.size // 2 :]
    k = int(np.argmax(right < threshold))
    return spacing * (k - 1 + (right[k - 1] - threshold) / (right[k - 1] - right[k]))


def measured_speed(threshold, width, spacing, dt=0.02):
    model, size = field(threshold=threshold, width=width, spacing=spacing), round(100 / spacing)
    x = (np.arange(size) - size // 2) * spacing
    start = still(jnp.asarray(1.0 * (np.abs(x) < 6)))
    steps = round(3.0 / dt)
    _, kept = jax.jit(lambda state: model.march(state, 2 * steps, dt, every=steps))(start)
    return (crossing(kept[1, 0], threshold, spacing) - crossing(kept[0, 0], threshold, spacing)) / 3.0


@pytest.mark.parametrize("threshold", [0.1, 0.2, 0.35])
def test_a_front_runs_at_the_speed_of_pinto_and_ermentrout(threshold):
    exact = front_speed(threshold)
    speed = measured_speed(threshold, 0.004, 0.02)
    assert speed == pytest.approx(exact, rel=0.02), (speed, exact)


def test_the_error_of_the_speed_falls_with_the_width_of_the_step():
    errors = [abs(measured_speed(0.25, width, 0.02, 0.02) - front_speed(0.25)) for width in (0.04, 0.02, 0.01)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_speeds_of_the_formula():
    assert front_speed(0.25) == 1.0 and front_speed(0.5) == 0.0 and front_speed(0.75) == -1.0
    assert front_speed(0.25, 2.0, 4.0) == 0.5
    with pytest.raises(ValueError, match="between 0 and 1"):
        front_speed(1.0)


def test_a_bump_has_amaris_width_and_the_narrow_one_falls_apart():
    one = jnp.asarray
    hat = DifferenceKernel(ExponentialKernel(one(4.0), one(1.0)), ExponentialKernel(one(3.2), one(2.0)))
    threshold, spacing = 0.5, 0.02
    narrow, wide = bump_widths(hat, threshold)
    model = field(hat, threshold, 0.004, spacing)
    size = 2000
    x = (np.arange(size) - size // 2) * spacing
    found = {}
    for begun in (0.8 * narrow, 1.2 * narrow, 1.3 * wide):
        active = ((x > -begun / 2) & (x < begun / 2)).astype(float)
        profile = model.kernel.transform(jnp.asarray((2 * np.pi * np.fft.rfftfreq(size, spacing)) ** 2), 1)
        shape = jnp.fft.irfft(profile * jnp.fft.rfft(jnp.asarray(active)), size)  # what that activity would make
        final, _ = jax.jit(lambda state: model.march(state, 600, 0.1, every=600))(still(shape))
        above = np.asarray(final[0]) > threshold
        found[begun] = 2 * crossing(final[0], threshold, spacing) if above.any() else 0.0
    gone, grown, shrunk = found.values()
    assert gone == 0.0
    assert grown == pytest.approx(wide, rel=0.02) and shrunk == pytest.approx(wide, rel=0.02)


def smooth(size=64):
    x = 2 * np.pi * np.arange(size) / size
    return still(jnp.asarray(0.3 + 0.2 * np.sin(x) + 0.1 * np.cos(2 * x)))


def test_the_steps_have_order_two():
    model = field(width=0.2, spacing=20 / 64, recovery=0.5)

    def at(steps):
        return model.march(smooth(), steps, 2.0 / steps, every=steps)[0]

    finest = at(2048)
    counts = np.array([16, 32, 64, 128])
    errors = [float(jnp.abs(at(int(count)) - finest).max()) for count in counts]
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert 1.95 < slope < 2.15


@pytest.mark.slow
def test_the_integral_is_exact_on_waves_in_any_number_of_dimensions():
    model = field(spacing=0.5)
    for shape in ((32,), (32, 24), (8, 12, 16)):
        k = [2 * np.pi * (1 + axis) / (size * 0.5) for axis, size in enumerate(shape)]
        grids = np.meshgrid(*[0.5 * np.arange(size) for size in shape], indexing="ij")
        wave = np.cos(sum(number * grid for number, grid in zip(k, grids, strict=True)))
        found = jnp.fft.irfftn(model.multiplier(shape) * jnp.fft.rfftn(jnp.asarray(wave)), s=shape)
        assert np.abs(found - wave / (1 + sum(number**2 for number in k))).max() < 1e-13


def test_the_gradient_is_that_of_central_differences():
    def energy(values):
        kernel = DifferenceKernel(ExponentialKernel(values[0], values[1]), ExponentialKernel(values[2], jnp.asarray(3.0)))
        model = NeuralField(kernel, values[3], jnp.asarray(0.1), values[4], values[5], jnp.asarray(0.1), 20 / 64)
        return (model.march(smooth(), 20, 0.1, every=20)[0] ** 2).sum()

    energy = jax.jit(energy)
    values = jnp.asarray([1.5, 1.0, 0.5, 0.3, 1.2, 0.4])
    slope = jax.grad(energy)(values)
    for place in range(6):
        unit = jnp.zeros(6).at[place].set(1e-5)
        assert slope[place] == pytest.approx(float(energy(values + unit) - energy(values - unit)) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_it_lowers(platform):
    single = jnp.float32
    model = jax.tree.map(lambda leaf: leaf.astype(single), field())

    def march(state):
        return model.march(state, 4, 0.1, every=2)[1]

    exported = jax.export.export(jax.jit(march), platforms=[platform])(jnp.zeros((2, 16, 8), single))
    assert exported.platforms == (platform,) and exported.out_avals[0].dtype == single


def test_bad_input_is_one_line():
    with pytest.raises(ValueError, match="above 0"):
        field(spacing=0.0)
    with pytest.raises(ValueError, match="whole multiples") as caught:
        field().march(smooth(), 5, 0.1, every=2)
    assert "\n" not in str(caught.value)
