"""Blood of a region: where it rests, an independent solver, order, gradient, and what decimated activity costs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from physics import FRISTON_2003, STEPHAN_2007, BalloonWindkessel


@pytest.mark.parametrize("parameters", [FRISTON_2003, STEPHAN_2007])
def test_steady_flow_in_closed_form(parameters):
    model = BalloonWindkessel.published(parameters)
    p = {name: one.value for name, one in parameters.items()}
    neural = np.array([-0.2, 0.0, 0.3, 1.0])
    flow = 1 + neural / p["flow_feedback"]
    volume = flow ** p["stiffness"]
    content = volume * (1 - (1 - p["extraction"]) ** (1 / flow)) / p["extraction"]
    blood = jnp.asarray(np.stack([0 * flow, np.log(flow), np.log(volume), np.log(content)]))
    assert float(jnp.abs(model.rates(blood, jnp.asarray(neural))).max()) < 1e-13
    shown = p["outside"] * (1 - content) + p["inside"] * (1 - content / volume) + p["displaced"] * (1 - volume)
    np.testing.assert_allclose(model.observed(blood), p["volume"] * shown, atol=1e-14)
    signal, _ = model.march(jnp.asarray(np.tile(neural, (600, 1))), 0.1)
    np.testing.assert_allclose(signal[-1], p["volume"] * shown, atol=1e-7)
    assert float(jnp.abs(model.march(jnp.zeros((5, 2)), 0.1)[0]).max()) == 0


def test_a_pulse_against_an_independent_solver():
    p = {name: one.value for name, one in FRISTON_2003.items()}

    def rates(time, x):
        s, f, v, q = x
        out = v ** (1 / p["stiffness"])
        taken = f * (1 - (1 - p["extraction"]) ** (1 / f)) / p["extraction"]
        neural = 0.8 if time < 1 else 0.0
        tau = p["transit_time"]
        return [neural - p["signal_decay"] * s - p["flow_feedback"] * (f - 1), s, (f - out) / tau, (taken - out * q / v) / tau]

    on = solve_ivp(rates, (0, 1 - 1e-12), [0, 1, 1, 1], "DOP853", rtol=1e-11, atol=1e-12)
    at = np.arange(2, 25.0)
    off = solve_ivp(rates, (1, 24), on.y[:, -1], "DOP853", at, rtol=1e-11, atol=1e-12)
    _, _, v, q = off.y
    exact = p["volume"] * (p["outside"] * (1 - q) + p["inside"] * (1 - q / v) + p["displaced"] * (1 - v))
    neural = jnp.asarray(np.where(np.arange(240) < 10, 0.8, 0.0))[:, None]
    model = BalloonWindkessel.published()
    found, _ = model.march(neural, 0.1, every=10)
    np.testing.assert_allclose(found[1:, 0], exact, atol=1e-7)
    peak = at[np.argmax(exact)]
    assert 3 <= peak <= 6 and exact.min() < -0.1 * exact.max()  # some seconds late, and an undershoot
    first, blood = model.march(neural[:120], 0.1, every=10)
    second, _ = model.march(neural[120:], 0.1, every=10, blood=blood)
    np.testing.assert_array_equal(jnp.concatenate([first, second]), found)


@pytest.mark.slow
def test_order_four_for_held_activity_and_two_for_its_means():
    model = BalloonWindkessel.published()

    def held(count):
        return model.march(jnp.full((count, 1), 0.9), 4.0 / count)[1]

    def means(count):
        edges = np.linspace(0, 4, count + 1)
        neural = 0.3 * np.diff(-np.cos(3 * edges) / 3) / np.diff(edges)
        return model.march(jnp.asarray(neural)[:, None], 4.0 / count)[1]

    for run, order, counts in ((held, 4, (16, 32, 64, 128)), (means, 2, (16, 32, 64, 128))):
        exact = run(2048)
        errors = [float(jnp.abs(run(count) - exact).max()) for count in counts]
        assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(order, abs=0.2), run
    coarse, fine = (float(model.observed(means(count))[0]) for count in (40, 2048))  # samples of 0.1 s of a rhythm of half a hertz
    assert coarse == pytest.approx(fine, rel=2e-3)


@pytest.mark.slow
def test_gradient_against_central_differences():
    neural = jnp.asarray(0.3 * np.random.default_rng(0).standard_normal((30, 2)))
    flat, restore = jax.flatten_util.ravel_pytree((BalloonWindkessel.published(), neural))

    @jax.jit
    def loss(flat):
        model, neural = restore(flat)
        return jnp.sum(1e4 * model.march(neural, 0.2, every=5)[0] ** 2)

    gradient = jax.jit(jax.grad(loss))(flat)
    for seed in range(3):
        way = jnp.asarray(np.random.default_rng(seed).normal(size=flat.shape)) * jnp.abs(flat)
        central = (loss(flat + 1e-5 * way) - loss(flat - 1e-5 * way)) / 2e-5
        assert float(gradient @ way) == pytest.approx(float(central), rel=1e-6)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_it_lowers(platform):
    model = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), BalloonWindkessel.published())
    run = jax.jit(jax.value_and_grad(lambda neural: jnp.sum(model.march(neural, 0.1, every=4)[0] ** 2)))
    assert jax.export.export(run, platforms=[platform])(jnp.ones((8, 3), jnp.float32)).platforms == (platform,)


def test_refusals():
    with pytest.raises(ValueError, match="positive multiple"):
        BalloonWindkessel.published().march(jnp.zeros((5, 1)), 0.1, every=2)
