"""People who do not exist, whose seizures come where noise carries a slow Epileptor over its fold; and an oracle who knows them."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from physics import EPILEPTOR_FOLD, EPILEPTOR_OFFSET, NoisyFold, epileptor_rest
from twinsim.seizure_twin import SECOND_H, SeizureRecord, closeness, hazard_table, mirrored

STEP_H = 1 / 12  # of the hidden state
ORACLE_STEP_H = 1.0
POSTICTAL_H = 6.0  # of which activity does not count
PARAMETERS = ("mean", "cosine", "sine", "wander", "wander_time", "cycle", "period", "memory", "slow_time", "noise")


@dataclass(frozen=True, eq=False)
class People:
    """Hidden truth and what is recorded, of all people at once.

    Attributes:
        parameters: By name, ``(people,)``.
        records: What was recorded.
        onsets: Times of the seizures, hours.
        states: Hidden, at the end of every interval, ``(times, 4, people)``: permittivity, wander, and the two parts of the cycle.
        distance: Hidden distance from the fold, the same times.
    """

    parameters: dict[str, np.ndarray]
    records: list[SeizureRecord]
    onsets: list[np.ndarray]
    states: np.ndarray
    distance: np.ndarray


def draw_parameters(people: int, seed: int) -> dict[str, np.ndarray]:
    """Of the hidden process: spreads about values that give some seizures a week; epileptogenicity in units of the Epileptor's x0."""
    generator = np.random.default_rng([seed, 1957])
    phase = generator.uniform(0, 2 * np.pi, people)
    circadian = generator.uniform(0.004, 0.012, people)
    return {
        "mean": -2.062 - generator.uniform(0.181, 0.199, people),
        "cosine": circadian * np.cos(phase),
        "sine": circadian * np.sin(phase),
        "wander": generator.uniform(0.004, 0.010, people),
        "wander_time": generator.uniform(8.0, 24.0, people),
        "cycle": generator.uniform(0.006, 0.014, people),
        "period": 24 * generator.uniform(12.0, 30.0, people),
        "memory": 24 * generator.uniform(60.0, 120.0, people),
        "slow_time": generator.uniform(6.0, 14.0, people),
        "noise": 0.0015 * np.exp(0.1 * generator.normal(size=people)),
    }


def _moved(p: dict, state: jax.Array, time: jax.Array, dt: float, noise: jax.Array) -> jax.Array:
    """One step of permittivity, wander and cycle; people (and particles) in trailing axes."""
    z, wander, cycle, quarter = state
    angle = 2 * jnp.pi * time / 24
    x0 = p["mean"] + p["cosine"] * jnp.cos(angle) + p["sine"] * jnp.sin(angle) + cycle + wander
    z = z + dt / p["slow_time"] * (4 * (epileptor_rest(z) - x0) - z)
    keep, fade = jnp.exp(-dt / p["wander_time"]), jnp.exp(-dt / p["memory"])
    wander = keep * wander + p["wander"] * jnp.sqrt(1 - keep**2) * noise[0]
    turn, fresh = 2 * jnp.pi * dt / p["period"], 0.7 * p["cycle"] * jnp.sqrt(1 - fade**2)
    return jnp.stack([
        jnp.clip(z, EPILEPTOR_FOLD - 0.1, 5.0), wander,
        fade * (cycle * jnp.cos(turn) - quarter * jnp.sin(turn)) + fresh * noise[1],
        fade * (cycle * jnp.sin(turn) + quarter * jnp.cos(turn)) + fresh * noise[2],
    ])  # fmt: skip


def hazard(p: dict, z: jax.Array) -> jax.Array:
    """Seizures per hour."""
    fold = NoisyFold(p["noise"], jnp.asarray(2.0), jnp.asarray(SECOND_H))
    return jnp.exp(jnp.minimum(fold.log_rate(z - EPILEPTOR_FOLD), 7.0))


