"""Small electrodes in small boxes that several kinds of proof share."""

import numpy as np

from physics import Conductor, Contact, Lead, LeadShape, SphericalElectrode, UnitFields, unit_fields, voxel_electrode
from solvers.linear.elliptic import Jacobi

TWO_RINGS = LeadShape(0.8, (Contact(1.0, 3.0), Contact(4.0, 6.0)), ("0", "1"), "drawn for tests")


def lead_conductor(conductivity=None, layer_mm=0.3, layer=0.15, impedance=0.0, ground="case", shape=(8, 8, 11), spacing=1.0):
    """A lead of two rings, oblique, in a box of random tissue."""
    lead = Lead(TWO_RINGS, (0.2, -0.1, -3.5), (0.2, 0.3, 0.9))
    origin = [-(n - 1) * spacing / 2 for n in shape]
    voxels = voxel_electrode(np.ones(shape, bool), spacing, origin, lead, layer_mm)
    if conductivity is None:
        conductivity = np.random.default_rng(1).uniform(0.1, 0.5, shape)
    return Conductor(voxels, conductivity, layer, impedance, ground)


def solved(conductor, tolerance=1e-10) -> UnitFields:
    """Unit fields by the preconditioner that compiles at once: these boxes are small."""
    unit = unit_fields(conductor, Jacobi(-conductor.operator().diagonal()), tolerance, 2000)
    unit.raise_for_status()
    return unit


def sphere_conductor(edge, half_width, radius, sigma, layer_mm=0.0, layer=0.1, tensor=False):
    """A ball of metal near the middle of a cube, off the lattice."""
    spacing = 2 * half_width / edge
    origin = -(edge - 1) * spacing / 2 + np.array([0.13, 0.07, -0.11]) * spacing
    ball = SphericalElectrode((0.0, 0.0, 0.0), radius)
    voxels = voxel_electrode(np.ones((edge,) * 3, bool), spacing, origin, ball, layer_mm)
    value = np.broadcast_to(sigma * np.eye(3), (edge, edge, edge, 3, 3)) if tensor else np.full((edge,) * 3, sigma)
    return Conductor(voxels, value, layer)


def distances(conductor):
    """Of voxels' centres from the middle, mm."""
    grid = conductor.voxels.grid
    axes = [first + h * np.arange(n) for first, h, n in zip(conductor.voxels.origin, grid.spacing, grid.shape, strict=True)]
    return np.sqrt(sum(part**2 for part in np.meshgrid(*axes, indexing="ij")))
