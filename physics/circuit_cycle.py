"""Cycles of a circuit: one after another, or the periodic state at once by Newton's method on the map of a cycle."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.circuit import Circuit
from solvers import Status, TimeMesh, simulate, time_mesh
from solvers.loop.newton_fixed_point import newton_fixed_point
from solvers.shapes import Index
from solvers.status import raise_for_status
from solvers.steppers.generalised_alpha import GeneralisedAlpha, Memory, Unknowns

SOLVED = 1e-6
"""A last Newton step above this part of the scales is no solution."""


class CircuitRun(eqx.Module):
    """What running a circuit leaves.

    Attributes:
        times: s; the start and the end of every step.
        states: Unknowns at these times.
        memory: Of the stepper at the end, from which a run goes on.
        status: A :class:`solvers.status.Status` code per member.
        residue: The largest last Newton step of a time step, over the scales of the unknowns.
        cycle_change: How much the unknowns change over the last cycle, over their scales; zero for a periodic run.
        cycles: Newton steps on the map of a cycle, or cycles run.
    """

    times: Float[Array, " times"]
    states: Float[Array, "times unknowns *batch"]
    memory: Memory
    status: Index | Array
    residue: Float[Array, "*batch"]
    cycle_change: Float[Array, "*batch"]
    cycles: Index

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.status.SimulationError` when this, or any member of a batch, failed."""
        raise_for_status(self.status)


def cycle_mesh(period: float, steps: int, cycles: int = 1) -> TimeMesh:
    """Equal steps over whole cycles.

    Raises:
        ValueError: No steps, no cycles, or a period that is not positive.
    """
    if steps < 1 or cycles < 1 or not period > 0:
        raise ValueError(f"got {steps} steps, {cycles} cycles of {period:g} s; expected at least 1 of each, above 0; do: raise them")
    return time_mesh(0.0, [period * cycles], period / steps)


def run_cycles(
    circuit: Circuit, start: Unknowns | Memory, steps: int, cycles: int = 1, period: float | None = None, spectral_radius: float = 0.5
) -> CircuitRun:
    """Steps a circuit through whole cycles and keeps every state.

    Args:
        circuit: From :func:`physics.circuit_netlist.assemble`; its parameters may be batched.
        start: Unknowns, or the memory of an earlier run.
        steps: Per cycle.
        cycles: How many.
        period: s; the circuit's if not given, which must then be known and one number. A traced period: scale a mesh and call `simulate`.
        spectral_radius: See :class:`solvers.steppers.generalised_alpha.GeneralisedAlpha`.
    """
    period = float(jnp.max(circuit.period)) if period is None else period
    stepper = GeneralisedAlpha(circuit, spectral_radius)
    memory = stepper.start(start) if start.shape[0] == len(circuit.names) else start
    return _run(circuit, stepper, memory, cycle_mesh(period, steps, cycles), steps, cycles)


def periodic_run(
    circuit: Circuit,
    start: Unknowns,
    steps: int,
    period: float | None = None,
    spectral_radius: float = 0.5,
    settle: int = 3,
    iterations: int = 12,
    tolerance: ArrayLike = 1e-9,
) -> CircuitRun:
    r"""The cycle that repeats itself: $\Phi(s) = s$ for the stepper's memory $s$, by Newton's method, without running transients out.

    Args:
        circuit: One member; for many, ``jax.vmap`` over values given by :meth:`physics.circuit.Circuit.with_values`.
        start: Where to look; in a closed circuit its volume is that of the solution.
        steps: Per cycle.
        period: s; the circuit's if not given.
        spectral_radius: See :class:`solvers.steppers.generalised_alpha.GeneralisedAlpha`.
        settle: Cycles run before Newton's method begins.
        iterations: Newton steps at most; see :func:`solvers.newton_fixed_point`.
        tolerance: For the change over a cycle, over the scales of the unknowns.

    The derivative with respect to parameters, inputs and start is that of the implicit function. Fails, with status NOT_CONVERGED: no
    periodic state (an inlet of another period), or beats that alternate.
    """
    if circuit.period.ndim:
        raise ValueError("got a batch of circuits; expected one; do: use jax.vmap over the values given to with_values")
    mesh = cycle_mesh(float(circuit.period) if period is None else period, steps)
    stepper = GeneralisedAlpha(circuit, spectral_radius)
    size = len(circuit.names)

    def mapped(circuit: Circuit, s: Array) -> Array:
        memory = jnp.concatenate([s, jnp.zeros_like(s[:1])])
        return simulate(GeneralisedAlpha(circuit, spectral_radius), memory, mesh).final[:-1]

    def scales(s: Array) -> Array:
        # Of unknowns; rates follow them.
        return jnp.concatenate([circuit.scales(s[:size]), jnp.full(size, jnp.inf, s.dtype)])

    kept = (lambda circuit, s: circuit.volume(s[:size])) if circuit.closed else None
    memory = stepper.start(start)[:-1]
    found = newton_fixed_point(mapped, circuit, memory, scales, kept, settle, iterations, tolerance)
    run = _run(circuit, stepper, jnp.concatenate([found.point, jnp.zeros_like(start[:1])]), mesh, steps, 1)
    status = jnp.where((run.status == 0) & ~(run.cycle_change <= 100 * tolerance), Status.NOT_CONVERGED, run.status)
    return eqx.tree_at(lambda r: (r.status, r.cycles), run, (status, found.steps))


def _run(circuit: Circuit, stepper: GeneralisedAlpha, memory: Memory, mesh: TimeMesh, steps: int, cycles: int) -> CircuitRun:
    size = len(circuit.names)
    solution = simulate(stepper, memory, mesh, observe=lambda _, memory: memory[:size])
    states = jnp.concatenate([memory[None, :size], solution.observations])
    times = jnp.concatenate([jnp.zeros_like(mesh.times[:1]), mesh.times])
    residue = lax.stop_gradient(solution.final[-1])
    status = jnp.where(residue <= SOLVED, solution.status, jnp.maximum(solution.status, Status.NOT_CONVERGED))
    status = jnp.where(jnp.isfinite(residue), status, Status.NOT_FINITE)
    change = jnp.max(jnp.abs(states[-1] - states[-1 - steps]) / circuit.scales(states[-1]), axis=0)
    return CircuitRun(times, states, solution.final, status, residue, lax.stop_gradient(change), jnp.asarray(cycles))
