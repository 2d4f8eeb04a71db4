r"""The closed loop under its baroreflex, beat after beat, through bleeding and tilting."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.baroreflex import Baroreflex, Effects
from physics.closed_loop import closed_loop, filled, periodic_beat
from physics.compartments import Compartments, LoopState, StaggeredLoop

REMEMBERED = 24
"""Beats of efferent rates that are kept for the delays: 5 s and more at any rate of the heart."""
ARTERIES, VEINS = "systemic_arteries", "systemic_veins"


class ReflexState(eqx.Module):
    """Between two beats.

    Attributes:
        loop: Volumes and flows.
        inner: Of the afferent filter, mmHg.
        effects: What the effectors add, in the units of their gains.
        past: Rows: time of the middle of the beat (s, the next beat begins at 0), sympathetic drive, vagal rate; the newest last.
        period: Of the last beat, s.
    """

    loop: LoopState
    inner: Array
    effects: Effects
    past: Float[Array, "3 remembered"]
    period: Array


class ReflexLoop(eqx.Module):
    """A circulation and its reflex at rest.

    Attributes:
        loop: Without reflex.
        period: At rest, s.
        reflex: Its set point is the circulation's own mean pressure.
        resting: Effects at rest.
    """

    loop: Compartments
    period: Array
    reflex: Baroreflex
    resting: Effects


class ReflexRun(eqx.Module):
    """One entry per beat.

    Attributes:
        mean: Arterial pressure, mmHg.
        systolic: mmHg.
        diastolic: mmHg.
        period: s.
        stroke: mL, through the aortic valve.
        drive: Sympathetic, averaged over the beat.
        vagal: 1/s.
        state: At the end.
    """

    mean: Float[Array, " beats"]
    systolic: Float[Array, " beats"]
    diastolic: Float[Array, " beats"]
    period: Float[Array, " beats"]
    stroke: Float[Array, " beats"]
    drive: Float[Array, " beats"]
    vagal: Float[Array, " beats"]
    state: ReflexState

    @property
    def output(self) -> Float[Array, " beats"]:
        """Cardiac output, L/min."""
        return self.stroke / self.period * 0.06

    @property
    def rate(self) -> Float[Array, " beats"]:
        """1/min."""
        return 60 / self.period


def at_rest(values: Mapping[str, ArrayLike], reflex: Baroreflex, steps: int) -> tuple[ReflexLoop, ReflexState]:
    """A circulation whose reflex is at rest on the beat that repeats itself.

    Args:
        values: As for :func:`physics.closed_loop.closed_loop`.
        reflex: Its set point is replaced by the mean arterial pressure of that beat, and effects count from that beat.
        steps: Per beat, the same as for :func:`run_reflex`.
    """
    loop, period = closed_loop(values), jnp.asarray(values["period"], float)
    beat = periodic_beat(loop, filled(loop, values["blood_volume"]), period, steps)
    pressure = beat.pressures[:-1, loop.index(ARTERIES)]
    reflex = eqx.tree_at(lambda r: r.afferent, reflex, reflex.afferent.at[0].set(pressure.mean()))
    step = period / steps

    def over_beat(inner: Array) -> tuple[Array, Array]:
        return lax.scan(lambda x, p: (reflex.advanced(x, p, step), reflex.filtered(x, p)), inner, pressure)

    # The filter is linear: its periodic state from one beat started at zero.
    forgotten = jnp.exp(-period / reflex.afferent[4])
    inner = over_beat(jnp.zeros_like(period))[0] / (1 - forgotten)
    drive, vagal = (rate.mean() for rate in reflex.rates(over_beat(inner)[1]))
    resting = reflex.targets(_drives(drive, vagal))
    middles = period * (jnp.arange(REMEMBERED) - REMEMBERED + 0.5)
    past = jnp.stack([middles, jnp.broadcast_to(drive, middles.shape), jnp.broadcast_to(vagal, middles.shape)])
    return ReflexLoop(loop, period, reflex, resting), ReflexState(beat.final, inner, resting, past, period)


def run_reflex(
    system: ReflexLoop, state: ReflexState, withdrawn: Float[Array, " beats"], pooled: Float[Array, " beats"], steps: int
) -> ReflexRun:
    """Beats, one entry of the schedules each; differentiable in all of them.

    Effectors hold still during a beat and follow their lag from beat to beat, by the efferent rates averaged over beats and delayed; the
    shortest lag published is 1.5 s. Systole keeps its part of the period.

    Args:
        system: From :func:`at_rest`.
        state: Likewise, or of an earlier run.
        withdrawn: mL of blood taken from the systemic veins at the beginning of each beat.
        pooled: mL by which the veins are wider than at rest during each beat: blood that hangs in the legs.
        steps: Per beat.
    """
    base, reflex = system.loop, system.reflex
    veins, arteries = base.index(VEINS), base.index(ARTERIES)
    left, right = base.index("left_ventricle"), base.index("right_ventricle")
    bed = base.index(f"{ARTERIES}_flow") - len(base.names)
    valve = base.index("aortic")

    def one(state: ReflexState, given: tuple[Array, Array]) -> tuple[ReflexState, tuple[Array, ...]]:
        taken, hanging = given
        elastic_left, elastic_right, resistance, ratio, room = reflex.factors(state.effects, system.resting)
        active = base.active.at[0, left].multiply(elastic_left).at[0, right].multiply(elastic_right)
        active = active.at[1:].multiply(ratio)
        loop = eqx.tree_at(
            lambda c: (c.active, c.elastic, c.branches),
            base,
            (active, base.elastic.at[1, veins].add(room + hanging), base.branches.at[0, bed].multiply(resistance)),
        )
        period = system.period * ratio
        stepper = StaggeredLoop(loop, jnp.stack([jnp.zeros_like(period), state.period, state.period + period]))
        length = jnp.asarray(1.0 / steps)

        def step(carry: tuple[LoopState, Array], k: Array) -> tuple[tuple[LoopState, Array], tuple[Array, ...]]:
            now, inner = carry
            pressure = loop.pressures(now, k * period / steps, period)[arteries]
            rates = reflex.rates(reflex.filtered(inner, pressure))
            after = stepper.advance(now, 1 + k / steps, length)
            return (after, reflex.advanced(inner, pressure, period / steps)), (pressure, after[valve], *rates)

        begin = state.loop.at[veins].add(-taken)
        (end, inner), (pressure, flow, drives, vagals) = lax.scan(step, (begin, state.inner), jnp.arange(steps, dtype=length.dtype))
        drive, vagal = drives.mean(), vagals.mean()
        middles = jnp.concatenate([state.past[0, 1:] - period, -0.5 * period[None]])
        past = jnp.stack([middles, *(jnp.append(row[1:], new) for row, new in zip(state.past[1:], (drive, vagal), strict=True))])
        delay, lag = reflex.effector[1:]
        heard = jnp.interp(-delay, past[0], past[1]).at[-1].set(jnp.interp(-delay[-1], past[0], past[2]))
        target = reflex.targets(heard)
        effects = target + (state.effects - target) * jnp.exp(-period / lag)
        seen = (pressure.mean(), pressure.max(), pressure.min(), period, flow.mean() * period, drive, vagal)
        return ReflexState(end, inner, effects, past, period), seen

    final, seen = lax.scan(one, state, (withdrawn, pooled))
    mean, systolic, diastolic, period, stroke, drive, vagal = seen
    return ReflexRun(mean, systolic, diastolic, period, stroke, drive, vagal, final)


def _drives(drive: Array, vagal: Array) -> Effects:
    return jnp.concatenate([jnp.broadcast_to(drive, (7,)), vagal[None]])


def reflex_program(values: Mapping[str, ArrayLike], reflex: Baroreflex, withdrawn: Array, pooled: Array, steps: int) -> ReflexRun:
    """From rest through a schedule, in one function to be compiled."""
    system, state = at_rest(values, reflex, steps)
    return run_reflex(system, state, withdrawn, pooled, steps)


def ramp(beats: int, begin: int, over: int, amount: ArrayLike) -> Float[Array, " beats"]:
    """A schedule that rises from 0 to an amount over some beats."""
    return jnp.asarray(amount) * jnp.clip((jnp.arange(beats) - begin + 1) / over, 0.0, 1.0)
