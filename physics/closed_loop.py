"""The whole circulation: four chambers, four valves, systemic and pulmonary vessels."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.circuit import Circuit
from physics.circuit_netlist import Block, assemble
from physics.compartments import Compartments, LoopState, StaggeredLoop
from physics.parameters import Parameter, ParameterSet
from solvers import Status, simulate, time_mesh
from solvers.loop.newton_fixed_point import newton_fixed_point
from solvers.status import raise_for_status

CHAMBERS = ("left_atrium", "left_ventricle", "right_atrium", "right_ventricle")
VESSELS = ("systemic_arteries", "systemic_veins", "pulmonary_arteries", "pulmonary_veins")
RING = ("left_ventricle", "systemic_arteries", "systemic_veins", "right_atrium", "right_ventricle", "pulmonary_arteries",
        "pulmonary_veins", "left_atrium")  # fmt: skip
VALVES = {"left_atrium": "mitral", "left_ventricle": "aortic", "right_atrium": "tricuspid", "right_ventricle": "pulmonary"}

STEEPNESS = 5.0
"""Of the diodes of the circuit, 1/mmHg: they open fully within 1.6 mmHg."""
_PAPER = "Regazzoni et al. (2022), J. Comput. Phys. 457, 111083, default values of the authors' circulation model"
_REFERENCE = "bounds: half to twice the healthy value and beyond it in disease, Klabunde (2021), Cardiovascular Physiology Concepts"


def _p(value: float, unit: str, low: float, high: float) -> Parameter:
    return Parameter(value, unit, (low, high), f"{_PAPER}; {_REFERENCE}")


def _chamber(name: str, active: float, passive: float, rest: float, start: float, rise: float) -> dict[str, Parameter]:
    return {
        f"{name}_active_elastance": _p(active, "mmHg/mL", 0.02 if "atrium" in name else 0.1, 0.6 if "atrium" in name else 10.0),
        f"{name}_passive_elastance": _p(passive, "mmHg/mL", 0.01, 0.5),
        f"{name}_rest_volume": _p(rest, "mL", -20.0, 60.0),
        f"{name}_contraction_start": _p(start, "period", -0.3, 1.0),
        f"{name}_contraction_time": _p(rise, "period", 0.05, 0.6),
        f"{name}_relaxation_time": _p(0.17, "period", 0.05, 0.6),
    }


REGAZZONI_2022 = ParameterSet(
    "Regazzoni2022",
    period=_p(0.8, "s", 0.3, 2.0),
    blood_volume=Parameter(
        3025.0, "mL", (1000.0, 4000.0), f"{_PAPER}: the initial volumes and pressures times compliances; stressed and chamber volume only"
    ),
    **_chamber("left_atrium", 0.07, 0.09, 4.0, 0.80, 0.17),
    **_chamber("left_ventricle", 2.75, 0.08, 5.0, 0.0, 0.34),
    **_chamber("right_atrium", 0.06, 0.07, 4.0, 0.80, 0.17),
    **_chamber("right_ventricle", 0.55, 0.05, 10.0, 0.0, 0.34),
    systemic_arteries_compliance=_p(1.2, "mL/mmHg", 0.2, 5.0),
    systemic_arteries_resistance=_p(0.8, "mmHg s/mL", 0.2, 4.0),
    systemic_arteries_inertance=_p(5e-3, "mmHg s^2/mL", 1e-4, 5e-2),
    systemic_veins_compliance=_p(60.0, "mL/mmHg", 10.0, 200.0),
    systemic_veins_resistance=_p(0.26, "mmHg s/mL", 0.01, 1.0),
    systemic_veins_inertance=_p(5e-4, "mmHg s^2/mL", 1e-5, 1e-2),
    pulmonary_arteries_compliance=_p(10.0, "mL/mmHg", 0.5, 20.0),
    pulmonary_arteries_resistance=_p(0.1625, "mmHg s/mL", 0.01, 1.5),
    pulmonary_arteries_inertance=_p(5e-4, "mmHg s^2/mL", 1e-5, 1e-2),
    pulmonary_veins_compliance=_p(16.0, "mL/mmHg", 2.0, 60.0),
    pulmonary_veins_resistance=_p(0.1625, "mmHg s/mL", 0.01, 1.0),
    pulmonary_veins_inertance=_p(5e-4, "mmHg s^2/mL", 1e-5, 1e-2),
    valve_open_resistance=_p(0.0075, "mmHg s/mL", 1e-4, 0.1),
    valve_closed_resistance=_p(75006.2, "mmHg s/mL", 1e2, 1e6),
    valve_inertance=Parameter(
        5e-4, "mmHg s^2/mL", (5e-5, 5e-3), "density times length over area, 1.06 g/mL, 2.5 cm, 4 cm^2; Mynard et al. (2012), IJNMBE 28, 626"
    ),
)
"""A healthy adult. Times are parts of the period."""

Values = Mapping[str, ArrayLike]


def regazzoni_values() -> dict[str, float]:
    """The values of :data:`REGAZZONI_2022` by name, to be changed and given to :func:`closed_loop`."""
    return {name: parameter.value for name, parameter in REGAZZONI_2022.items()}


def closed_loop(values: Values) -> Compartments:
    """The circulation as compartments, for fast runs; values may be traced or batched.

    Args:
        values: Every name of :data:`REGAZZONI_2022`; see :func:`regazzoni_values`.
    """
    v = {name: jnp.asarray(values[name], float) for name in REGAZZONI_2022}
    names = (*CHAMBERS, *VESSELS)
    shape = jnp.broadcast_shapes(*(value.shape for value in v.values()))

    def row(parts: list[Array]) -> Array:
        return jnp.stack([jnp.broadcast_to(part, shape) for part in parts])

    passive = row([v[f"{name}_passive_elastance"] for name in CHAMBERS] + [1 / v[f"{name}_compliance"] for name in VESSELS])
    rest = row([v[f"{name}_rest_volume"] for name in CHAMBERS] + [jnp.zeros(())] * len(VESSELS))
    timed = ("contraction_start", "contraction_time", "relaxation_time")
    active = jnp.stack(
        [row([v[f"{name}_active_elastance"] for name in CHAMBERS])]
        + [row([v[f"{name}_{what}"] * v["period"] for name in CHAMBERS]) for what in timed]
    )
    resistance, inertance, branches = [], [], []
    for name in names:
        valve = name in VALVES
        resistance.append(v["valve_open_resistance"] if valve else v[f"{name}_resistance"])
        inertance.append(v["valve_inertance"] if valve else v[f"{name}_inertance"])
        after = RING[(RING.index(name) + 1) % len(RING)]
        branches.append((VALVES.get(name, f"{name}_flow"), name, after, valve))
    upstream = tuple(names.index(up) for _, up, _, _ in branches)
    downstream = tuple(names.index(down) for _, _, down, _ in branches)
    flags = tuple(valve for *_, valve in branches)
    table = jnp.stack([row(resistance), row(inertance)])
    return Compartments(jnp.stack([passive, rest]), active, table, names, tuple(b[0] for b in branches), upstream, downstream, flags)


def filled(loop: Compartments, blood_volume: ArrayLike) -> LoopState:
    """Unknowns of a heart at rest, one pressure everywhere, that hold this volume (mL); a place to start from."""
    elastance, rest = loop.elastic
    pressure = (jnp.asarray(blood_volume) - rest.sum(0)) / (1 / elastance).sum(0)
    volumes = rest + pressure[None] / elastance
    return jnp.concatenate([volumes, jnp.zeros((len(loop.flows), *volumes.shape[1:]), volumes.dtype)])


class LoopRun(eqx.Module):
    """Beats of a closed loop.

    Attributes:
        times: s, the beginning and the end of every step.
        volumes: mL.
        pressures: mmHg.
        flows: mL/s, half a step before these times.
        final: State to go on from.
        status: A :class:`solvers.status.Status` code.
        beat_change: How much the volumes change over the last beat, over the largest volume.
    """

    times: Float[Array, " times"]
    volumes: Float[Array, "times compartments *batch"]
    pressures: Float[Array, "times compartments *batch"]
    flows: Float[Array, "times branches *batch"]
    final: LoopState
    status: Array
    beat_change: Array

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.status.SimulationError` when this, or any member of a batch, failed."""
        raise_for_status(self.status)


