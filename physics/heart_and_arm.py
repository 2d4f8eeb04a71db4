"""Heart, aorta and arm in one model, beat after beat: what a watch, a cuff and a finger clip see."""

from collections.abc import Mapping
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.arm_network import AORTA, BRACHIAL, FINGER, ROOT_NODE, arm_network, place_of
from physics.artery_cycles import MIDDLE, PASCAL_PER_MMHG, beat_mesh
from physics.circuit_cycle import SOLVED
from physics.coupled_arteries import ML_PER_M3, CoupledArteries, CoupledState, couple
from physics.left_heart import ROOT, left_heart, left_heart_parameters, left_heart_values
from solvers import Status, TimeMesh, simulate
from solvers.shapes import Index, Scalar

START = {"volume:left_atrium": 60.0, "volume:left_ventricle": 125.0, f"root:{ROOT}": 1.0, f"pressure:aortic:{ROOT}": 80.0}
Wave = Float[Array, " times"]
PERSON = {
    "period": 0.8, "stiffness": 1.0, "resistance": 1.0, "compliance": 0.6, "contractility": 1.0, "filling_pressure": 12.0, "delay": -0.04,
}  # fmt: skip
"""What differs among persons: time between beats (s), factor on the walls' stiffness, resistance (mmHg s/mL) and compliance (mL/mmHg) of
the periphery, factor on the ventricle's active elastance, pressure of the pulmonary veins (mmHg), and time from the R wave to the start of
the activation (s), which rises slowly at first and so begins before the pressure does."""
SYSTOLE = 1.25
"""Factor on the ventricle's times of contraction and relaxation in :mod:`physics.left_heart`, with which ejection against arteries in one
dimension lasts about as long as Weissler (1968) measured."""


class Signals(NamedTuple):
    """One beat from an R wave to the next.

    Attributes:
        times: From the R wave, s.
        ejection: Flow through the aortic valve, mL/s.
        ventricle: Pressure in the left ventricle, mmHg.
        aorta: Pressure half way along the ascending aorta, mmHg.
        brachial: Pressure half way along the brachial artery, mmHg.
        finger: Pressure half way along the digital artery, mmHg.
        plethysmogram: Volume of blood in the finger's windkessel beyond that at no pressure, mL.
        volume: Of the left ventricle, mL.
    """

    times: Wave
    ejection: Wave
    ventricle: Wave
    aorta: Wave
    brachial: Wave
    finger: Wave
    plethysmogram: Wave
    volume: Wave


