"""Who is wired to whom in a brain, how strongly and over which length."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from solvers import DelayedEdges, delayed_edges

CORTEX_MM = (65.0, 85.0, 55.0)  # half axes of the ellipsoid that synthetic regions lie on
DECAY_MM = 30.0  # over which weights of a synthetic connectome fall by e
DENSITY = 0.27  # of its edges, as in matrices of 76 regions in common use


@dataclass(frozen=True, eq=False)
class Connectome:
    """Weights and lengths of tracts between regions.

    Args:
        weights: ``[to, from]``, not negative, in any unit.
        tract_lengths: ``[to, from]``, mm; only those of edges matter.
        names: Of the regions.
        centres: mm, ``(regions, 3)``, or None.

    Raises:
        ValueError: Not square, of different sizes, NaN, negative, names that are not unique, or a tract without a length.
    """

    weights: np.ndarray
    tract_lengths: np.ndarray
    names: tuple[str, ...]
    centres: np.ndarray | None = None

    def __post_init__(self) -> None:
        weights, lengths = self.weights, self.tract_lengths
        for name, matrix in (("weights", weights), ("tract lengths", lengths)):
            if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
                raise ValueError(f"got {name} of shape {matrix.shape}; expected as many rows as columns; do: give [to, from]")
            if not np.isfinite(matrix).all():
                row, column = np.argwhere(~np.isfinite(matrix))[0]
                raise ValueError(f"got {name} with {matrix[row, column]} at [{row}, {column}]; expected numbers; do: give 0 for no edge")
            if (matrix < 0).any():
                row, column = np.argwhere(matrix < 0)[0]
                raise ValueError(f"got {name} with {matrix[row, column]:g} at [{row}, {column}]; expected 0 or more; do: correct it")
        if weights.shape != lengths.shape or len(self.names) != len(weights):
            sizes = f"{weights.shape[0]} weights, {lengths.shape[0]} tract lengths and {len(self.names)} names"
            raise ValueError(f"got {sizes}; expected as many of each; do: give them of the same regions")
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ValueError(f"got the region {twice!r} twice; expected different names; do: rename one")
        if self.centres is not None and self.centres.shape != (len(self.names), 3):
            raise ValueError(f"got centres of shape {self.centres.shape}; expected {(len(self.names), 3)}; do: give x, y, z per region")
        if self.centres is not None and not np.isfinite(self.centres).all():
            row = int(np.argwhere(~np.isfinite(self.centres))[0, 0])
            raise ValueError(f"got a centre of region {self.names[row]} that is no number; expected x, y, z in mm; do: correct it")

    @property
    def regions(self) -> int:
        """How many."""
        return len(self.names)

    @cached_property
    def isolated(self) -> tuple[str, ...]:
        """Regions without any edge; they are kept, and hear nobody."""
        edges = self.weights > 0
        alone = ~(edges.any(axis=0) | edges.any(axis=1))
        return tuple(name for name, one in zip(self.names, alone, strict=True) if one)

    def delays(self, speed_mm_per_ms: float, dt_ms: float) -> np.ndarray:
        """Whole steps: length over speed and step, rounded to even, as TVB does.

        Raises:
            ValueError: Speed or step is not above zero.
        """
        if not (speed_mm_per_ms > 0 and dt_ms > 0):
            raise ValueError(f"got a speed of {speed_mm_per_ms} mm/ms, a step of {dt_ms} ms; expected both above 0; do: correct them")
        return np.rint(self.tract_lengths / (speed_mm_per_ms * dt_ms)).astype(int)

    def without_delay(self, speed_mm_per_ms: float, dt_ms: float) -> int:
        """Edges whose delay rounds to no step at all."""
        return int(((self.weights > 0) & (self.delays(speed_mm_per_ms, dt_ms) == 0)).sum())

    def edges(self, speed_mm_per_ms: float = np.inf, dt_ms: float = 1.0) -> DelayedEdges:
        """For :func:`solvers.delayed_march`; without delays at an infinite speed."""
        delays = np.zeros(self.weights.shape, int) if np.isinf(speed_mm_per_ms) else self.delays(speed_mm_per_ms, dt_ms)
        return delayed_edges(self.weights, delays)

    def scaled(self) -> "Connectome":
        """The same tracts with weights so that the region that hears most hears 1 in all."""
        most = self.weights.sum(axis=1).max()
        return replace(self, weights=self.weights / most if most > 0 else self.weights)

    def laplacian(self) -> Float[np.ndarray, "regions regions"]:
        """$L = \\mathrm{diag}(\\sum_j w_{ij}) - w$ of the symmetric part: what spreads along tracts in both directions."""
        symmetric = (self.weights + self.weights.T) / 2
        return np.diag(symmetric.sum(axis=1)) - symmetric


def synthetic_connectome(regions: int = 76, seed: int = 0) -> Connectome:
    r"""A connectome of nobody: regions scattered over two hemispheres, weights that fall with the distance.

    Weights are $e^{-d/30\,\mathrm{mm}}$ times a log-normal number ($\sigma=1$), the 27 % largest of either half of the matrix kept,
    and three to one
    unlike in the two directions at most; tracts are 1.3 times as long as the distance. For demonstrations and tests: it has the
    numbers of edges
    and the range of delays of published matrices and no anatomy.

    Raises:
        ValueError: Fewer than two regions.
    """
    if regions < 2:
        raise ValueError(f"got {regions} regions; expected 2 or more; do: ask for more")
    generator = np.random.default_rng([seed, 76])
    on_sphere = generator.normal(size=(regions, 3))
    on_sphere /= np.linalg.norm(on_sphere, axis=1, keepdims=True)
    right = np.arange(regions) < regions - regions // 2
    on_sphere[:, 0] = np.where(right, 1, -1) * np.abs(on_sphere[:, 0])
    centres = on_sphere * CORTEX_MM
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    both = generator.normal(size=(regions, regions))
    weights = np.exp(-distance / DECAY_MM + (both + both.T) / np.sqrt(2))
    np.fill_diagonal(weights, 0)
    least = np.quantile(weights[~np.eye(regions, dtype=bool)], 1 - DENSITY)
    weights = np.where(weights >= least, weights, 0) * np.exp(generator.uniform(-np.log(3) / 2, np.log(3) / 2, weights.shape))
    names = tuple(f"{'R' if one else 'L'}{number:03d}" for number, one in enumerate(right))
    return Connectome(weights / weights.max(), 1.3 * distance, names, centres)