def run_beats(loop: Compartments, state: LoopState, onsets: Float[Array, " onsets"], steps: int) -> LoopRun:
    """Steps a loop through beats that begin at these times.

    Args:
        loop: The circulation.
        state: From :func:`filled`, or where another run ended.
        onsets: s, one more than beats, increasing; may be traced.
        steps: Per beat.

    Raises:
        ValueError: Fewer than two onsets, no steps, or onsets known not to increase.
    """
    if onsets.shape[0] < 2 or steps < 1:
        raise ValueError(f"got {onsets.shape[0]} onsets and {steps} steps; expected at least 2 and 1; do: give the beginning of every beat")
    if not isinstance(onsets, Tracer) and not bool((np.diff(np.asarray(onsets)) > 0).all()):
        raise ValueError("got onsets that do not increase; expected increasing times; do: sort them, and remove beats found twice")
    beats, count = onsets.shape[0] - 1, len(loop.names)
    stepper = StaggeredLoop(loop, onsets)
    mesh = time_mesh(0.0, [float(beats)], 1.0 / steps)
    solution = simulate(stepper, state, mesh, observe=lambda _, state: state)
    states = jnp.concatenate([state[None], solution.observations])
    moments = jnp.arange(beats * steps + 1) / steps
    since, period = jax.vmap(stepper.clock)(moments)
    # Pressures belong to volumes, flows to half a step before; the end of the last beat is not the start of another.
    pressures = jax.vmap(loop.pressures)(states, since, period)
    beat = jnp.minimum(jnp.floor(moments + 1e-6), beats - 1).astype(int)
    times = onsets[beat] + since
    change = jnp.max(jnp.abs(states[-1, :count] - states[-1 - steps, :count]), axis=0) / jnp.max(jnp.abs(states[-1, :count]), axis=0)
    return LoopRun(times, states[:, :count], pressures, states[:, count:], solution.final, solution.status, change)


