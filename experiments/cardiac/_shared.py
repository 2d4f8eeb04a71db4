"""What the experiments on tissue share: discretisations by name."""

import math

import jax.numpy as jnp

from physics import CellModel, fibre_tensor, front_fit
from solvers import BlendedDiffusion, BlendedMass, Diffusion, LatticeDiffusion, MassSolved, Operator, TensorDiffusion, VoxelGrid
from twinsim.errors import InputError

SCHEMES = ("lattice", "finite_volume", "blended_mass")
BLEND = 0.5  # of the masses: fourth order


def fibre(angle_deg: float) -> tuple[float, float, float]:
    """Unit vector in the plane of the first two axes, exact on the axes."""
    turns = angle_deg % 360
    exact = {0.0: (1.0, 0.0), 90.0: (0.0, 1.0), 180.0: (-1.0, 0.0), 270.0: (0.0, -1.0)}
    x, y = exact.get(turns, (math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))))
    return x, y, 0.0


def conduction(scheme: str, grid: VoxelGrid, cell: CellModel, along: float, across: float, angle_deg: float) -> Operator:
    """Diffusion (mm²/ms) of uniform tissue by one of :data:`SCHEMES`."""
    x, y, _ = fibre(angle_deg)
    aligned = x == 0 or y == 0
    if scheme == "lattice":
        return LatticeDiffusion(grid, fibre_tensor(grid, along, across, fibre(angle_deg)), front_fit(cell))
    per_axis = tuple(jnp.full(grid.shape, across + (along - across) * part**2) for part in (x, y, 0.0))
    if scheme == "blended_mass":
        if not aligned:
            raise InputError(f"fibre-angle-deg {angle_deg:g} with blended_mass", "0 or 90", "use lattice, or fibres along an axis")
        return MassSolved(BlendedDiffusion(grid, (per_axis[0], per_axis[1], per_axis[2]), theta=BLEND), BlendedMass(grid, BLEND))
    if aligned:
        return Diffusion(grid, (per_axis[0], per_axis[1], per_axis[2]))
    return TensorDiffusion(grid, fibre_tensor(grid, along, across, fibre(angle_deg)))
