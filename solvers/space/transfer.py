"""Restriction and prolongation between two masked voxel grids whose spacings have any ratio."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from solvers.grid import VoxelGrid
from solvers.shapes import Scalar

Weights = Float[Array, "target source"]
FineCells = Float[Array, "*batch fine"]
CoarseCells = Float[Array, "*batch coarse"]


def overlap_weights(source_count: int, edges: np.ndarray) -> np.ndarray:
    """Lengths ``[target, source]`` of the overlap of the target intervals between ``edges`` with the source intervals [j, j + 1].

    Slivers below 1e-9 of a source interval, from the round-off of coinciding edges, are zero.
    """
    low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    j = np.arange(source_count)
    overlap = np.minimum(high[:, None], j + 1.0) - np.maximum(low[:, None], j)
    return np.where(overlap > 1e-9, overlap, 0.0)


def linear_weights(source_count: int, centres: np.ndarray) -> np.ndarray:
    """Weights ``[target, source]`` of linear interpolation at ``centres``, in source voxels from the centre of the first one."""
    inside = np.clip(centres, 0.0, source_count - 1.0)  # beyond the outermost centres: their value
    return np.maximum(1 - np.abs(inside[:, None] - np.arange(source_count)), 0.0)


class Transfer(eqx.Module):
    r"""Moves fields between a fine and a coarse grid with parallel axes; boxes are products, so one small matrix per axis suffices.

    With $o_{cf}$ the volume that coarse cell $c$ shares with fine cell $f$, $m$ the masks and
    $\kappa_f = \sum_c o_{cf} m_c / V_f$ the part of a fine cell that active coarse cells cover,

    $(Ru)_c = \frac{m_c}{A_c}\sum_f o_{cf}\,\frac{m_f}{\kappa_f} u_f,\quad A_c = \sum_f o_{cf}\,\frac{m_f}{\kappa_f},\qquad
    (Pv)_f = \frac{m_f}{\kappa_f V_f}\sum_c o_{cf} m_c v_c.$

    A fine cell that straddles the coarse mask gives all of its content to the covering cells. So $\sum_c A_c (Ru)_c = \sum_f V_f u_f$,
    constants stay constant both ways, no value leaves the range, and $R$ and $P$ are adjoint:
    $\sum_c A_c v_c (Ru)_c = \sum_f V_f u_f (Pv)_f$ over the covered fine cells.

    Args:
        fine: The grid with the smaller voxels (nothing breaks if it isn't).
        coarse: The other grid; :func:`coarsened` makes one that covers all of the fine mask.
        offset: Of the coarse box's first corner from the fine box's first corner, in the unit of the spacings.
        dtype: Of the matrices; by default JAX's.

    Raises:
        ValueError: The boxes don't overlap, or no active fine cell is covered by an active coarse one.

    Fails: fine cells without any active coarse cell around (``uncovered`` says how much volume) lose their content in ``restrict``
    and get zero in ``prolong``: make the coarse mask cover them.
    """

    overlaps: tuple[Weights, Weights, Weights]
    hats: tuple[Weights, Weights, Weights]
    fine_mask: Float[Array, " fine"]
    coarse_mask: Float[Array, " coarse"]
    coverage: Float[Array, " fine"]
    active_volume: Float[Array, " coarse"]
    fine_shape: tuple[int, int, int] = eqx.field(static=True)
    coarse_shape: tuple[int, int, int] = eqx.field(static=True)
    fine_volume: float = eqx.field(static=True)

    def __init__(
        self,
        fine: VoxelGrid,
        coarse: VoxelGrid,
        offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
        dtype: DTypeLike | None = None,
    ) -> None:
        dtype = jnp.result_type(float) if dtype is None else dtype
        overlaps, hats = [], []
        for n, count, h, spacing, shift in zip(fine.shape, coarse.shape, fine.spacing, coarse.spacing, offset, strict=True):
            edges = (shift + spacing * np.arange(count + 1)) / h
            overlaps.append(overlap_weights(n, edges))
            centres = ((np.arange(n) + 0.5) * h - shift) / spacing - 0.5
            hats.append(linear_weights(count, centres))
        if any(not matrix.any() for matrix in overlaps):
            raise ValueError(f"got an offset of {tuple(offset)} at which the boxes don't overlap; expected overlap; do: check both origins")
        self.overlaps = _three(overlaps, dtype)
        self.hats = _three(hats, dtype)
        self.fine_shape, self.coarse_shape, self.fine_volume = fine.shape, coarse.shape, fine.voxel_volume
        self.fine_mask = fine.mask.reshape(-1).astype(dtype)
        self.coarse_mask = coarse.mask.reshape(-1).astype(dtype)
        covered = _separable(self.overlaps, self.coarse_mask, self.coarse_shape, transposed=True)
        self.coverage = jnp.where(fine.mask.reshape(-1), covered, 0)  # in fine voxels, zero where inactive
        shares = _separable(self.overlaps, _over(self.fine_mask, self.coverage), self.fine_shape)
        self.active_volume = self.coarse_mask * shares * self.fine_volume
        if not isinstance(self.coverage, Tracer) and not np.asarray(self.coverage).any():
            raise ValueError("got masks of which no active voxels overlap; expected some; do: check offset and masks, or use coarsened")

    def restrict(self, field: FineCells) -> CoarseCells:
        """Means over the active fine volume of every active coarse cell; exact for the integral with :attr:`active_volume`."""
        weighted = field * jnp.broadcast_to(_over(self.fine_mask, self.coverage), field.shape)
        sums = _separable(self.overlaps, weighted, self.fine_shape) * self.fine_volume
        return _over(sums * jnp.broadcast_to(self.coarse_mask, sums.shape), jnp.broadcast_to(self.active_volume, sums.shape))

    def prolong(self, field: CoarseCells, order: str = "constant") -> FineCells:
        """To the fine grid.

        ``"constant"``: the mean of the active coarse cells that cover a fine cell. ``"linear"``: trilinear between the active
        coarse centres, then corrected by the constant prolongation of what its restriction misses, so that the integral is that of
        the coarse field for any ratio, and for whole ratios every coarse cell's mean too. Second order inside, first at the mask's
        boundary; may leave the range of the coarse values by the correction.
        """
        if order not in ("constant", "linear"):
            raise ValueError(f"got order {order!r}; expected 'constant' or 'linear'; do: choose one of them")
        masked = field * jnp.broadcast_to(self.coarse_mask, field.shape)
        if order == "constant":
            return self._constant(masked)
        weight = _separable(self.hats, self.coarse_mask, self.coarse_shape)
        known = jnp.broadcast_to((weight > 0) & (self.coverage > 0), (*field.shape[:-1], self.coverage.shape[-1]))
        smooth = _over(_separable(self.hats, masked, self.coarse_shape), jnp.broadcast_to(weight, known.shape))
        smooth = jnp.where(known, smooth, self._constant(masked))
        return smooth + self._constant(masked - self.restrict(smooth))

    def uncovered(self) -> Scalar:
        """Active fine volume that no active coarse cell touches."""
        return jnp.sum(jnp.where(self.coverage > 0, 0, self.fine_mask)) * self.fine_volume

    def _constant(self, masked: CoarseCells) -> FineCells:
        sums = _separable(self.overlaps, masked, self.coarse_shape, transposed=True)
        return _over(sums, jnp.broadcast_to(self.coverage, sums.shape))


def coarsened(grid: VoxelGrid, spacing: float | tuple[float, float, float], fraction: float = 0.0) -> VoxelGrid:
    """The grid of another spacing from the same first corner; a voxel is active if more than ``fraction`` of it is active in ``grid``.

    With zero, the default, :class:`Transfer` loses nothing; a larger fraction keeps thin gaps open and loses rims.

    Raises:
        ValueError: A fraction outside of 0 to 1, or a mask that can't be looked at because it is traced.
    """
    if not 0 <= fraction < 1 or isinstance(grid.mask, Tracer):
        kind = "a traced mask" if isinstance(grid.mask, Tracer) else "a known mask"
        raise ValueError(f"got fraction {fraction} and {kind}; expected 0 to 1 and a known mask; do: coarsen outside of jit")
    lengths = (float(spacing),) * 3 if isinstance(spacing, int | float) else spacing
    share = np.asarray(grid.mask, float)
    for axis, (n, h, length) in enumerate(zip(grid.shape, grid.spacing, lengths, strict=True)):
        count = max(1, int(np.ceil(n * h / length - 1e-6)))
        weights = overlap_weights(n, length * np.arange(count + 1) / h) * (h / length)
        share = np.moveaxis(np.tensordot(weights, share, axes=(1, axis)), 0, axis)
    return VoxelGrid(share > max(fraction, 1e-9), (float(lengths[0]), float(lengths[1]), float(lengths[2])))


def _separable(matrices: tuple[Array, Array, Array], field: Array, shape: tuple[int, int, int], transposed: bool = False) -> Array:
    """One matrix per axis applied to the volumes of a flat field."""
    volume = field.reshape(*field.shape[:-1], *shape)
    letters = "ai,bj,ck,...ijk->...abc" if not transposed else "ia,jb,kc,...ijk->...abc"
    volume = jnp.einsum(letters, *matrices, volume, optimize=True, precision="highest")
    return volume.reshape(*field.shape[:-1], -1)


def _over(numerator: Array, denominator: Array) -> Array:
    """The quotient, zero where the denominator is."""
    return jnp.where(denominator > 0, numerator / jnp.where(denominator > 0, denominator, 1), 0)


def _three(matrices: list[np.ndarray], dtype: DTypeLike) -> tuple[Array, Array, Array]:
    x, y, z = (jnp.asarray(matrix, dtype) for matrix in matrices)
    return x, y, z
