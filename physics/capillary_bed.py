"""Capillaries on voxels: which voxels each one lies in, and how strongly it exchanges there."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import i0e, i1e
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from physics.number_checks import check_numbers
from solvers import VoxelGrid
from solvers.shapes import Cells, Scalar

SAMPLES = 5  # per edge of a voxel: areas to about one per cent, corrected to the exact sum
STEPS = 30
LARGEST = 30_000_000  # samples of one piece: some 1 GB on the host


class CapillaryBed(eqx.Module):
    """Straight pieces of capillaries as lists: entry ``e`` says that piece ``member[e]`` fills ``fraction[e]`` of voxel ``voxel[e]``.

    Attributes:
        voxel: Of the flat grid.
        member: Number of the piece.
        fraction: Of the voxel's volume, within the radius of exchange.
        cells: Of the grid.
        pieces: How many there are.
    """

    voxel: Int[Array, " entries"]
    member: Int[Array, " entries"]
    fraction: Float[Array, " entries"]
    cells: int = eqx.field(static=True)
    pieces: int = eqx.field(static=True)

    def gathered(self, values: Float[Array, " pieces"] | Scalar) -> Cells:
        r"""$\sum_c f_c\,v_c$ in every voxel, for a value per piece or one for all.

        Raises:
            ValueError: Another number of values than of pieces (an index out of bounds would silently take the last).
        """
        values = jnp.asarray(values, self.fraction.dtype)
        if values.shape not in ((), (self.pieces,)):
            raise ValueError(
                f"got values of shape {values.shape} for {self.pieces} capillaries; expected {(self.pieces,)} or one number; "
                "do: give one value per piece"
            )
        mine = values if values.ndim == 0 else values[self.member]
        return jnp.zeros(self.cells, self.fraction.dtype).at[self.voxel].add(self.fraction * mine)


def capillary_bed(
    grid: VoxelGrid,
    starts_mm: ArrayLike,
    ends_mm: ArrayLike,
    radius_mm: float,
    periodic: tuple[bool, bool, bool] = (False, False, False),
) -> CapillaryBed:
    """Straight pieces of capillaries put on a grid; on the host, once.

    Args:
        grid: In mm. A cross-section is a grid of one voxel along z, with pieces from z = 0 to its thickness.
        starts_mm: ``(pieces, 3)``, from the lower corner of the box.
        ends_mm: Likewise.
        radius_mm: Of exchange: that of the capillary or larger, see :func:`exchange_coefficient`. At least three quarters of a voxel; the
            error then is some per cent of the fall in pressure beside the capillary, and order two as voxels shrink.
        periodic: Axes along which what leaves the box comes in at the other end.

    Raises:
        ValueError: No piece, places of another shape, a piece without length, too short to be seen, too long, or with numbers that are not
            finite, one that leaves a cross-section's thickness, a radius below three quarters of a voxel or larger than the grid, or a
            piece that lies in no active voxel.
    """
    starts, ends = (np.atleast_2d(np.asarray(part, float)) for part in (starts_mm, ends_mm))
    for part in (starts, ends):
        if part.ndim != 2 or part.shape[1] != 3:
            raise ValueError(
                f"got places of shape {part.shape}; expected (pieces, 3) with at least one piece; do: give x, y and z of each, in mm "
                "(in a section z from 0 to its thickness)"
            )
    if not len(starts) or starts.shape != ends.shape:
        raise ValueError(
            f"got {len(starts)} starts and {len(ends)} ends of capillaries; expected at least one of each; do: give the tissue a capillary"
        )
    along = ends - starts
    length = np.linalg.norm(along, axis=1)
    if not (np.isfinite(length).all() and (length > 0).all()):
        raise ValueError("got a capillary without length or at no place; expected finite, different ends; do: drop it or repair the file")
    across = [h for axis, h in enumerate(grid.spacing) if grid.shape[axis] > 1]
    widest = max(h * count for h, count in zip(grid.spacing, grid.shape, strict=True))
    if not 0 < radius_mm <= widest:
        raise ValueError(
            f"got an exchange radius of {radius_mm:g} mm on a grid of {widest:g} mm; expected one above 0 within it; do: give it in mm"
        )
    if not radius_mm >= 0.75 * max(across, default=0.0):
        raise ValueError(
            f"got an exchange radius of {radius_mm:g} mm on voxels of {max(across):g} mm; expected at least three quarters of a voxel; "
            "do: use smaller voxels or a larger radius, exchange_coefficient makes up for it"
        )
    mask, spacing, shape = np.asarray(grid.mask).reshape(-1), np.asarray(grid.spacing), np.asarray(grid.shape)
    offsets = (np.stack(np.meshgrid(*[np.arange(SAMPLES)] * 3, indexing="ij"), -1).reshape(-1, 3) + 0.5) / SAMPLES - 0.5
    thin = shape == 1
    beyond = thin & ((np.minimum(starts, ends) < -1e-6 * spacing) | (np.maximum(starts, ends) > (1 + 1e-6) * spacing))
    if beyond.any():  # all of its volume would go to the one voxel that there is
        number, axis = map(int, np.argwhere(beyond)[0])
        raise ValueError(
            f"got capillary {number} from {starts[number, axis]:g} to {ends[number, axis]:g} mm along {'xyz'[axis]}, where the grid is one "
            f"voxel thick; expected 0 to {spacing[axis]:g} mm; do: cut it at the faces of the section"
        )
    offsets = np.unique(np.where(thin, 0.0, offsets), axis=0)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for number, (start, step, far) in enumerate(zip(starts, along, length, strict=True)):
        low = np.floor((np.minimum(start, start + step) - radius_mm) / spacing).astype(int)
        high = np.floor((np.maximum(start, start + step) + radius_mm) / spacing).astype(int) + 1
        low, high = np.where(thin, 0, low), np.where(thin, 1, high)
        if np.prod((high - low).astype(float)) * len(offsets) > LARGEST:
            raise ValueError(
                f"got capillary {number} of {far:g} mm across {' x '.join(str(n) for n in high - low)} voxels; expected a shorter piece; "
                "do: give places in mm, or cut it into several"
            )
        box = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), -1).reshape(-1, 3)
        points = (box[:, None, :] + 0.5 + offsets[None]) * spacing - start
        place = points @ step / far**2
        distance = np.linalg.norm(points - place[..., None] * step, axis=-1)
        share = ((distance <= radius_mm) & (place >= 0) & (place < 1)).mean(axis=1)
        box, share = box[share > 0], share[share > 0]
        if not len(share):
            raise ValueError(
                f"got capillary {number} of {far:g} mm, between two samples of voxels of {spacing.max():g} mm; expected a longer piece; "
                "do: join it with the next one"
            )
        share = share * (np.pi * radius_mm**2 * far / spacing.prod() / share.sum())
        wrapped = np.where(np.asarray(periodic), box % shape, box)
        inside = ((wrapped >= 0) & (wrapped < shape)).all(axis=1)
        flat = np.ravel_multi_index(tuple(wrapped[inside].T), tuple(shape))
        lit = mask[flat]
        if not lit.any():
            raise ValueError(
                f"got capillary {number} at {np.round(start, 4).tolist()} mm outside of the tissue; expected it in an active voxel; "
                "do: drop it or check the origin and unit of positions"
            )
        found.append((flat[lit], np.full(lit.sum(), number), share[inside][lit]))
    voxel, member, fraction = (np.concatenate(part) for part in zip(*found, strict=True))
    return CapillaryBed(jnp.asarray(voxel), jnp.asarray(member), jnp.asarray(fraction), int(mask.size), len(starts))


def exchange_coefficient(resistance: ArrayLike, diffusivity: ArrayLike, radius_mm: float, exchange_mm: float | None = None) -> Array:
    r"""$k$ of an exchange $k(P_c-P)$ all over a disc of radius $b$ that does to its surroundings what a capillary of radius $a\le b$ does.

    In the disc $\mathcal D\nabla^2P+k(P_c-P)=0$ has the solution $I_0(\lambda r)$, $\lambda^2=k/\mathcal D$. Seen from outside it is a
    resistance $I_0(s)/(2\pi\mathcal D\,s\,I_1(s))$, $s=\lambda b$, which is to equal that of blood and wall and of the ring between $a$
    and $b$, $K+\ln(b/a)/(2\pi\mathcal D)$. So the field outside of $b$ is exact for one capillary, but for what the ring consumes.

    Args:
        resistance: $K\ge0$ of a unit length of capillary, (mmHg s)/mm² for oxygen, s/mm² for a drug: $1/(2\pi a\,p)$ of a permeability $p$.
        diffusivity: $\mathcal D$, mm²/s/mmHg for oxygen, mm²/s for a drug.
        radius_mm: $a$.
        exchange_mm: $b$; $a$ where left out. A few $a$ at most: pressure inside of $b$ is smoothed.

    Returns:
        1/s/mmHg for oxygen, 1/s for a drug; differentiable.

    Raises:
        ValueError: Numbers that are not finite, a negative resistance (or zero where $b=a$), or radii that don't fit.
    """
    wide = radius_mm if exchange_mm is None else exchange_mm
    if not 0 < radius_mm <= wide < np.inf:
        raise ValueError(
            f"got radii {radius_mm:g} and {wide:g} mm; expected 0 < capillary <= exchange; do: give the exchange the larger radius"
        )
    check_numbers("resistance", resistance, zero=True)
    check_numbers("diffusivity", diffusivity)
    diffusivity = jnp.asarray(diffusivity, float)
    total = jnp.asarray(resistance, float) * diffusivity + float(np.log(wide / radius_mm) / (2 * np.pi))
    if wide == radius_mm:
        check_numbers("resistance", resistance)
    goal = 1 / (2 * jnp.pi * total)

    def value(s: Array) -> Array:
        return s * i1e(s) / i0e(s)

    def newton(s: Array) -> Array:
        ratio = i1e(s) / i0e(s)
        slope = s * (1 - ratio**2)  # of s I1/I0, by I1' = I0 - I1/s
        return s - lax.stop_gradient(1 / slope) * (value(s) - goal)

    held = lax.stop_gradient(goal)
    s = lax.fori_loop(0, STEPS, lambda _, s: lax.stop_gradient(newton(s)), jnp.sqrt(2 * held) + held)
    return diffusivity * newton(lax.stop_gradient(s)) ** 2 / wide**2
