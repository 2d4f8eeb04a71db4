"""The closed loop of a man of a given age: what is taken from publications, what is solved for, and how people of one age differ."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.arterial_ageing import PUBLISHED_AGE, aged_compliance, pressures_of
from physics.closed_loop import closed_loop, filled, periodic_beat, regazzoni_values

STEPS = 150
"""Per beat: pressures within 0.03 mmHg (docs/theory/circulation.md)."""
PRESSURES = ("systolic", "diastolic", "pulse", "mean")
LEVERS = ("compliance", "resistance", "contractility", "blood_volume", "heart_rate")
"""What a man differs by, and what gradients are taken to."""
PULSE, MEAN, OUTPUT = 2, 3, 4
NEWTON_STEPS = 8

Levers = Float[Array, " levers"]
Read = Float[Array, " read"]


class Subject(NamedTuple):
    """A man.

    Attributes:
        levers: mL/mmHg, mmHg s/mL, mmHg/mL, mL, 1/min, in the order of :data:`LEVERS`.
        read: Systolic, diastolic, pulse and mean pressure of the systemic arteries (mmHg), cardiac output (L/min).
        missing: Largest part by which what was solved for is off.
        status: Of the periodic beat.
    """

    levers: Levers
    read: Read
    missing: Array
    status: Array


def beat_of(levers: Levers) -> tuple[Read, Array, Any]:
    """What is read off the beat that repeats itself, its status, and the beat."""
    compliance, resistance, contractility, volume, rate = levers
    values: dict[str, Any] = dict(regazzoni_values())
    values |= {
        "systemic_arteries_compliance": compliance,
        "systemic_arteries_resistance": resistance,
        "left_ventricle_active_elastance": contractility,
        "blood_volume": volume,
        "period": 60 / rate,
    }
    loop = closed_loop(values)
    run = periodic_beat(loop, filled(loop, volume), 60 / rate, STEPS)
    pressure = pressures_of(run.pressures[:, loop.index("systemic_arteries")], run.times)
    ventricle = run.volumes[:, loop.index("left_ventricle")]
    output = (jnp.max(ventricle) - jnp.min(ventricle)) * rate / 1000
    return jnp.append(pressure, output), run.status, run


def read_of(levers: Levers) -> Read:
    """See :func:`beat_of`; differentiable in both modes, where the highest and lowest sample stay the same samples."""
    return beat_of(levers)[0]


def elasticities(levers: Levers) -> Float[Array, "read levers"]:
    """mmHg (the last row: L/min) per unit of the logarithm of each lever, exact for the steps taken: a tenth of it is a change by 10 %."""
    return jax.jacfwd(lambda log: read_of(jnp.exp(log)))(jnp.log(levers))


def solved(levers: Levers, unknown: tuple[int, ...], known: tuple[int, ...], wanted: Float[Array, " known"]) -> Subject:
    """Levers changed so that what is read is what is wanted, by Newton's method on logarithms, damped to a factor of two per step.

    Args:
        levers: Where to start.
        unknown: Positions in :data:`LEVERS` that may change.
        known: Positions of what is read, as many.
        wanted: Its values.

    ``missing`` says where it did not get there: a pulse pressure that no compliance gives, an output beyond the heart.
    """
    places, rows = jnp.array(unknown), jnp.array(known)

    def put(logs: Array) -> Levers:
        return levers.at[places].set(jnp.exp(logs))

    def off(logs: Array) -> Array:
        return jnp.log(read_of(put(logs))[rows] / wanted)

    def step(_: Array, logs: Array) -> Array:
        change = jnp.linalg.solve(jax.jacfwd(off)(logs), -off(logs))
        return logs + jnp.clip(change, -jnp.log(2.0), jnp.log(2.0))

    logs = jax.lax.fori_loop(0, NEWTON_STEPS, step, jnp.log(levers[places]))
    found = put(logs)
    read, status, _ = beat_of(found)
    return Subject(found, read, jnp.max(jnp.abs(read[rows] / wanted - 1)), status)


def young_levers() -> Levers:
    """The published loop, where the search for the youngest begins."""
    values = regazzoni_values()
    names = ("systemic_arteries_compliance", "systemic_arteries_resistance", "left_ventricle_active_elastance", "blood_volume")
    return jnp.array([*(values[name] for name in names), 60 / values["period"]])


def youngest(age: Array) -> Subject:
    """Compliance, resistance and blood volume that give the published pulse and mean pressure and output at an age: the only place where a
    published pulse pressure enters.
    """
    start = young_levers().at[4].set(PUBLISHED_AGE["heart_rate"].at(age))
    names = ("pulse_pressure", "mean_pressure", "cardiac_output")
    return solved(start, (0, 1, 3), (PULSE, MEAN, OUTPUT), jnp.stack([PUBLISHED_AGE[name].at(age) for name in names]))


def compliance_at(young: Subject, young_age: Array, velocity: Array, diameter: Array, share: Array, widens: Array) -> Array:
    """mL/mmHg by :func:`physics.arterial_ageing.aged_compliance`; ``widens`` 1 for an aorta that does, 0 for one that keeps its width."""
    tables = PUBLISHED_AGE
    before = tables["aortic_diameter"].at(young_age)
    area = (diameter / before) ** (2 * widens)
    return aged_compliance(young.levers[0], share, velocity, area, tables["pulse_wave_velocity"].at(young_age), jnp.ones(()))


def aged(young: Subject, compliance: Array, rate: Array, mean: Array, output: Array, contractility: Array) -> Subject:
    """A man of this compliance, heart rate (1/min) and contractility (mmHg/mL); resistance and blood volume are solved for, so that mean
    pressure (mmHg) and output (L/min) are as given: his pulse pressure is what follows.
    """
    start = young.levers.at[0].set(compliance).at[2].set(contractility).at[4].set(rate)
    return solved(start, (1, 3), (MEAN, OUTPUT), jnp.stack([mean, output]))


def stiffened(young: Subject, compliance: Array) -> Subject:
    """The youngest with other arteries and nothing else changed."""
    levers = young.levers.at[0].set(compliance)
    read, status, _ = beat_of(levers)
    return Subject(levers, read, jnp.zeros(()), status)


def drawn(
    young: Subject, young_age: Array, age: Array, share: Array, widens: Array, spread: Array, key: Array, draws: int
) -> tuple[Subject, Array]:
    """Men of one age who differ as published: pulse wave velocity (log-normal, between its percentiles), width of the aorta, heart rate,
    mean pressure and output (normal, cut at three deviations), contractility (log-normal, ``spread``).

    They are drawn independently of each other, which they are not in people. Returns one more than ``draws``, the first of whom has the
    middle of everything, and their pulse wave velocities, m/s.
    """
    tables = PUBLISHED_AGE
    noise = jnp.clip(jax.random.normal(key, (draws + 1, 6)), -3, 3).at[0].set(0)
    speed = tables["pulse_wave_velocity"]
    logs = jnp.log(jnp.array(speed.high) / jnp.array(speed.low)) / 2
    velocity = speed.at(age) * jnp.exp(jnp.interp(age, jnp.array(speed.ages), logs) * noise[:, 0])

    def normal(name: str, column: int) -> Array:
        table = tables[name]
        return jnp.maximum(table.at(age) + table.deviation(age) * noise[:, column], 0.3 * table.at(age))

    diameter = normal("aortic_diameter", 1)
    compliance = jax.vmap(lambda c, d: compliance_at(young, young_age, c, d, share, widens))(velocity, diameter)
    contractility = young.levers[2] * jnp.exp(spread * noise[:, 5])
    others = (normal("heart_rate", 2), normal("mean_pressure", 3), normal("cardiac_output", 4))
    people = jax.vmap(lambda c, h, m, o, e: aged(young, c, h, m, o, e))(compliance, *others, contractility)
    return people, velocity
