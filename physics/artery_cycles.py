"""Beat after beat until a network's pressures repeat."""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics.artery_flow import FlowState
from physics.artery_network import ArteryNetwork
from physics.artery_stepper import COLLAPSED, ArteryState
from solvers import SimulationError, Status, TimeMesh, anderson_step, simulate, time_mesh
from solvers.shapes import Index, Scalar

PASCAL_PER_MMHG = 133.322
MEMORY, PLAIN_BEATS = 5, 2
"""Beats that Anderson's acceleration looks back on, and those at the start that it leaves alone: filling from rest is not linear."""
MIDDLE = 2
"""Station half way along a vessel."""

_mixed = eqx.filter_jit(anderson_step)

Waveform = Float[Array, "vessels stations times"]
RecordedFlow = tuple[Float[Array, "times cells"], Float[Array, "times cells"], Float[Array, "times nodes"]]


class Beat(eqx.Module):
    """One period of a network.

    Attributes:
        pressure: At the five stations of each vessel, Pa; times from 0 to the period, both included.
        flow: m³/s.
        area: m².
        velocity: m/s.
        final: State at the end.
        status: A :class:`solvers.Status` code: OUT_OF_RANGE where a vessel collapsed, UNSTABLE_STEP for a Courant number above one.
        courant: Largest number of cells that a wave crossed per step, of the states recorded; zero where the state chose the steps.
    """

    pressure: Waveform
    flow: Waveform
    area: Waveform
    velocity: Waveform
    final: ArteryState
    status: Index
    courant: Scalar


