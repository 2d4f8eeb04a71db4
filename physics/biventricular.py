"""An analytic heart of two ventricles on voxels, with fibres by rule."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from solvers import VoxelGrid

LEFT, RIGHT = 1, 2


class BiventricularShape(NamedTuple):
    """Lengths in mm and angles in degrees of :func:`biventricular_heart`; the long axis is z with the base on top.

    Attributes:
        left_radius: Of the left cavity at its widest place.
        left_length: From that place to the inner apex.
        left_wall: Thickness of the left wall, the septum included.
        right_offset: From the left axis to the centre of the right ventricle, along x.
        right_radii: Of the right cavity's ellipsoid along x and y.
        right_length: From the widest place to its apex.
        right_wall: Thickness of the right free wall.
        base: Height at which both are cut off, above the widest place.
        helix_inside: Angle of the fibres to the circumference on the inner surface; positive is a right-handed helix.
        helix_outside: On the outer surface.
    """

    left_radius: float = 23.0
    left_length: float = 60.0
    left_wall: float = 10.0
    right_offset: float = 24.0
    right_radii: tuple[float, float] = (36.0, 30.0)
    right_length: float = 58.0
    right_wall: float = 4.0
    base: float = 12.0
    helix_inside: float = 60.0
    helix_outside: float = -60.0


class Heart(NamedTuple):
    """A heart on voxels.

    Attributes:
        grid: The voxels of the muscle, in the smallest box with one empty voxel round it.
        origin: Centre of the first voxel, mm, in the frame of the long axis.
        transmural: From 0 on the inner surface to 1 on the outer one, ``(x, y, z)``; 0 outside of the muscle.
        ventricle: :data:`LEFT` (septum included), :data:`RIGHT` or 0, ``(x, y, z)``.
        fibres: Unit vectors, ``(x, y, z, 3)``.
        sheets: Unit vectors across the wall, perpendicular to the fibres, ``(x, y, z, 3)``.
    """

    grid: VoxelGrid
    origin: np.ndarray
    transmural: Float[Array, "x y z"]
    ventricle: np.ndarray
    fibres: Float[Array, "x y z 3"]
    sheets: Float[Array, "x y z 3"]

    def positions(self) -> np.ndarray:
        """Centres of all voxels, mm, ``(x, y, z, 3)``."""
        index = np.stack(np.meshgrid(*(np.arange(n) for n in self.grid.shape), indexing="ij"), axis=-1)
        return self.origin + index * np.asarray(self.grid.spacing)

    def nearest(self, point: tuple[float, float, float] | np.ndarray, *, inside: float = 1.0) -> tuple[int, int, int]:
        """Index of the muscle voxel nearest to a point in mm, among those whose transmural coordinate is at most ``inside``."""
        allowed = np.asarray(self.grid.mask) & (np.asarray(self.transmural) <= inside)
        if not allowed.any():
            raise ValueError(f"got no muscle voxel with a transmural coordinate up to {inside:g}; expected some; do: raise it")
        where = np.argwhere(allowed)
        distance = np.linalg.norm(self.origin + where * np.asarray(self.grid.spacing) - np.asarray(point), axis=1)
        return tuple(int(i) for i in where[distance.argmin()])  # type: ignore[return-value]


def biventricular_heart(spacing_mm: float, shape: BiventricularShape | None = None) -> Heart:
    r"""Two ventricles as truncated ellipsoidal shells.

    With $\rho(x) = |((x - c)/a)|$ of an ellipsoid, the left muscle lies where $\rho_{in}\ge1$ and $\rho_{out}\le1$; the right free wall
    likewise, where it is outside of the left outer ellipsoid. Across a wall $t = (\rho_{in}-1)/((\rho_{in}-1)+(1-\rho_{out}))$ goes from 0
    to 1. The axes of a voxel are $e_t = \nabla t/|\nabla t|$, $e_l$ = the base's direction made perpendicular to $e_t$, and
    $e_c = e_l\times e_t$; fibre $f = \cos\alpha\,e_c + \sin\alpha\,e_l$ with $\alpha$ linear in $t$, sheet $s = e_t$.

    Args:
        spacing_mm: Voxel edge.
        shape: Dimensions and angles; None takes those of an adult's heart: 130 mL of muscle in diastole.

    Raises:
        ValueError: A length that is not positive, a spacing wider than half of the thinnest wall, or a right ventricle that
            does not reach out of the left one.

    Fails: at the apex, where the base's direction is perpendicular to the wall, the circumference has no direction and fibres
    are arbitrary within two wall widths; at the junction of the ventricles fibres jump. No papillary muscles, valves or outflow tracts.
    Source: helix rule: Streeter et al. (1969), Circ. Res. 24, 339; axes as in Bayer et al. (2012), Ann. Biomed. Eng. 40, 2243, with
    the closed form of $t$ in place of their Laplace solutions.
    """
    shape = BiventricularShape() if shape is None else shape
    _check(spacing_mm, shape)
    left_in = np.array([shape.left_radius, shape.left_radius, shape.left_length])
    left_out = left_in + shape.left_wall
    right_in = np.array([*shape.right_radii, shape.right_length])
    right_out = right_in + shape.right_wall
    centre = np.array([shape.right_offset, 0.0, 0.0])

    # Voxel centres half a voxel off the axes: none lies on a surface by symmetry, and none on the apex, where axes are not defined.
    low = (np.floor(np.minimum(-left_out, centre - right_out) / spacing_mm) - 1.5) * spacing_mm
    high = np.maximum(left_out, centre + right_out)
    high[2] = shape.base
    counts = np.ceil((high - low) / spacing_mm).astype(int) + 2
    index = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), axis=-1)
    points = jnp.asarray(low + index * spacing_mm)

    def level(x: Array, middle: np.ndarray, axes: np.ndarray) -> Array:
        return jnp.sqrt(sum(((x[..., a] - middle[a]) / axes[a]) ** 2 for a in range(3)))

    def across_left(x: Array) -> Array:
        return _between(level(x, 0 * centre, left_in), level(x, 0 * centre, left_out))

    def across_right(x: Array) -> Array:
        return _between(level(x, centre, right_in), level(x, centre, right_out))

    below = np.asarray(points[..., 2] <= shape.base)
    in_left_out = np.asarray(level(points, 0 * centre, left_out)) <= 1
    left = below & in_left_out & (np.asarray(level(points, 0 * centre, left_in)) >= 1)
    in_right = (np.asarray(level(points, centre, right_in)) >= 1) & (np.asarray(level(points, centre, right_out)) <= 1)
    right = below & ~in_left_out & in_right
    muscle = left | right
    where = np.argwhere(muscle)
    first, last = where.min(axis=0) - 1, where.max(axis=0) + 2
    # The muscle ends at the base, so one empty voxel lies above it as well.
    pad = [(max(0, -int(a)), max(0, int(b) - n)) for a, b, n in zip(first, last, counts, strict=True)]
    if any(before or after for before, after in pad):
        raise ValueError(f"got muscle at the edge of a box of {counts.tolist()} voxels; expected room; do: report this shape as a bug")
    box = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    muscle, left, points = muscle[box], left[box], points[box]

    flat = points[muscle]
    on_left = jnp.asarray(left[muscle])
    t = jnp.where(on_left, across_left(flat), across_right(flat))
    slopes = [jax.vmap(jax.grad(lambda x, f=f: f(x).sum()))(flat) for f in (across_left, across_right)]
    fibre, sheet = _axes(jnp.where(on_left[:, None], *slopes), t, shape)

    def volume(values: Array, empty: Array) -> Array:
        return jnp.broadcast_to(empty, (*muscle.shape, *values.shape[1:])).at[np.nonzero(muscle)].set(values)

    return Heart(
        VoxelGrid(muscle, spacing_mm),
        low + first * spacing_mm,
        volume(jnp.clip(t, 0, 1), jnp.zeros((), t.dtype)),
        np.where(left, LEFT, np.where(muscle, RIGHT, 0)),
        volume(fibre, jnp.asarray([1.0, 0.0, 0.0], fibre.dtype)),
        volume(sheet, jnp.asarray([0.0, 1.0, 0.0], sheet.dtype)),
    )


def _between(inner: Array, outer: Array) -> Array:
    from_inside, from_outside = inner - 1, 1 - outer
    return from_inside / (from_inside + from_outside)


def _axes(slope: Float[Array, "voxels 3"], t: Float[Array, " voxels"], shape: BiventricularShape) -> tuple[Array, Array]:
    """Fibre and sheet directions from the transmural slope."""
    across = slope / jnp.linalg.norm(slope, axis=-1, keepdims=True)
    up = jnp.asarray([[0.0, 0.0, 1.0]], across.dtype)
    along = up - jnp.sum(up * across, axis=-1, keepdims=True) * across
    size = jnp.linalg.norm(along, axis=-1, keepdims=True)
    sideways = jnp.asarray([[1.0, 0.0, 0.0]], across.dtype) - across[:, :1] * across  # at the very apex, where up is across
    along = jnp.where(size > 1e-3, along, sideways)
    along = along / jnp.linalg.norm(along, axis=-1, keepdims=True)
    around = jnp.cross(along, across)
    helix = jnp.deg2rad(shape.helix_inside + (shape.helix_outside - shape.helix_inside) * t)[:, None]
    return jnp.cos(helix) * around + jnp.sin(helix) * along, across


def _check(spacing_mm: float, shape: BiventricularShape) -> None:
    lengths = [spacing_mm, shape.left_radius, shape.left_length, shape.left_wall, *shape.right_radii, shape.right_length, shape.right_wall]
    if not all(np.isfinite(length) and length > 0 for length in lengths):
        raise ValueError(f"got a length of {min(lengths):g} mm; expected all above zero; do: check spacing and shape")
    thinnest = min(shape.left_wall, shape.right_wall)
    if spacing_mm > thinnest / 2:
        raise ValueError(
            f"got voxels of {spacing_mm:g} mm for a wall of {thinnest:g} mm; expected half of it at most; do: use smaller voxels"
        )
    if not -shape.left_length < shape.base < shape.left_length:
        raise ValueError(f"got a base at {shape.base:g} mm; expected it within {shape.left_length:g} mm of the middle; do: move it")
    if shape.right_offset + shape.right_radii[0] <= shape.left_radius + shape.left_wall:
        raise ValueError(
            f"got a right ventricle that ends {shape.right_offset + shape.right_radii[0]:g} mm from the left axis, inside of the left one; "
            "expected it to reach out; do: enlarge right_offset or right_radii"
        )
