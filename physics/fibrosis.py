"""Fibrosis and scar: which voxels are no muscle any more, and which faces between muscle cells no longer conduct."""

import math
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from solvers import Diffusion, Operator, TensorDiffusion, VoxelGrid

Volume = Float[Array, "x y z"]
Voxels = Bool[Array, "x y z"]
Triple = tuple[float, float, float]


class BlockedFaces(NamedTuple):
    """Per axis and voxel what belongs to the face between it and its next neighbour along that axis."""

    x: Array
    y: Array
    z: Array


def texture(grid: VoxelGrid, correlation_mm: float | Triple, key: Array) -> Volume:
    r"""A normal random field of variance one whose correlation at a distance $r$ is $e^{-r^2/2\ell^2}$ along each axis.

    Args:
        grid: The voxels.
        correlation_mm: $\ell$, one number or one per axis, mm; zero for independent voxels along that axis.
        key: Of the random numbers; the same key gives nested patterns for rising fractions.

    Raises:
        ValueError: A length that is negative or not finite.

    White noise smoothed by a Gaussian of width $\ell/\sqrt2$ on the box made periodic: what leaves on one side comes in on the other, so
    that patterns of lengths beyond a third of the box repeat themselves across its walls.
    """
    lengths = (correlation_mm,) * 3 if isinstance(correlation_mm, int | float) else correlation_mm
    if not all(math.isfinite(length) and length >= 0 for length in lengths):
        raise ValueError(
            f"got a correlation length of {correlation_mm} mm; expected none below zero; do: give mm, 0 for independent voxels"
        )
    spectrum = jnp.fft.fftn(jax.random.normal(key, grid.shape))
    power = 1.0
    for axis, (n, h, length) in enumerate(zip(grid.shape, grid.spacing, lengths, strict=True)):
        # exp(-k²l²/4) filters white noise into a field of correlation exp(-r²/2l²).
        wave = 2 * np.pi * np.fft.fftfreq(n, h)
        factor = np.exp(-((wave * length) ** 2) / 4)
        shape = [-1 if other == axis else 1 for other in range(3)]
        power *= float((factor**2).mean())
        spectrum = spectrum * jnp.asarray(factor.reshape(shape))
    return jnp.fft.ifftn(spectrum).real / math.sqrt(power)


def diffuse_fibrosis(grid: VoxelGrid, fraction: float, correlation_mm: float | Triple, key: Array) -> Voxels:
    """Voxels that fibrosis has replaced: the given fraction of the tissue, scattered in spots of the correlation length.

    Args:
        grid: The voxels.
        fraction: Of the active voxels, 0 to less than 1; reached to within one voxel.
        correlation_mm: As in :func:`texture`; zero is site percolation. Longer along the fibre than across for patchy fibrosis.
        key: Of the random numbers.

    Raises:
        ValueError: A fraction outside of 0 to 1, or 1.

    Independent voxels of a sheet stop conducting at large from a fraction of 0.407 on, of a volume from 0.688 on (site percolation on
    square and cubic lattices); :func:`physics.effective_conductivity` says how much is left before. Take the voxels out of the grid by
    :func:`without`.
    """
    _check_fraction(fraction)
    return grid.mask & _highest(texture(grid, correlation_mm, key), grid.mask, fraction)


