"""Small networks with delays, and the same march step by step in NumPy."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from solvers import DelayedNode, Forcing


class Toy(DelayedNode):
    """Two variables, two rows sent, nonlinear in both."""

    rate: Array
    gain: Array
    step: float = eqx.field(static=True, default=0.1)

    def sent(self, state):
        return jnp.stack([jnp.tanh(state[0]), state[0] * state[1]])

    def advance(self, state, heard, forced):
        x, y = state
        moved = jnp.stack([-x + self.rate * y + self.gain * heard[0], -0.5 * y + jnp.sin(x) - 0.1 * heard[1]])
        return state + self.step * moved + (0 if forced is None else forced)


class Waves(Forcing):
    """A stimulus with a parameter."""

    size: Array
    nodes: int = eqx.field(static=True)

    def over(self, first, count):
        times = first + jnp.arange(count)
        one = self.size * jnp.sin(0.3 * times)[:, None, None] * jnp.ones((1, 2, self.nodes))
        return one


def toy(nodes: int, members: int | None = None) -> Toy:
    generator = np.random.default_rng(4)
    rate, gain = generator.uniform(0.5, 1.5, nodes), generator.uniform(0.2, 0.6, nodes)
    if members is not None:
        rate, gain = rate[:, None] * np.linspace(0.9, 1.1, members), gain[:, None] * np.ones(members)
    return Toy(jnp.asarray(rate), jnp.asarray(gain))


def network(nodes: int, longest: int, density: float = 0.4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Weights and delays with zeros among both, not symmetric, one node without any edge."""
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(nodes, nodes)) * (generator.uniform(size=(nodes, nodes)) < density)
    weights[1] = weights[:, 1] = 0
    delays = generator.integers(0, longest + 1, (nodes, nodes))
    delays[generator.uniform(size=(nodes, nodes)) < 0.1] = 0
    return weights, delays


def step_by_step(node, weights, delays, state, steps, history=None, forcing=None):
    """States after every step."""
    sent = [np.asarray(node.sent(state))] if history is None else [np.asarray(one) for one in history]
    before = len(sent)
    found = []
    advance = eqx.filter_jit(node.advance)
    for step in range(steps):
        sent.append(np.asarray(node.sent(state)))
        heard = np.zeros_like(sent[-1])
        for i, j in np.argwhere(weights):
            heard[:, i] += weights[i, j] * sent[max(before + step - delays[i, j], 0)][:, j]
        state = advance(state, jnp.asarray(heard), None if forcing is None else forcing.over(jnp.asarray(step), 1)[0])
        found.append(np.asarray(state))
    return np.stack(found)
