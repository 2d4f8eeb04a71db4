"""A vessel with a flow into one end and a windkessel at the other, from physical units to the lattice."""

import math
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
    unit_inflow,
    wall_fractions,
)
from solvers.lattice_boltzmann.trt import MAGIC
from twinsim.errors import InputError

STABLE_MAGIC = 0.05
BEARS = {MAGIC: 13.0, STABLE_MAGIC: 19.0}
"""Largest speed times voxel over viscosity at which straight vessels stayed finite with each."""
MOST_VOXELS = 2e7
"""Of a box: 4 GB of populations and links, and an hour for some ten thousand steps on one core."""
INLET, OUTLET = 1, 2
"""Numbers of the openings."""
RISE = 0.05
"""Part of a period over which the flow rises from rest."""


def systolic_wave(phase: Float[np.ndarray, " times"], pulse: float) -> Float[np.ndarray, " times"]:
    """Flow over its mean at parts of a beat: a peak in its first third, ``pulse`` above the mean, and a small wave after it."""
    bump = np.exp(-(((phase - 0.2) / 0.09) ** 2)) + 0.25 * np.exp(-(((phase - 0.55) / 0.12) ** 2))
    bump = bump - bump[phase < 1].mean()
    return 1 + pulse * bump / bump.max()


def peak_axis_speed(diameter: float, stenosis: float, flow: float) -> float:
    """m/s on the axis of the narrowest section: of the parabola, or flatter where the narrowing is short; of m, a part, and m³/s."""
    narrow = 1.5 if stenosis else 2.0
    return narrow * flow / (np.pi * (diameter / 2) ** 2 * (1 - stenosis) ** 2)


def bearable_magic(speed: float, diameter: float, voxels: int, viscosity: float, given: float = 0.0) -> float:
    """The product of the two relaxations for a flow: 3/16, which puts walls in their place, where it bears it, else 0.05.

    Args:
        speed: At the peak, m/s.
        diameter: Of the healthy vessel, m.
        voxels: Per diameter.
        viscosity: The least, m²/s.
        given: A product to use instead, 0 for none.

    Raises:
        InputError: Voxels on which the flow would not stay finite: speed times voxel over viscosity beyond what was seen to be borne.
    """
    number = speed * diameter / voxels / viscosity
    magic = given or (MAGIC if number <= BEARS[MAGIC] else STABLE_MAGIC)
    most = BEARS[MAGIC] if magic > 0.1 else BEARS[STABLE_MAGIC]
    if number > most:
        raise InputError(
            f"a peak speed of {speed:.3g} m/s, which times a voxel over viscosity is {number:.3g}",
            f"at most {most:g}" + (f" with --magic {magic:g}" if given else ""),
            f"use --voxels-per-diameter {math.ceil(voxels * number / BEARS[STABLE_MAGIC])}"
            + (" without --magic" if given else "")
            + " or less flow",
        )
    return magic


def check_size(diameter: float, length: float, voxels: int, degrees: float = 0.0) -> None:
    """Refuses a vessel whose box is larger than memory and patience hold, before anything is made.

    Args:
        diameter: m.
        length: Of the box along x, m.
        voxels: Per diameter.
        degrees: Of the axis to x.

    Raises:
        InputError: Says how many voxels per diameter would do.
    """
    turned = np.radians(degrees)
    long = length / diameter
    box = long * (long * np.tan(turned) + 1 / np.cos(turned))  # times the cube of the voxels per diameter
    if box * voxels**3 > MOST_VOXELS:
        got = f"a box of {box * voxels**3 / 1e6:.1f} million voxels"
        do = f"use --voxels-per-diameter {int((MOST_VOXELS / box) ** (1 / 3))} or a shorter --length-mm"
        raise InputError(got, f"at most {MOST_VOXELS / 1e6:g} million", do)


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
        magic: Of the two relaxation times. See the option of `haemodynamics/vessel_flow` for what each bears.
    """

    def one(value: Any) -> jax.Array:
        return jnp.asarray(value, dtype)

    mean = flow / float(units.flow)
    profile = mean * unit_inflow(domain, INLET, shape.entering)
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