class Periodic(eqx.Module):
    """Beats until the pressures repeated, or until the limit.

    Attributes:
        beat: The last one.
        times: Of its waveforms, s from the start of the beat.
        cycles: How many beats there were.
        difference: Root mean square difference of mid-vessel pressure to the beat before, Pa, of the vessel where it is largest; NaN after
            one beat.
        converged: Whether that is below the tolerance.
        status: Of the last beat.
        message: Why it ended early, naming vessel and time; empty where it did not.
    """

    beat: Beat
    times: np.ndarray
    cycles: int
    difference: float
    converged: bool
    status: Status
    message: str

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.SimulationError` where a vessel collapsed or a step was too long."""
        if self.message:
            raise SimulationError(self.message)


def beat_mesh(period: float, samples: int = 100) -> TimeMesh:
    """One period with ``samples`` evenly spaced times to record, the first and the last included; at least two."""
    times = np.linspace(0.0, period, samples)
    return time_mesh(0.0, [float(time) for time in times], period)


def beat(network: ArteryNetwork, state: ArteryState, mesh: TimeMesh, substeps: int | None = None) -> Beat:
    """One period from ``state``; differentiable, and one program under jit.

    Args:
        network: Its parameters are leaves: gradients reach them.
        state: At the start.
        mesh: From :func:`beat_mesh`, of the network's period.
        substeps: Short steps between two recorded times; None takes as many as needed, which has no reverse mode.
    """
    solution = simulate(network.stepper(substeps), state, mesh)
    longest = None if substeps is None else jnp.max(mesh.length) / substeps
    return recorded(network, solution.states.flow, solution.final, solution.status, longest)


def recorded(network: ArteryNetwork, flows: RecordedFlow, final: ArteryState, status: Index, longest: Scalar | None) -> Beat:
    """A beat from its states.

    Args:
        network: The vessels.
        flows: At the recorded times, stacked along a new first axis.
        final: State at the end.
        status: Of the simulation.
        longest: Step taken, s; None where the state chose it.
    """
    layout = network.layout
    areas, velocities, _ = flows
    area, velocity = areas[:, layout.stations], velocities[:, layout.stations]
    vessel = np.repeat(np.arange(len(network.labels)), layout.stations.shape[1])
    walls = network.walls(vessel, layout.cell_place[layout.stations.ravel()])
    shape = layout.stations.shape
    root = jnp.sqrt(area / walls.reference_area.reshape(1, *shape)) - 1
    pressure = walls.external_pressure.reshape(1, *shape) + walls.stiffness.reshape(1, *shape) * root
    viscous = network.viscous_wall()
    if viscous is not None:
        pressure = pressure + jax.vmap(viscous.pressure)(areas, velocities)[:, layout.stations]
    courant = jnp.zeros((), area.dtype)
    if longest is not None:
        rate = network.flow()
        courant = jnp.nanmax(jax.vmap(rate.fastest)(areas, velocities)) * longest
    status = jnp.where(final.collapse[0] >= 0, Status.OUT_OF_RANGE, status)
    status = jnp.where(courant > 1, Status.UNSTABLE_STEP, status).astype(int)
    pressure, flow, area, velocity = (jnp.transpose(part, (1, 2, 0)) for part in (pressure, area * velocity, area, velocity))
    return Beat(pressure, flow, area, velocity, final, status, courant)


def run_to_period(
    network: ArteryNetwork,
    limit: int = 10,
    tolerance: float = PASCAL_PER_MMHG,
    samples: int = 100,
    substeps: int | None = None,
    state: ArteryState | None = None,
    seen: Callable[[int, float], None] | None = None,
    program: Callable[[ArteryNetwork, ArteryState], Beat] | None = None,
    settle: Literal["plain", "anderson"] = "plain",
) -> Periodic:
    """Beats from rest until mid-vessel pressures repeat, as openBF counts them.

    Args:
        network: The vessels.
        limit: Most beats.
        tolerance: Root mean square difference of pressure between two beats, in the vessel where it is largest, Pa.
        samples: Recorded times per beat.
        substeps: See :func:`beat`.
        state: Where to start; None for :meth:`ArteryNetwork.initial_state`.
        seen: ``seen(cycle, difference)`` after each beat.
        program: A compiled :func:`beat`; None compiles one.
        settle: ``"plain"``: every beat starts where the one before ended. ``"anderson"``: from the fourth on it starts from what
            :func:`solvers.anderson_step` makes of the last beats, until mid-vessel pressures return to where they began within the
            tolerance; then beats are plain again, so that the difference means the same. Pays below about a tenth of a mmHg.

    Raises:
        ValueError: A limit below one, a tolerance that is not positive.
    """
    if limit < 1 or not tolerance > 0:
        raise ValueError(f"got a limit of {limit} beats and a tolerance of {tolerance} Pa; expected 1 or more, above 0; do: use 10 and 133")
    period = float(network.period)
    if program is None:
        mesh = beat_mesh(period, samples)
        program = eqx.filter_jit(lambda network, state: beat(network, state, mesh, substeps))
    state = network.initial_state() if state is None else state
    former: np.ndarray | None = None
    difference, cycles = np.nan, 0
    narrowest = 2 * COLLAPSED * network.flow().cells.reference_area
    points: list[FlowState] = []
    images: list[FlowState] = []
    plain = True
    while True:
        last = program(network, state)
        cycles += 1
        code = Status(int(last.status))
        pressure = np.asarray(last.pressure[:, MIDDLE])
        if former is not None:
            difference = float(np.sqrt(np.mean((pressure - former) ** 2, axis=1)).max())
        if seen is not None:
            seen(cycles, difference)
        done = plain and difference < tolerance
        if code is not Status.SUCCESS or done or cycles >= limit:
            times = np.linspace(0.0, period, samples)
            message = "" if code is Status.SUCCESS else failure(network, last, code, (cycles - 1) * period)
            return Periodic(last, times, cycles, difference, bool(done), code, message)
        former = pressure
        returned = float(np.abs(pressure[:, -1] - pressure[:, 0]).max()) < tolerance
        if cycles >= PLAIN_BEATS:
            points, images = [*points[1 - MEMORY :], state.flow], [*images[1 - MEMORY :], last.final.flow]
        plain, state = True, last.final
        if settle == "anderson" and len(points) > 1 and not returned:
            mixed = _mixed(points, images)
            if bool(jnp.all(mixed[0] > narrowest)):
                plain, state = False, ArteryState(mixed, last.final.collapse)


def failure(network: ArteryNetwork, last: Beat, code: Status, start: float) -> str:
    """Cause and remedy in one line, with the vessel and the time where there is one.

    Args:
        network: The vessels.
        last: The beat that failed.
        code: Its status.
        start: Of that beat, s.
    """
    if code is Status.UNSTABLE_STEP and float(last.courant) > 1:
        need = np.ceil(float(last.courant) / 0.9 * 100) / 100
        return f"a wave crosses {float(last.courant):.3g} cells in a step; expected at most 1; do: take {need:.3g} times as many steps"
    cell, time = (float(value) for value in last.final.collapse)
    if cell >= 0:
        vessel = network.labels[int(network.layout.cell_vessel[int(cell)])]
        return (
            f"vessel {vessel} collapsed at {start + time:.4g} s: its area fell below a tenth of that at rest; do: check the flow, the "
            "resistances and the external pressure, which must leave a positive pressure across the wall"
        )
    return code.message
