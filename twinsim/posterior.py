"""The Laplace posterior and what it says about identifiability."""

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from twinsim.prior import Prior

IDENTIFIED, PRIOR_ONLY = 0.5, 0.8


@dataclass(frozen=True)
class Posterior:
    r"""A normal distribution in the standard-normal coordinates of the priors.

    Attributes:
        priors: One per coordinate.
        mean: The maximum a posteriori.
        laplace: Inverse Gauss-Newton curvature there; a coordinate that the data say nothing about keeps variance one.
        resolution: Standard deviation, as a direction, of what the voxels can't resolve; None leaves it out.
    """

    priors: tuple[Prior, ...]
    mean: np.ndarray
    laplace: np.ndarray
    resolution: np.ndarray | None = None

    @property
    def covariance(self) -> np.ndarray:
        """Of the data's noise and of the resolution together."""
        return self.laplace if self.resolution is None else self.laplace + np.outer(self.resolution, self.resolution)

    def widened(self, difference: np.ndarray) -> "Posterior":
        r"""The posterior plus the error of resolution: covariance $C + d\,d^T$, no wider than the prior in any direction.

        Args:
            difference: $d$, the maximum on voxels twice as wide minus this one. An error that shrinks in proportion to the voxel,
                as that of unresolved anatomy does, is as large here as the difference; one that shrinks with its square is a third.

        Where the data say little a maximum wanders far between two grids, and means nothing: the part of $d$ kept is the one nearest to it
        with $d^T(I-C)^{-1}d\le1$, which is $C + d\,d^T\preceq I$. One difference is one draw of that error: it may be small by luck, and
        coverage over many patients is what shows that it does.
        """
        spread, axes = np.linalg.eigh(self.laplace)
        room = np.clip(1.0 - spread, 1e-12, 1.0)
        along = axes.T @ np.asarray(difference, dtype=float)

        def excess(pressure: float) -> float:
            return float(np.sum(room * (along / (room + pressure)) ** 2)) - 1.0

        pressure = brentq(excess, 0.0, 1.0 + float(along @ along)) if excess(0.0) > 0 else 0.0
        return replace(self, resolution=axes @ (along * room / (room + pressure)))

    def sample(self, count: int, seed: int) -> np.ndarray:
        """Draws of the Laplace normal, ``(count, parameters)``; each with its mirror image, which halves the noise of means."""
        root = np.linalg.cholesky(self.laplace)
        half = np.random.default_rng(seed).standard_normal((-(-count // 2), self.mean.size))
        return self.mean + np.concatenate([half, -half])[:count] @ root.T

    def moved(self, draws: np.ndarray, seed: int) -> np.ndarray:
        """Draws with the error of resolution added to each."""
        if self.resolution is None:
            return draws
        half = np.random.default_rng([seed, 1]).standard_normal(-(-len(draws) // 2))
        return draws + np.concatenate([half, -half])[: len(draws), None] * self.resolution

    def value(self, name: str) -> float:
        """Value of a parameter at the maximum a posteriori."""
        index = self._index(name)
        return float(self.priors[index].value(jnp.asarray(self.mean[index])))

    def interval(self, name: str, probability: float) -> tuple[float, float]:
        """Central interval of a parameter; exact for the normal, since the transforms are monotone."""
        index = self._index(name)
        half = float(norm.ppf(0.5 + probability / 2)) * self.spread(name)
        low, high = (float(self.priors[index].value(jnp.asarray(self.mean[index] + s * half))) for s in (-1, 1))
        return low, high

    def spread(self, name: str) -> float:
        """Posterior standard deviation over prior standard deviation; one where the data say nothing."""
        index = self._index(name)
        return float(np.sqrt(self.covariance[index, index]))

    def identifiability(self, name: str) -> str:
        """In words: ``identified``, ``weak`` or ``prior only``."""
        spread = self.spread(name)
        if spread < IDENTIFIED:
            return "identified"
        return "weak" if spread < PRIOR_ONLY else "prior only"

    def combinations(self, names: tuple[str, ...]) -> list[tuple[str, float]]:
        """Principal directions of the posterior among some parameters, widest first: a formula and its spread relative to the prior.

        A wide direction beside a narrow one says that only a combination is known, e.g. from one scan ``diffusivity / proliferation``.
        """
        index = [self._index(name) for name in names]
        variances, directions = np.linalg.eigh(self.covariance[np.ix_(index, index)])
        found = []
        for variance, direction in sorted(zip(variances, directions.T, strict=True), key=lambda pair: -pair[0]):
            powers = direction / np.array([self.priors[i].spread for i in index])
            powers = powers / powers[np.argmax(np.abs(powers))]
            parts = [f"{name}^{power:+.1f}" for name, power in zip(names, powers, strict=True) if abs(power) >= 0.15]
            found.append((" · ".join(parts), float(np.sqrt(variance))))
        return found

    def _index(self, name: str) -> int:
        return [prior.name for prior in self.priors].index(name)
