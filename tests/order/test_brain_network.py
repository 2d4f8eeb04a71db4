"""Order in time of a network of neural masses: two alone, one in what others do, since that is held over the step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import NEURAL_MASSES, BrainNetwork, WhiteNoise, synthetic_connectome, usual_coupling

DURATION = 4.0  # ms


def final(dt_ms, strength, name):
    network = BrainNetwork(NEURAL_MASSES[name](), usual_coupling(name, strength), synthetic_connectome(6).edges(), dt_ms)
    spread = 1 + 0.2 * jnp.sin(jnp.arange(6.0))
    return np.asarray(network.march(network.initial_state() * spread[None], round(DURATION / dt_ms)).final)


@pytest.mark.parametrize(("strength", "order"), [(0.0, 2), (2.0, 1)])
@pytest.mark.parametrize("name", ["montbrio_pazo_roxin", "wilson_cowan"])
@pytest.mark.quick(1)
def test_order_in_time(name, strength, order):
    steps = (0.05, 0.025, 0.0125, 0.00625)
    exact = 2**order * final(DURATION / 4096, strength, name) - final(DURATION / 2048, strength, name)
    exact = exact / (2**order - 1)
    errors = [np.abs(final(dt_ms, strength, name) - exact).max() for dt_ms in steps]
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(order, abs=0.2)


@pytest.mark.slow
def test_noise_has_its_variance_and_does_not_depend_on_the_block():
    noise = WhiteNoise(jax.random.key(1), jnp.asarray([0.5, 0.0]), (2, 300), 0.1)
    together = noise.over(jnp.asarray(4), 200)
    np.testing.assert_array_equal(noise.over(jnp.asarray(20), 3), together[16:19])
    assert float(together[:, 0].var()) == pytest.approx(2 * 0.5 * 0.1, rel=0.02) and not np.asarray(together[:, 1]).any()


@pytest.mark.slow
def test_a_linear_mass_in_noise_has_the_variance_of_ornstein_and_uhlenbeck():
    mass = eqx.tree_at(lambda one: (one.bifurcation, one.angular_frequency), NEURAL_MASSES["hopf"](), (jnp.asarray(-1.0), jnp.asarray(0.0)))
    network = BrainNetwork(mass, usual_coupling("hopf", 0.0), synthetic_connectome(400).edges(), 0.05)
    noise = WhiteNoise(jax.random.key(2), jnp.full(2, 1e-6), (2, 400), 0.05)
    states = network.march(jnp.zeros((2, 400)), 4000, noise=noise, every=20).states[20:]
    assert float(states.var()) == pytest.approx(1e-6, rel=0.03)  # D over the rate, by Heun to order two in the step
