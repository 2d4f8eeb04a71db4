"""A vessel with a flow into one end and a windkessel at the other, from physical units to the lattice."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from physics.lattice_units import LatticeUnits
from physics.vessel_shape import VesselShape
from solvers.lattice_boltzmann import (
    TRT,
    Constant,
    FlowState,
    Inlet,
    LatticeBoltzmann,
    LatticeDomain,
    Outlets,
    Periodic,
    ViscosityLaw,
    wall_fractions,
)
from solvers.lattice_boltzmann.trt import MAGIC

INLET, OUTLET = 1, 2
"""Numbers of the openings."""
RISE = 0.05
"""Part of a period over which the flow rises from rest."""


def vessel_lattice(
    shape: VesselShape,
    domain: LatticeDomain,
    units: LatticeUnits,
    law: ViscosityLaw,
    flow: float,
    wave: Float[np.ndarray, " samples"],
    load: tuple[float, float, float],
    steps: int,
    frames: int,
    dtype: Any,
    magic: float = MAGIC,
) -> tuple[LatticeBoltzmann, FlowState]:
    """The stepper, a frame long, and blood at rest with the load filled as by the mean flow.

    A parabola enters, scaled so that its links bring the flow exactly. The load's pressure stays out of the lattice, where it would be
    far above the speed of sound squared; ``FlowState.loads`` has it.

    Args:
        shape: Of the vessel.
        domain: Its voxels, with the openings ``INLET`` and ``OUTLET``.
        units: Of the lattice.
        law: Viscosity in lattice units.
        flow: Mean, m³/s.
        wave: Flow over its mean at equal distances over a period.
        load: Resistance, resistance behind the compliance (Pa s/m³), compliance (m³/Pa).
        steps: Of a period.
        frames: Of a period; they divide the steps.
        dtype: Of the populations.
        magic: Of the two relaxation times. 3/16 bears a speed times voxel over viscosity of 13 at the peak, 0.05 one of 25.
    """

    def one(value: Any) -> jax.Array:
        return jnp.asarray(value, dtype)

    lattice, links = domain.lattice, domain.links_of(INLET)
    cell = np.stack(np.unravel_index(np.asarray(domain.cell[links]), domain.shape), axis=1) - 1
    direction = np.asarray(domain.direction[links])
    step, weight = lattice.steps[direction], np.asarray(lattice.weights)[direction]
    profile = shape.entering(cell + step / 2)
    mean = flow / float(units.flow)
    profile *= mean / -(2 / lattice.sound_squared * weight * (step * profile).sum(axis=1)).sum()  # what these links bring in a step
    proximal, distal = (part / float(units.resistance) for part in load[:2])
    outlets = Outlets(
        (OUTLET,), (Constant(one(0.0)),), one([proximal]), one([distal]), one([load[2] / float(units.compliance)]), relative=True
    )
    made = LatticeBoltzmann(
        domain,
        TRT(jax.tree.map(one, law), magic=magic),
        wall_fractions(domain, one(shape.distance)),
        inlets=(Inlet(INLET, one(profile), Periodic(one(wave), one(steps), rise=RISE * steps)),),
        outlets=outlets,
        substeps=steps // frames,
    )
    loads = one([[(proximal + distal) * mean, distal * mean]])
    return made, FlowState(made.initial_state().populations, loads)
