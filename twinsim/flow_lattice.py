r"""Velocity as cubic B-splines over a vessel, sparse matrices of what a scanner sees of them, and their penalties."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

from physics.phase_contrast import truncation
from twinsim.errors import InputError

REACH = 4
SUPPORT = np.arange(-3, 4)
SHARE = np.array([1, 8, 23, 32, 23, 8, 1]) / 48  # the cubic B-spline at half steps


@dataclass(frozen=True)
class FlowLattice:
    r"""$w(x) = \sum_j c_j\,\beta^3(x/2 - j)$, cubic B-splines with nodes on every second fine voxel, those that reach the region.

    Attributes:
        fine: Voxels of the fine box; even numbers.
        nodes: Integer places of the nodes in units of two fine voxels, ``(nodes, 3)``, from -1 to one more than half the box.
        number: Index of a node by its place (plus one), -1 where none is.

    Nothing is forced at the border of the region: splines run out of it as the penalty leaves them. Refuses odd boxes.
    Source: Unser (1999), IEEE Signal Process. Mag. 16(6), 22.
    """

    fine: tuple[int, int, int]
    nodes: np.ndarray
    number: np.ndarray

    @classmethod
    def over(cls, region: np.ndarray) -> "FlowLattice":
        """The lattice of the splines of which half a hundredth of a voxel or more lies in the region."""
        if any(n % 2 for n in region.shape) or not region.any():
            raise InputError(f"a region of {region.shape} voxels", "even numbers and a voxel inside", "pad the image by one plane")
        reached = region.astype(float)
        for axis in range(3):
            reached = np.moveaxis(np.tensordot(_values(region.shape[axis], 0.0).T, reached, (1, axis)), 0, axis)
        active = reached > 0.005
        number = np.full(active.shape, -1)
        number[active] = np.arange(active.sum())
        x, y, z = region.shape
        return cls((x, y, z), np.argwhere(active) - 1, number)

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.nodes)

    def values(self, coefficients: np.ndarray, shifted: int | None = None) -> np.ndarray:
        """$w$ at the centres of the fine voxels, or with ``shifted`` on the faces of that axis (one more along it)."""
        field = np.zeros(self.number.shape)
        field[self.number >= 0] = coefficients
        for axis in range(3):
            matrix = _values(self.fine[axis], 0.0) if axis != shifted else _values(self.fine[axis] + 1, -0.5)
            field = np.moveaxis(np.tensordot(matrix, field, (1, axis)), 0, axis)
        return field

    def seen(self, weight: np.ndarray, rows: np.ndarray) -> sparse.csr_matrix:
        r"""$T(\text{weight}\cdot\beta_j)$ at coarse voxels, real part; kernels are cut beyond four coarse voxels.

        Args:
            weight: On the fine voxels.
            rows: Index of the row of every coarse voxel, -1 for those left out.

        What the cut drops is some thousandths of the whole for smooth weights; use it inside of an iteration that takes its residuals from
        :class:`physics.PhaseContrast`.
        """
        places = 2 * self.nodes[:, :, None] + SUPPORT + 8
        padded = np.pad(weight, 8)
        patch = padded[places[:, 0][:, :, None, None], places[:, 1][:, None, :, None], places[:, 2][:, None, None, :]]
        window = np.arange(-REACH, REACH + 1)
        for axis in (3, 2, 1):
            kernel = np.real(truncation(self.fine[axis - 1], self.fine[axis - 1] // 2))[0]
            matrix = kernel[(SUPPORT[None] - 2 * window[:, None]) % self.fine[axis - 1]] * SHARE
            patch = np.moveaxis(np.tensordot(patch, matrix, (axis, 1)), -1, axis)
        spots = [self.nodes[:, axis][:, None] + window for axis in range(3)]
        inside = [(spot >= 0) & (spot < size) for spot, size in zip(spots, rows.shape, strict=True)]
        x, y, z = (np.clip(spot, 0, size - 1) for spot, size in zip(spots, rows.shape, strict=True))
        row = rows[x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]]
        kept = inside[0][:, :, None, None] & inside[1][:, None, :, None] & inside[2][:, None, None, :] & (row >= 0)
        kept &= np.abs(patch) > 1e-4 * np.abs(patch).max()
        column = np.broadcast_to(np.arange(self.size)[:, None, None, None], row.shape)
        return sparse.csr_matrix((patch[kept], (row[kept], column[kept])), shape=(int(rows.max()) + 1, self.size))

    def differences(self) -> sparse.csr_matrix:
        r"""Second differences with all their nodes in the lattice; the sum of their squares is $\sum|\nabla\nabla c|^2$ of nodes.

        For a field without divergence on all space the sum over second derivatives is $\int|\nabla^2 w|^2$, the square of the viscous force
        over viscosity. Straight and linear fields cost nothing, so that nothing is pulled to zero and no wall is felt.
        """
        unit = np.eye(3, dtype=int)
        parts = []
        for a in range(3):
            parts.append(self._difference([(unit[a], 1.0), (0 * unit[a], -2.0), (-unit[a], 1.0)]))
            for b in range(a):
                plus, minus = unit[a] + unit[b], unit[a] - unit[b]
                parts.append(np.sqrt(2) / 4 * self._difference([(plus, 1.0), (minus, -1.0), (-minus, -1.0), (-plus, 1.0)]))
        return sparse.vstack(parts).tocsr()

    def divergence(self, where: np.ndarray) -> list[sparse.csr_matrix]:
        """Divergence per two fine voxels at nodes for which ``where`` (by place plus one, as ``number``) is true, one per direction."""
        derivative, value = {-1: -0.5, 1: 0.5}, {-1: 1 / 6, 0: 2 / 3, 1: 1 / 6}
        offsets = [np.array(o) - 1 for o in np.ndindex(3, 3, 3)]
        found = []
        for axis in range(3):
            terms = []
            for o in offsets:
                each = [derivative.get(int(o[b]), 0.0) if b == axis else value[int(o[b])] for b in range(3)]
                terms.append((o, float(np.prod(each))))
            found.append(self._difference(terms, where))
        return found

    def _difference(self, terms: list[tuple[np.ndarray, float]], where: np.ndarray | None = None) -> sparse.csr_matrix:
        keep = np.ones(self.size, bool) if where is None else where[self.number >= 0]
        columns = []
        for offset, _ in terms:
            place = self.nodes + 1 + offset
            inside = ((place >= 0) & (place < np.array(self.number.shape))).all(1)
            place = np.clip(place, 0, np.array(self.number.shape) - 1)
            column = self.number[place[:, 0], place[:, 1], place[:, 2]]
            keep = keep & inside & (column >= 0)
            columns.append(column)
        count = int(keep.sum())
        row = np.concatenate([np.arange(count)] * len(terms))
        data = np.concatenate([np.full(count, factor) for _, factor in terms])
        return sparse.csr_matrix((data, (row, np.concatenate([c[keep] for c in columns]))), shape=(count, self.size))


def _values(count: int, first: float) -> np.ndarray:
    """Splines at ``count`` places one fine voxel apart, by nodes from -1 to one more than half the box."""
    size = (count - (1 if first else 0)) // 2 + 3
    place = (np.arange(count) + first) / 2
    below = np.floor(place).astype(int)
    t = place - below
    parts = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    matrix = np.zeros((count, size))
    for offset, part in enumerate(parts):
        column = below + offset
        ok = (column >= 0) & (column < size)
        matrix[np.flatnonzero(ok), column[ok]] += part[ok] / 6
    return matrix
