"""Diffusion tensors of tissue whose fibres have a direction."""

import warnings

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers import VoxelGrid
from solvers.shapes import Tensor

SPEED_PER_ROOT = 2.0  # mm/ms for 1 mm^2/ms: the epicardial cell of ten Tusscher 2006 has 1.99, simpler models 0.8 to 1.3
SLOWEST, FASTEST = 0.05, 6.0  # m/s along the fibre; nodal tissue 0.05, Purkinje fibres up to 4


def fibre_tensor(
    grid: VoxelGrid,
    along: ArrayLike,
    across: ArrayLike,
    fibres: ArrayLike | tuple[float, float, float] = (1.0, 0.0, 0.0),
    sheets: ArrayLike | tuple[float, float, float] | None = None,
    normal: ArrayLike | None = None,
) -> Tensor:
    r"""$D = D_\perp I + (D_\parallel - D_\perp)\,f f^T$, or with sheets $D = D_n I + (D_\parallel-D_n)\,ff^T + (D_\perp-D_n)\,ss^T$.

    Args:
        grid: The voxels.
        along: $D_\parallel$ in mm²/ms, a number or one per voxel ``(x, y, z)``.
        across: $D_\perp$, the same; with sheets, that within the sheet.
        fibres: Unit vectors $f$, one ``(3,)`` or one per voxel ``(x, y, z, 3)``, in the axes of the grid.
        sheets: Unit vectors $s$ in the sheet, perpendicular to the fibre, for orthotropic tissue; None for transversely isotropic.
        normal: $D_n$, perpendicular to the sheet; needed with ``sheets``.

    Returns:
        ``(x, y, z, 3, 3)``, the tensors that :class:`solvers.TensorDiffusion` and :class:`solvers.MonotoneDiffusion` take.

    Raises:
        ValueError: Vectors of another shape, not of unit length or missing (zero, NaN) in an active voxel, or not perpendicular;
            diffusivities that are negative or not finite. Values that are traced can't be looked at and pass.

    Warns:
        UserWarning: The velocity that $D_\parallel$ implies, about $2\sqrt{D_\parallel}$ m/s, is not one of tissue: a unit is wrong.

    Good values: :func:`physics.niederer_diffusivities`. Outside of the mask anything may stand.
    """
    f = _vectors(grid, fibres, "fibres")
    values = [_diffusivity(grid, value, name) for value, name in ((along, "along"), (across, "across"))]
    warn_of_speed(grid, values[0])
    if sheets is None:
        if normal is not None:
            raise ValueError("got a diffusivity normal to sheets without sheets; expected both; do: give sheets, or leave out normal")
        return _isotropic(values[1], grid) + _outer(values[0] - values[1], f)
    if normal is None:
        raise ValueError("got sheets without a diffusivity normal to them; expected both; do: give normal, in mm^2/ms")
    s = _vectors(grid, sheets, "sheets")
    _check_perpendicular(grid, f, s)
    across_sheet = _diffusivity(grid, normal, "normal")
    return _isotropic(across_sheet, grid) + _outer(values[0] - across_sheet, f) + _outer(values[1] - across_sheet, s)


def warn_of_speed(grid: VoxelGrid, along: Array) -> None:
    """Warns where the largest diffusivity implies a conduction velocity that no tissue has: a unit is off, by 1000 most often."""
    if isinstance(along, Tracer) or isinstance(grid.mask, Tracer):
        return
    speed = SPEED_PER_ROOT * float(np.sqrt(np.asarray(along)[np.asarray(grid.mask)].max()))
    if 0 < speed < SLOWEST or speed > FASTEST:
        warnings.warn(
            f"got a diffusivity that implies {speed:.3g} m/s along the fibre; expected {SLOWEST:g} to {FASTEST:g}; do: give "
            "conductivity in S/m, surface in 1/mm, capacitance in uF/mm^2 (tissue_diffusivity), lengths in mm and times in ms",
            stacklevel=3,
        )


def _vectors(grid: VoxelGrid, given: ArrayLike | tuple[float, float, float], name: str) -> Float[Array, "x y z 3"]:
    vectors = jnp.asarray(given, dtype=float)
    if vectors.shape not in ((3,), (*grid.shape, 3)):
        raise ValueError(f"got {name} of shape {vectors.shape}; expected (3,) or {(*grid.shape, 3)}; do: resample them to the grid")
    vectors = jnp.broadcast_to(vectors.reshape((1, 1, 1, 3) if vectors.ndim == 1 else vectors.shape), (*grid.shape, 3))
    if isinstance(vectors, Tracer) or isinstance(grid.mask, Tracer):
        return vectors
    active = np.asarray(vectors)[np.asarray(grid.mask)]
    missing = ~np.isfinite(active).all(axis=-1) | ~active.any(axis=-1)
    if missing.any():
        raise ValueError(
            f"got {name} missing (zero or not finite) in {missing.sum()} of {missing.size} active voxels; expected one in each; "
            "do: extend them from neighbours, or take these voxels out of the mask"
        )
    lengths = np.linalg.norm(active, axis=-1)
    worst = float(lengths[np.argmax(np.abs(lengths - 1))])
    if abs(worst - 1) > 1e-3:
        raise ValueError(f"got {name} of length {worst:.4g}; expected unit length to 1e-3; do: divide each by its length")
    return jnp.where(grid.mask[..., None], vectors, jnp.asarray([1.0, 0.0, 0.0], vectors.dtype).reshape(1, 1, 1, 3))


def _check_perpendicular(grid: VoxelGrid, fibres: Array, sheets: Array) -> None:
    product = (fibres * sheets).sum(axis=-1)
    if isinstance(product, Tracer) or isinstance(grid.mask, Tracer):
        return
    worst = float(np.abs(np.asarray(product))[np.asarray(grid.mask)].max())
    if worst > 1e-3:
        raise ValueError(
            f"got sheets with a part of {worst:.3g} along the fibre; expected perpendicular to 1e-3; do: subtract that part and normalise"
        )


def _diffusivity(grid: VoxelGrid, given: ArrayLike, name: str) -> Float[Array, "x y z"]:
    value = jnp.asarray(given, dtype=float)
    if value.shape not in ((), grid.shape):
        raise ValueError(f"got a diffusivity {name} of shape {value.shape}; expected a number or {grid.shape}; do: resample it to the grid")
    value = jnp.broadcast_to(value, grid.shape)
    if not isinstance(value, Tracer) and not isinstance(grid.mask, Tracer):
        active = np.asarray(value)[np.asarray(grid.mask)]
        if not np.isfinite(active).all() or active.min() < 0:
            raise ValueError(f"got a diffusivity {name} of {active.min():g}; expected finite and not negative; do: check the map")
    return jnp.where(grid.mask, value, 0)


def _isotropic(value: Float[Array, "x y z"], grid: VoxelGrid) -> Tensor:
    return value[..., None, None] * jnp.broadcast_to(jnp.eye(3, dtype=value.dtype), (*grid.shape, 3, 3))


def _outer(value: Float[Array, "x y z"], vectors: Float[Array, "x y z 3"]) -> Tensor:
    return value[..., None, None] * vectors[..., :, None] * vectors[..., None, :]
