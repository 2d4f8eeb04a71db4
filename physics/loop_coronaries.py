"""Coronary arteries in the closed loop: beds from the root of the aorta to the right atrium, squeezed by the ventricles of the loop."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.circuit import Circuit
from physics.circuit_cycle import CircuitRun, periodic_run
from physics.circuit_netlist import Block, assemble
from physics.closed_loop import CHAMBERS, VALVES, Values, closed_loop_netlist
from physics.coronary_circuit import BED_COMPLIANCE, BED_RESISTANCE
from physics.parameters import Parameter, ParameterSet
from solvers.status import raise_for_status

SIDES = ("left", "right")
_ASSUMED = (
    "0.98 mL/min/g at rest, Chareonthaitawee et al. (2001), Cardiovasc. Res. 50, 151, through 160 g at 88 mmHg; that seven tenths are the "
    "left's is an assumption"
)
_ROOM = "an assumption: published fits and measurements lie between 0.004 and 0.1 mL/mmHg, and diastolic flow rises with it"

LOOP_CORONARIES = ParameterSet(
    "LoopCoronaries",
    left_resistance=Parameter(48.0, "mmHg s/mL", (5.0, 200.0), _ASSUMED),
    right_resistance=Parameter(112.0, "mmHg s/mL", (10.0, 500.0), _ASSUMED),
    left_compliance=Parameter(0.02, "mL/mmHg", (1e-3, 1.0), _ROOM),
    right_compliance=Parameter(0.01, "mL/mmHg", (1e-3, 1.0), _ROOM),
    muscle_share=Parameter(
        1.0, "1", (0.0, 1.0), "the ventricle's own pressure, Kim et al. (2010), Ann. Biomed. Eng. 38, 3195; the wall's mean is about half"
    ),
)  # fmt: skip
"""Beds of a healthy adult at rest. Parts of a bed: :data:`physics.coronary_circuit.BED_RESISTANCE` and ``BED_COMPLIANCE``."""


def coronary_values() -> dict[str, float]:
    """The values of :data:`LOOP_CORONARIES` by name, to be changed and given to :func:`loop_with_coronaries`."""
    return {name: parameter.value for name, parameter in LOOP_CORONARIES.items()}


def loop_with_coronaries(values: Values, coronaries: Mapping[str, ArrayLike], step: float | None = None) -> Circuit:
    r"""The circuit of :func:`physics.closed_loop.closed_loop_circuit` with a ``coronary_bed`` on either side.

    $P_m = s P_v$ is the pressure of the muscle, $P_v$ that of the loop's own ventricle of the side; the bed begins at the root of the aorta
    and ends in the right atrium. Nothing is prescribed over time.

    Args:
        values: As for :func:`physics.closed_loop.closed_loop`, known numbers.
        coronaries: Every name of :data:`LOOP_CORONARIES`; see :func:`coronary_values`.
        step: See :func:`physics.circuit_netlist.assemble`.

    Unknowns of interest: ``flow:root:left_coronary``, ``flow:left_coronary:sinus``, the same on the right, ``pressure:aortic:root``.
    Fails (status) as every circuit does. No autoregulation and no collapse: resistances hold whatever the pressure, so that muscle that
    relaxes draws some blood back from the veins. Source of the bed: Kim et al. (2010),
    Ann. Biomed. Eng. 38, 3195.
    """
    blocks, links = closed_loop_netlist(values)
    blocks += [Block("root", "junction"), Block("sinus", "junction")]
    links = [{("aortic", "systemic_arteries"): ("aortic", "root"), ("systemic_veins", "right_atrium"): ("systemic_veins", "sinus")}
             .get(link, link) for link in links]  # fmt: skip
    links += [("root", "systemic_arteries"), ("sinus", "right_atrium")]
    for side in SIDES:
        name, ventricle = f"{side}_coronary", f"{side}_ventricle"
        whole = {"resistance": coronaries[f"{side}_resistance"], "compliance": coronaries[f"{side}_compliance"]}
        parts = {key: part * whole["resistance"] for key, part in BED_RESISTANCE.items()}
        parts |= {key: part * whole["compliance"] for key, part in BED_COMPLIANCE.items()}
        cavity = f"{side}_cavity"
        blocks += [Block(name, "coronary_bed", parts | {"muscle_share": coronaries["muscle_share"]}), Block(cavity, "junction")]
        valve = (ventricle, VALVES[ventricle])
        links[links.index(valve)] = (ventricle, cavity)
        links += [(cavity, valve[1]), ("root", name), (cavity, name), (name, "sinus")]
    return assemble(blocks, links, values["period"], step)


class CoronaryBeat(NamedTuple):
    """A beat that repeats itself.

    Attributes:
        times: s.
        entering: mL/s into the beds, left and right.
        draining: mL/s out of them.
        aortic: mmHg at the root.
        cavity: mmHg in the ventricles, left and right.
        ejected: mL/s through the aortic valve.
        status: A :class:`solvers.status.Status` code.
    """

    times: Float[Array, " times"]
    entering: Float[Array, "2 times"]
    draining: Float[Array, "2 times"]
    aortic: Float[Array, " times"]
    cavity: Float[Array, "2 times"]
    ejected: Float[Array, " times"]
    status: Array

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.status.SimulationError` when the beat does not repeat itself or is no number."""
        raise_for_status(self.status)


def coronary_beat(circuit: Circuit, values: Values, steps: int) -> CoronaryBeat:
    """The beat of :func:`loop_with_coronaries` that repeats itself, with the blood volume of the values."""
    run: CircuitRun = periodic_run(circuit, _filled(circuit, values), steps, period=float(np.asarray(values["period"])), settle=8)

    def course(name: str) -> Array:
        return run.states[:, circuit.index(name)]

    return CoronaryBeat(
        run.times,
        jnp.stack([course(f"flow:root:{side}_coronary") for side in SIDES]),
        jnp.stack([course(f"flow:{side}_coronary:sinus") for side in SIDES]),
        course("pressure:aortic:root"),
        jnp.stack([course(f"pressure:{side}_ventricle:{side}_cavity") for side in SIDES]),
        course("flow:aortic:root"),
        run.status,
    )


def _filled(circuit: Circuit, values: Values) -> Float[Array, " unknowns"]:
    """Unknowns of a heart at rest, one pressure everywhere, that hold the blood volume."""

    def at(pressure: ArrayLike) -> Array:
        given = {f"volume:{name}": values[f"{name}_rest_volume"] + pressure / values[f"{name}_passive_elastance"] for name in CHAMBERS}
        for side in SIDES:
            room = circuit.value(f"{side}_coronary.intramyocardial_compliance") * (1 - circuit.value(f"{side}_coronary.muscle_share"))
            given[f"intramyocardial_volume:{side}_coronary"] = room * pressure
        return circuit.start(given, pressure)

    empty, more = circuit.volume(at(0.0)), circuit.volume(at(1.0))
    return at((values["blood_volume"] - empty) / (more - empty))
