"""The slow current of a reduced cell by regression: what it must be along recorded beats, and a network that gives it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.cardiac._ionic_recording import Recorded, dosed
from physics import SLOW_CURRENT_INPUTS, SLOW_CURRENT_OUTPUTS, AnalyticClosure, ReducedVentricular, TenTusscher2006
from twinsim.closures import PerceptronClosure, Training, train, written_out

FOOT_MV = (-80.0, -30.0)  # to where the potential is displaced: the foot of a wave, where no recorded beat is while it is rested


@eqx.filter_jit
def followed(cell: ReducedVentricular, voltage: Float[Array, "times cells"]) -> Float[Array, "times 4 cells"]:
    """The state of reduced cells whose potential is held to what was recorded every ms."""
    rest = cell.initial_state()

    def step(others: Array, v: Array) -> tuple[Array, Array]:
        state = jnp.concatenate([v[None], others])
        steady, speed = cell.gates(state)
        rates = cell.others(state, jnp.zeros_like(v))[1:]
        return others + jnp.concatenate([rates, (steady - others[2:]) * -jnp.expm1(-speed)]), state

    start = jnp.broadcast_to(rest[1:, None], (3, voltage.shape[1]))
    return jax.lax.scan(step, start, voltage)[1]


def samples(
    cell: ReducedVentricular, full: TenTusscher2006, recorded: Recorded, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What the slow current must be: along the recorded beats, and where the potential of a rested cell is displaced.

    Returns:
        Inputs ``(5, samples)`` and currents ``(1, samples)`` along the beats, then both of displaced cells.
    """
    generator = np.random.default_rng([seed, 11])
    silent = eqx.tree_at(lambda c: c.slow_current, cell, written_out(_untrained((1,), seed)))
    states = np.asarray(followed(silent, jnp.asarray(recorded.voltage)))
    rate = np.gradient(recorded.voltage, axis=0)
    usable = np.ones(recorded.voltage.shape, bool)
    for one, starts in enumerate(recorded.starts.astype(int)):
        usable[: starts[recorded.skipped], one] = False
        usable[starts[-1] :, one] = False
        for start in starts[:-1]:
            usable[max(start - 1, 0) : start + 4, one] = False
    logs = np.log(recorded.open_shares)

    def wanted(state: np.ndarray, total: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        known = silent.currents(jnp.asarray(state))
        return np.concatenate([state[:3], shares]), np.asarray(total - known["INa"] - known["IK1"])[None]

    times, cells = np.nonzero(usable)
    # Rests are long and all alike: a quarter of them tells as much.
    kept = np.flatnonzero((recorded.voltage[times, cells] > -80) | (generator.random(times.size) < 0.25))
    kept = generator.choice(kept, min(count, kept.size), replace=False)
    times, cells = times[kept], cells[kept]
    along = wanted(states[times, :, cells].T, -rate[times, cells], logs[cells].T)
    # The full cell at rest with another potential and its gates as they were, INa left out; w, z and q likewise.
    rested = np.stack(np.nonzero(recorded.ends[:, :-1] < -75))
    chosen = rested[:, generator.integers(0, rested.shape[1], count // 20)]
    displaced = generator.uniform(*FOOT_MV, chosen.shape[1])
    before = recorded.states[:, chosen[0], chosen[1] + 1].copy()
    before[0] = displaced
    currents = dosed(full, recorded.open_shares[chosen[0]]).currents(jnp.asarray(before))
    outward = np.asarray(sum(part for name, part in currents.items() if name != "INa"))
    moments = recorded.starts[chosen[0], chosen[1] + 1].astype(int)
    small = states[moments, :, chosen[0]].T.copy()
    small[0] = displaced
    inputs, slow = wanted(small, outward, logs[chosen[0]].T)
    slow = slow + np.asarray(silent.currents(jnp.asarray(small))["INa"])[None]
    return (*along, inputs, slow)


def _untrained(hidden: tuple[int, ...], seed: int, data: tuple[Array, Array] | None = None) -> PerceptronClosure:
    return PerceptronClosure.create(
        seed, SLOW_CURRENT_INPUTS, SLOW_CURRENT_OUTPUTS, samples=data, hidden=hidden, activation="rational_tanh"
    )


def fast_law(hidden: int, seed: int) -> AnalyticClosure:
    """An untrained network, written out, to stand in the slot until there is another."""
    return written_out(_untrained((hidden,), seed))


def regressed(
    inputs: np.ndarray, currents: np.ndarray, feet: tuple[np.ndarray, np.ndarray], hidden: int, steps: int, seed: int
) -> Training:
    """A network of one hidden layer that gives the currents; where training begins."""
    data = jnp.asarray(np.concatenate([inputs, feet[0]], axis=1)), jnp.asarray(np.concatenate([currents, feet[1]], axis=1))
    scale = float(np.std(currents))

    def loss(model: PerceptronClosure, batch: tuple[Array, Array]) -> Array:
        return jnp.mean(((model(batch[0].T) - batch[1].T) / scale) ** 2)

    start = _untrained((hidden,), seed, data)
    return train(start, loss, (data[0].T, data[1].T), steps=steps, batch=512, learning_rate=2e-2, seed=seed)