def virtual_people(people: int, days: int, interval_h: float, seed: int) -> People:
    """People followed for some days; the hidden state moves in steps of five minutes."""
    parameters = draw_parameters(people, seed)
    p = {name: jnp.asarray(values) for name, values in parameters.items()}
    inner, intervals = round(interval_h / STEP_H), round(24 * days / interval_h)
    generator = np.random.default_rng([seed, 288])
    phase = generator.uniform(0, 2 * np.pi, people)
    begun = jnp.stack([
        jnp.full(people, EPILEPTOR_FOLD + 0.06), jnp.zeros(people), p["cycle"] * np.cos(phase), p["cycle"] * np.sin(phase)
    ])  # fmt: skip

    def small(carry: tuple, k: jax.Array) -> tuple:
        state, key = carry
        key, first, second = jax.random.split(key, 3)
        state = _moved(p, state, k * STEP_H, STEP_H, jax.random.normal(first, (3, people)))
        seizes = jax.random.uniform(second, (people,)) < -jnp.expm1(-hazard(p, state[0]) * STEP_H)
        near = closeness(state[0] - EPILEPTOR_FOLD)
        return (state.at[0].set(jnp.where(seizes, EPILEPTOR_OFFSET, state[0])), key), (seizes, near)

    def interval(carry: tuple, n: jax.Array) -> tuple:
        carry, (seizes, near) = jax.lax.scan(small, carry, n * inner + jnp.arange(inner))
        return carry, (carry[0], seizes, near.mean(axis=0))

    _, (states, seizes, near) = jax.jit(lambda: jax.lax.scan(interval, (begun, jax.random.key(seed)), jnp.arange(intervals)))()
    seizes, near = np.asarray(seizes).reshape(-1, people), np.asarray(near)
    times = interval_h * (1 + np.arange(intervals))
    power_gain, spikes_gain = generator.uniform(0.5, 1.0, people), generator.uniform(2.0, 3.5, people)
    power = generator.normal(0, 1, people) + power_gain * near + 0.15 * generator.normal(size=near.shape)
    rate = np.exp(generator.normal(3.5, 0.5, people) + spikes_gain * near + 0.3 * generator.normal(size=near.shape))
    spikes = np.log(generator.poisson(rate) + 0.5)
    onsets = [STEP_H * (np.flatnonzero(seizes[:, one]) + 0.5) for one in range(people)]
    records = []
    for one in range(people):
        seizure = np.zeros(intervals)
        seizure[np.minimum((onsets[one] / interval_h).astype(int), intervals - 1)] = 1
        since = times[:, None] - onsets[one][None] if onsets[one].size else np.full((intervals, 1), np.inf)
        quiet = ~((since >= 0) & (since < POSTICTAL_H + interval_h)).any(axis=1)
        present = np.stack([quiet, quiet, np.ones(intervals, bool)], axis=1)
        records.append(SeizureRecord(times, np.stack([power[:, one], spikes[:, one], seizure], axis=1), present))
    return People(parameters, records, onsets, np.asarray(states), np.asarray(states[:, 0]) - EPILEPTOR_FOLD)


def oracle_survival(people: People, one: int, at: np.ndarray, horizon_h: float, interval_h: float, particles: int, seed: int) -> np.ndarray:
    """$S(t)$ for a person by who knows its law, its parameters and the state at the ends of intervals ``at``; not the noise to come."""
    p = {name: jnp.asarray(values[one]) for name, values in people.parameters.items()}
    states, times = jnp.asarray(people.states[at, :, one]), jnp.asarray(people.records[one].times[at])
    steps, every = round(horizon_h / ORACLE_STEP_H), round(interval_h / ORACLE_STEP_H)
    return np.asarray(_oracle(p, states, times, jax.random.key(seed), steps, every, particles))


@eqx.filter_jit
def _oracle(p: dict, states: jax.Array, times: jax.Array, key: jax.Array, steps: int, every: int, particles: int) -> jax.Array:
    rate = hazard_table(NoisyFold(p["noise"], jnp.asarray(2.0), jnp.asarray(SECOND_H)))
    disturbances = mirrored(key, steps, particles)

    def forecast(given: tuple) -> jax.Array:
        state, time = given

        def step(carry: tuple, given: tuple) -> tuple:
            (state, before, gone), (k, noise) = carry, given
            state = _moved(p, state, time + k * ORACLE_STEP_H, ORACLE_STEP_H, noise)
            now = rate(state[0] - EPILEPTOR_FOLD)
            gone = gone + 0.5 * ORACLE_STEP_H * (before + now)
            return (state, now, gone), jnp.exp(-gone).mean()

        start = jnp.broadcast_to(state[:, None], (4, particles))
        begun = (start, rate(start[0] - EPILEPTOR_FOLD), jnp.zeros(particles))
        _, kept = jax.lax.scan(step, begun, (jnp.arange(steps), disturbances))
        return jnp.concatenate([jnp.ones(1), kept[every - 1 :: every]])

    return jax.lax.map(forecast, (states, times), batch_size=32)
