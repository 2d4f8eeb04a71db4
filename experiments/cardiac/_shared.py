"""What the experiments on the heart share: refusals, discretisations by name, and the devices."""

import math
from contextlib import suppress
from typing import SupportsFloat

import jax.numpy as jnp

from physics import CELL_MODELS, CellModel, Monodomain, fibre_tensor, front_fit
from solvers import (
    BlendedDiffusion,
    BlendedMass,
    Diffusion,
    LatticeDiffusion,
    MassSolved,
    Operator,
    TensorDiffusion,
    VoxelGrid,
    device_mesh,
)
from twinsim.errors import InputError, near_misses

SCHEMES = ("lattice", "finite_volume", "blended_mass")
BLEND = 0.5  # of the masses: fourth order


def check_cell_and_step(cell_model: str, dt_ms: float) -> None:
    """Refuses a cell model that nobody knows, and steps that resolve no upstroke."""
    if cell_model not in CELL_MODELS:
        raise InputError(f"cell-model {cell_model!r}", "the name of a cell model", near_misses(cell_model, CELL_MODELS))
    if not (0.0005 <= dt_ms <= 0.1):
        raise InputError(f"dt-ms {dt_ms:g}", "0.0005 to 0.1 ms", "use 0.01; above 0.1 the upstroke is not resolved")


def check_scheme(scheme: str) -> None:
    """Refuses a discretisation that nobody knows."""
    if scheme not in SCHEMES:
        raise InputError(f"scheme {scheme!r}", "the name of a discretisation", near_misses(scheme, SCHEMES))


def check_two_grids(spacing_mm: float, search_spacing_mm: float) -> None:
    """Refuses an inverse problem whose second grid is not finer than its first."""
    if spacing_mm >= search_spacing_mm:
        raise InputError(
            f"spacing-mm {spacing_mm:g} not below search-spacing-mm {search_spacing_mm:g}",
            "a finer grid for the fit than for the search, which judges what voxels cannot resolve",
            "choose a smaller --spacing-mm",
        )


def finite(value: SupportsFloat) -> float | None:
    """A number for a summary, which says None where there is none."""
    return float(value) if math.isfinite(float(value)) else None


def spacing_mark(spacing_mm: float) -> str:
    """A spacing as part of a name in a summary."""
    return f"{spacing_mm:g}".replace(".", "_")


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


def on_all_devices(equation: Monodomain, grid: VoxelGrid) -> Monodomain:
    """The equation divided over this process's devices where that works, else as it is."""
    devices = device_mesh()
    if devices.size > 1:
        with suppress(ValueError):
            return equation.on_devices(grid, devices)
    return equation