def periodic_beat(loop: Compartments, start: LoopState, period: ArrayLike, steps: int, settle: int = 8, iterations: int = 12) -> LoopRun:
    """The beat that repeats itself, with the blood volume of the start and exact derivatives; see :func:`newton_fixed_point`.

    One patient; for many, ``jax.vmap``. The status is NOT_CONVERGED where the beat found does not repeat itself to 1e-8.
    """
    onsets = jnp.stack([jnp.zeros(()), jnp.asarray(period, float)])
    count = len(loop.names)
    mesh = time_mesh(0.0, [1.0], 1.0 / steps)

    def mapped(parts: tuple[Compartments, Array], state: LoopState) -> LoopState:
        return simulate(StaggeredLoop(*parts), state, mesh).final

    def scales(state: LoopState) -> LoopState:
        return jnp.concatenate([jnp.full(count, jnp.max(jnp.abs(state[:count]))), jnp.full(len(loop.flows), jnp.inf)])

    found = newton_fixed_point(mapped, (loop, onsets), start, scales, lambda _, state: state[:count].sum(), settle, iterations)
    run = run_beats(loop, found.point, onsets, steps)
    status = jnp.where((run.status == 0) & ~(run.beat_change < 1e-8), Status.NOT_CONVERGED, run.status)
    return eqx.tree_at(lambda r: r.status, run, status)


def closed_loop_netlist(values: Values) -> tuple[list[Block], list[tuple[str, str]]]:
    """Blocks and connections of the same circulation, values known numbers; its valves are smooth diodes without inertia.

    With inertia the flow that a diode stops within a step rings, and Newton's iterations fail at its corner.
    """
    period = values["period"]
    blocks, links = [], []
    for name in RING:
        after = RING[(RING.index(name) + 1) % len(RING)]
        if name in VALVES:
            timed = {
                key: jnp.asarray(values[f"{name}_{key}"]) * period for key in ("contraction_start", "contraction_time", "relaxation_time")
            }
            rest = values[f"{name}_rest_volume"]
            given = {key: values[f"{name}_{key}"] for key in ("passive_elastance", "active_elastance")}
            blocks.append(Block(name, "chamber", given | timed | {"diastolic_rest_volume": rest, "systolic_rest_volume": rest}))
            valve = {"open_resistance": values["valve_open_resistance"], "closed_resistance": values["valve_closed_resistance"]}
            blocks.append(Block(VALVES[name], "valve", valve | {"steepness": STEEPNESS}))
            links += [(name, VALVES[name]), (VALVES[name], after)]
        else:
            given = {key: values[f"{name}_{key}"] for key in ("resistance", "compliance", "inertance")}
            blocks.append(Block(name, "vessel_inlet_compliance", given))
            links.append((name, after))
    return blocks, links


def closed_loop_circuit(values: Values, step: float | None = None) -> Circuit:
    """The same circulation as a differential-algebraic circuit; the slower, independent way.

    Args:
        values: As for :func:`closed_loop`, known numbers.
        step: See :func:`physics.circuit_netlist.assemble`.
    """
    return assemble(*closed_loop_netlist(values), values["period"], step)