def interstitial_fibrosis(
    grid: VoxelGrid, fraction: float, length_mm: float, key: Array, fibre_axis: Literal[0, 1, 2] = 0, across: tuple[int, ...] | None = None
) -> BlockedFaces:
    """BlockedFaces blocked by collagen between fibres: strands along the fibre that separate neighbours across it.

    Args:
        grid: The voxels.
        fraction: Of the faces of each axis across the fibre, 0 to 1; reached to within one face.
        length_mm: Correlation length along the fibre, the length of strands up to a factor of some two, mm.
        key: Of the random numbers.
        fibre_axis: Axis of the grid that the fibres follow.
        across: Axes whose faces are blocked; None for both others.

    Returns:
        Booleans, to be given to :func:`with_blocked_faces`. The faces along the fibre stay open, so a plane wave along the fibre in a
        uniform sheet does not feel them, while one across has to find its way.

    Raises:
        ValueError: A fraction outside of 0 to 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"got a fraction of {fraction}; expected 0 to 1; do: divide percent by 100")
    lengths = [0.0, 0.0, 0.0]
    lengths[fibre_axis] = length_mm
    blocked = []
    for axis in range(3):
        faces = grid.interior_faces(axis).reshape(grid.shape)
        if axis == fibre_axis or (across is not None and axis not in across):
            blocked.append(jnp.zeros(grid.shape, bool))
            continue
        field = texture(grid, (lengths[0], lengths[1], lengths[2]), jax.random.fold_in(key, axis))
        blocked.append(faces & _highest(field, faces, fraction))
    return BlockedFaces(*blocked)


def compact_scar(grid: VoxelGrid, centre_mm: Triple, radii_mm: Triple) -> Voxels:
    """The tissue inside of an ellipsoid.

    Args:
        grid: The voxels.
        centre_mm: From the corner of the grid, mm.
        radii_mm: Half axes, along the axes of the grid, mm; infinite for a scar through the whole box along that axis.

    Raises:
        ValueError: Radii that are not positive.
    """
    if not all(radius > 0 for radius in radii_mm):
        raise ValueError(f"got radii {radii_mm} mm; expected them positive; do: give half axes in mm")
    squares = [
        ((np.arange(n) + 0.5) * h - place) ** 2 / radius**2
        for n, h, place, radius in zip(grid.shape, grid.spacing, centre_mm, radii_mm, strict=True)
    ]
    return grid.mask & jnp.asarray(squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :] < 1)


def straight_barrier(grid: VoxelGrid, axis: int, place_mm: float, low_mm: Triple, high_mm: Triple) -> BlockedFaces:
    """Blocked faces in a plane: a line of block, a cut, the wall of a channel.

    Args:
        grid: The voxels.
        axis: Normal of the plane.
        place_mm: Where the plane lies along it; the nearest layer of faces is taken, mm from the corner of the grid.
        low_mm: Lowest corner of the part of the plane that blocks, mm; its entry along ``axis`` is not looked at.
        high_mm: Highest corner.

    Raises:
        ValueError: A plane outside of the grid's inner faces.
    """
    layer = round(place_mm / grid.spacing[axis]) - 1
    if not 0 <= layer < grid.shape[axis] - 1:
        raise ValueError(
            f"got a barrier at {place_mm:g} mm; expected inside of {grid.shape[axis] * grid.spacing[axis]:g} mm; do: move it into the grid"
        )
    inside = np.ones(grid.shape, bool)
    for other in range(3):
        n, h = grid.shape[other], grid.spacing[other]
        centre = (np.arange(n) + 0.5) * h
        part = np.arange(n) == layer if other == axis else (centre > low_mm[other]) & (centre < high_mm[other])
        inside &= part.reshape([-1 if index == other else 1 for index in range(3)])
    return BlockedFaces(*(jnp.asarray(inside) if index == axis else jnp.zeros(grid.shape, bool) for index in range(3)))


def without(grid: VoxelGrid, scar: Voxels) -> VoxelGrid:
    """The grid without the voxels of a scar or of fibrosis: nothing crosses their surface, nothing happens in them.

    Raises:
        ValueError: Nothing is left, or another shape.
    """
    if scar.shape != grid.shape:
        raise ValueError(f"got a scar of shape {scar.shape}; expected {grid.shape}; do: resample it to the grid")
    return VoxelGrid(np.asarray(grid.mask) & ~np.asarray(scar), grid.spacing)


def with_blocked_faces[T: Operator](operator: T, grid: VoxelGrid, blocked: BlockedFaces, left: ArrayLike = 0.0) -> T:
    r"""A diffusion whose conductance through blocked faces is only a share of what it was.

    Args:
        operator: ``Diffusion`` (orders 2 and 4) or ``TensorDiffusion``, built on ``grid``.
        grid: The voxels.
        blocked: Booleans, or how much of each face is blocked from 0 to 1.
        left: Share that a blocked face keeps, 0 to 1; traced values have gradients (but at 0 with a tensor).

    Returns:
        The same kind of operator: symmetric, conservative and dissipative. Each face's conductance is multiplied by
        $1 - b(1-\ell)$; a tensor's slopes across that face by the root of it, so that its energy stays a sum of squares and a wholly
        blocked face is what the boundary of the mask is.

    Raises:
        ValueError: Another operator: the lattice directions of ``MonotoneDiffusion`` and ``LatticeDiffusion`` reach across faces.
    """
    if not isinstance(operator, Diffusion | TensorDiffusion) or operator.wraps is not None:
        raise ValueError(
            f"got blocked faces for {type(operator).__name__}; expected Diffusion or TensorDiffusion without periodic walls; "
            "do: use one of them, or take voxels out of the mask"
        )
    shares = [1 - jnp.asarray(part, operator.faces[0].dtype).reshape(-1) * (1 - jnp.asarray(left)) for part in blocked]
    faces = tuple(
        face * jnp.pad(share, (stride, 0), constant_values=1)
        for face, share, stride in zip(operator.faces, shares, grid.strides, strict=True)
    )
    changed = eqx.tree_at(lambda o: o.faces, operator, faces)
    if isinstance(changed, TensorDiffusion):
        opened = tuple(part * jnp.sqrt(share) for part, share in zip(changed.open_faces, shares, strict=True))
        changed = eqx.tree_at(lambda o: o.open_faces, changed, opened)
    return changed


def _check_fraction(fraction: float) -> None:
    if not 0 <= fraction < 1:
        raise ValueError(f"got a fraction of {fraction}; expected 0 to less than 1; do: divide percent by 100")


def _highest(field: Volume, among: Voxels, fraction: float) -> Voxels:
    """The given fraction of the places, those of the highest values; ties are broken by place, so that the count is exact."""
    count = round(fraction * int(np.asarray(among).sum()))
    values = np.where(np.asarray(among), np.asarray(field, float), -np.inf).reshape(-1)
    chosen = np.zeros(values.size, bool)
    chosen[np.argsort(-values, kind="stable")[:count]] = True
    return jnp.asarray(chosen.reshape(field.shape))