class HeartAndArm(eqx.Module):
    r"""A left heart (:mod:`physics.left_heart`) that pumps into :func:`physics.arm_network.arm_network`.

    The plethysmogram is the blood stored behind the digital artery, $C\,p_C = \int Q_{in} - Q_{out}\,dt$, as in Charlton et al. (2019), Am.
    J. Physiol. Heart Circ. Physiol. 317, H1062; it knows no skin, no light and no venous blood.

    Args:
        cell: Longest cell, m.
        samples: Recorded times per beat, the first and the last included.
        substeps: Steps between two of them.

    Build it outside of jit: it holds the heart as assembled. Then :meth:`beat` takes traced values.
    """

    base: CoupledArteries
    mesh: TimeMesh
    cell: float = eqx.field(static=True)
    samples: int = eqx.field(static=True)
    substeps: int = eqx.field(static=True)

    def __init__(self, cell: float = 0.01, samples: int = 161, substeps: int = 8) -> None:
        self.cell, self.samples, self.substeps = cell, samples, substeps
        self.base = couple(arm_network(cell=cell), left_heart(left_heart_values(), 1e-3), {ROOT: ROOT_NODE})
        self.mesh = beat_mesh(1.0, samples)

    def model(self, person: Mapping[str, ArrayLike]) -> CoupledArteries:
        """The coupled model of a person; keys of :data:`PERSON`."""
        values: dict[str, ArrayLike] = dict(left_heart_values())
        period = jnp.asarray(person["period"], float)
        values["period"] = period
        values["left_ventricle_active_elastance"] = values["left_ventricle_active_elastance"] * jnp.asarray(person["contractility"])
        values["left_ventricle_contraction_start"] = jnp.asarray(person["delay"]) / period
        # Systole shortens less than the cycle, as the root of the period (Bazett); the values are those of a period of 0.8 s.
        for key in ("contraction_time", "relaxation_time"):
            values[f"left_ventricle_{key}"] = values[f"left_ventricle_{key}"] * (SYSTOLE * jnp.sqrt(0.8 / period))
        circuit = self.base.circuit.with_values(left_heart_parameters(values))
        circuit = eqx.tree_at(lambda c: c.period, circuit, period)
        veins = next(group.inputs[0][0] for group in circuit.groups if group.kind == "pressure_source")
        filling = jnp.reshape(jnp.asarray(person["filling_pressure"], float), (1,))
        circuit = eqx.tree_at(lambda c: c.inputs[veins].values, circuit, filling)
        network = arm_network(person["resistance"], person["compliance"], person["stiffness"], cell=self.cell)
        return CoupledArteries(network, circuit, self.base.ports, self.base.total)

    def start(self, person: Mapping[str, ArrayLike]) -> CoupledState:
        """Vessels and windkessels at the pressure at which radii hold, the heart filled; many beats from the periodic state."""
        model = self.model(person)
        state = model.initial_state(model.circuit.start(START, 10.0))
        outlets = model.network.flow().outlets
        pressure = model.network.external_pressure[0]
        return eqx.tree_at(lambda s: s.arteries.flow[2], state, jnp.where(outlets.windkessel, pressure, 0.0))

    def beat(self, person: Mapping[str, ArrayLike], state: CoupledState) -> tuple[CoupledState, Signals, Index]:
        """One beat from R wave to R wave: the state after it, what was seen, and a :class:`solvers.Status` code."""
        model = self.model(person)
        network, circuit = model.network, model.circuit
        period = jnp.asarray(person["period"], float)
        parts = (self.mesh.start, self.mesh.length, self.mesh.times)
        mesh = eqx.tree_at(lambda m: (m.start, m.length, m.times), self.mesh, tuple(part * period for part in parts))
        solution = simulate(model.stepper(self.substeps), state, mesh)
        seen, layout = solution.states, network.layout
        area = seen.arteries.flow[0]

        def pressure(name: str) -> Wave:
            vessel = place_of(name)
            cell = int(layout.stations[vessel, MIDDLE])
            wall = network.walls(layout.cell_vessel[cell : cell + 1], layout.cell_place[cell : cell + 1])
            root = jnp.sqrt(area[:, cell] / wall.reference_area[0])
            return (wall.external_pressure[0] + wall.stiffness[0] * (root - 1)) / PASCAL_PER_MMHG

        node = layout.nodes.index(network.target[place_of(FINGER)])
        stored = seen.arteries.flow[2][:, node] * network.compliance[place_of(FINGER)] * ML_PER_M3
        unknowns = {
            "ejection": "flow:left_ventricle:aortic", "ventricle": "pressure:left_ventricle:aortic", "volume": "volume:left_ventricle",
        }  # fmt: skip
        heart = {key: seen.circuit[:, circuit.index(name)] for key, name in unknowns.items()}
        waves = {"aorta": pressure(AORTA), "brachial": pressure(BRACHIAL), "finger": pressure(FINGER)}
        signals = Signals(times=jnp.linspace(0.0, 1.0, self.samples) * period, plethysmogram=stored, **heart, **waves)
        status = jnp.where(solution.final.arteries.collapse[0] >= 0, Status.OUT_OF_RANGE, solution.status)
        fastest = model.network.flow().fastest(*solution.final.arteries.flow[:2])
        too_long = fastest * jnp.max(mesh.length) / self.substeps > 1
        status = jnp.where(too_long, Status.UNSTABLE_STEP, status)
        unsolved = (status == Status.SUCCESS) & ~(solution.final.circuit[-1] <= SOLVED)
        return solution.final, signals, jnp.where(unsolved, Status.NOT_CONVERGED, status).astype(int)


def settled(now: Signals, before: Signals) -> Scalar:
    """Largest change of the finger's pressure from one beat to the next, over its pulse."""
    return jnp.max(jnp.abs(now.finger - before.finger)) / (jnp.max(now.finger) - jnp.min(now.finger))
