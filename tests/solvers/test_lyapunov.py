"""Largest Lyapunov exponents that are known: linear systems, with delay, Lorenz's equations, phases."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import lambertw

from physics import NEURAL_MASSES, BrainNetwork, LinearCoupling
from solvers import delayed_edges, largest_lyapunov_exponent

KEY = jax.random.key(0)


def test_a_linear_system_has_its_largest_real_part():
    matrix = np.random.default_rng(0).standard_normal((6, 6))
    matrix = matrix + matrix.T
    flow = jax.scipy.linalg.expm(0.1 * jnp.asarray(matrix))
    found, rates = largest_lyapunov_exponent(lambda x: flow @ x, jnp.ones(6), 0.1, 100, KEY, 400)
    assert float(found) == pytest.approx(np.linalg.eigvalsh(matrix)[-1], rel=1e-6)
    assert rates.shape == (100,)


def test_lorenz():
    """0.9056 (Sprott, Chaos and Time-Series Analysis, 2003), to the scatter of 300 units of time."""

    def rates(x):
        return jnp.stack([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])

    def step(x, _):
        first = rates(x)
        second = rates(x + 0.005 * first)
        third = rates(x + 0.005 * second)
        return x + 0.01 / 6 * (first + 2 * second + 2 * third + rates(x + 0.01 * third)), None

    def advance(x):
        return jax.lax.scan(step, x, None, length=50)[0]

    found = jax.jit(lambda x: largest_lyapunov_exponent(advance, x, 0.5, 1200, KEY, 20))(jnp.asarray([1.0, 1.0, 20.0]))[0]
    assert float(found) == pytest.approx(0.9056, abs=0.03)


@pytest.mark.parametrize("strength", [0.1, 0.3])
@pytest.mark.quick(1)
def test_a_network_with_delay(strength):
    r"""$\dot x_i = ax_i + Cx_j(t-\tau)$ grows as $a + W(C\tau e^{-a\tau})/\tau$; in one direction $x_1=x_2$."""
    a, delay, dt = -0.2, 4.0, 0.02
    mass = eqx.tree_at(lambda one: (one.bifurcation, one.angular_frequency), NEURAL_MASSES["hopf"](), (jnp.asarray(a), jnp.asarray(0.0)))
    edges = delayed_edges(np.array([[0.0, 1.0], [1.0, 0.0]]), np.full((2, 2), round(delay / dt)))
    network = BrainNetwork(mass, LinearCoupling(jnp.asarray(strength)), edges, dt)

    def advance(both):
        after = network.march(both[0], 200, history=both[1], every=200, derivatives="forward")
        return after.final, after.history

    rest = jnp.zeros((2, 2))
    start = rest, network.march(rest, 200, every=200).history
    found = jax.jit(lambda both: largest_lyapunov_exponent(advance, both, 200 * dt, 30, KEY, 60)[0])(start)
    exact = a + lambertw(strength * delay * np.exp(-a * delay)).real / delay
    assert float(found) == pytest.approx(exact, rel=0.01)


def test_refusals():
    with pytest.raises(ValueError, match="one or more"):
        largest_lyapunov_exponent(lambda x: x, jnp.ones(2), 0.0, 1, KEY)
