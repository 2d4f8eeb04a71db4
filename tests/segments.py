"""Voxel pieces of vessels between arteries that several proofs share."""

import jax.numpy as jnp
import numpy as np
from scipy.special import jv

from physics import voxel_segment
from physics.lattice_units import lattice_units
from physics.vessel_shape import straight_vessel
from solvers.lattice_boltzmann import D3Q19, TRT, ConstantViscosity, face_patches, lattice_domain, unit_inflow, wall_fractions
from tests.arteries import DENSITY, artery

RADIUS = 3e-3
AREA = np.pi * RADIUS**2
VISCOSITY = 0.15
LENGTH = 0.25
"""Of each artery, m: no reflection returns from the far ends within the times looked at."""
CENTRE, WIDTH = 0.022, 0.006
"""Of the pulse, s."""


def pulse(times):
    return 5e-8 * np.exp(-(((times - CENTRE) / WIDTH) ** 2))


def segment(voxels=8, length=20, sound=12.0, cells=20, substeps=1, total=True, viscosity=VISCOSITY, dtype="float64", ends=None, **vessel):
    """A tube of so many voxels across and along between two inviscid arteries; ``sound`` is the lattice's, m/s."""
    speed = 0.01
    units = lattice_units(2 * RADIUS / voxels, DENSITY, viscosity / DENSITY, speed, speed / sound)
    shape = straight_vessel(voxels / 2, length)
    domain = lattice_domain(D3Q19, face_patches(shape.distance[1:-1, 1:-1, 1:-1] > 0, {1: (0, 0), 2: (0, 1)}))
    lattice_viscosity = viscosity / DENSITY / float(units.kinematic_viscosity)
    first, last = ends or ({}, {"outlet": "reflection", "reflection": 0.0})
    common = {"cells": cells, "length": LENGTH, **vessel}
    network = artery([{"ends": (1, 2), **common, **first}, {"ends": (3, 4), **common, **last}], flow=pulse)
    return voxel_segment(
        network,
        domain,
        TRT(ConstantViscosity(jnp.asarray(lattice_viscosity, dtype))),
        units,
        ports={1: 2, 2: 3},
        profiles={1: unit_inflow(domain, 1, shape.entering)},
        areas={1: AREA, 2: AREA},
        fraction=wall_fractions(domain, jnp.asarray(shape.distance, dtype)),
        total=total,
        substeps=substeps,
    )


def transmitted(model, times, length):
    r"""Flow (m³/s) that a small pulse sends through a rigid tube between two long vessels.

    $\hat Q=\hat Q_0e^{-i\omega\ell/c}\,2Z_c/(2Z_c+Z)$ with $Z=\frac{i\omega\rho L}{A}/(1-\frac{2J_1(\Lambda)}{\Lambda J_0(\Lambda)})$,
    $\Lambda=i^{3/2}\alpha$ (Womersley 1955), and $Z_c=\rho c/A$.
    """
    rate = model.network.flow()
    speed = float(rate.cells.resting_speed[5])
    count, period = 4096, 0.4
    fine = np.arange(count) * period / count
    spectrum, omega = np.fft.rfft(pulse(fine)), 2 * np.pi * np.fft.rfftfreq(count, period / count)
    omega[0] = 1e-6
    womersley = 1j**1.5 * RADIUS * np.sqrt(omega * DENSITY / VISCOSITY)
    rigid = 1j * omega * DENSITY * length / AREA / (1 - 2 * jv(1, womersley) / (womersley * jv(0, womersley)))
    impedance = DENSITY * speed / AREA
    answer = spectrum * np.exp(-1j * omega * LENGTH / speed) * 2 * impedance / (2 * impedance + rigid)
    return np.interp(times, fine, np.fft.irfft(answer, count))
