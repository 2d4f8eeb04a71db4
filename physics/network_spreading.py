"""Slow spreading of a misfolded protein along the tracts of a connectome: diffusion on the graph, with or without local growth."""

from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics.connectome import Connectome

type Normalisation = Literal["mean_strength", "random_walk", "symmetric", "none"]
Load = Float[Array, " regions"]
Scalar = Float[Array, ""]


class NetworkSpreading(eqx.Module):
    r"""$\dot x = -\rho Lx + \alpha x(1 - x/k)$: Raj's network diffusion for $\alpha=0$, Fisher's equation on a graph above.

    $x_i$ is the load of region $i$ as a part of what a region can hold, $k_i$ that bound (one where none is given). $L$ is a Laplacian
    of the symmetric part of the weights $w$, with strengths $d_i=\sum_jw_{ij}$:

    - ``mean_strength``: $(D - w)/\bar d$. Keeps $\sum x$, and a uniform load at rest.
    - ``random_walk``: $1 - D^{-1}w$. A region goes to the mean of its neighbours; keeps $\sum d_ix_i$, and a uniform load at rest.
    - ``symmetric``: $1 - D^{-1/2}wD^{-1/2}$. At rest is $\sqrt{d_i}$, so that $x=k$ is no fixed point of growth with spread.
    - ``none``: $D - w$, in the unit of the weights, which $\rho$ then has in its own.

    By the first three $\rho$ is a rate, 1/year. Regions without a tract keep what they have. The direction of transport is not modelled.
    One Strang step is half a step of logistic growth, a whole one of diffusion, half a step of growth, each by its closed form: positive
    and never above the bound (to rounding), of order two in the step, exact where either rate is zero. $L$ is decomposed once, on the
    host, in float64; there is no derivative with respect to weights.

    Good values: $\rho$ 0.01 to 1, $\alpha$ 0.1 to 1 per year, two to four steps a year. Fails (wrong, not unstable) where $\rho$ times the
    largest eigenvalue times the step is far above one together with growth.

    Sources: Raj, Kuceyeski, Weiner (2012), *Neuron* 73, 1204 (diffusion); Fornari, Schäfer, Jucker, Goriely, Kuhl (2019), *J R Soc
    Interface* 16, 20190356 (growth on a graph); splitting: Strang (1968), *SIAM J Numer Anal* 5, 506.

    Attributes:
        eigenvalues: Of $L$, ascending.
        vectors: Orthonormal ones of the symmetric matrix that $L$ is similar to, in columns.
        similarity: $s$ in $L = S^{-1}V\Lambda V^TS$; ones where $L$ is symmetric.
    """

    eigenvalues: Load
    vectors: Float[Array, "regions regions"]
    similarity: Load

    @classmethod
    def of(cls, connectome: Connectome, normalisation: Normalisation = "mean_strength") -> "NetworkSpreading":
        """Of a connectome.

        Raises:
            ValueError: No such normalisation, or no tract at all.
        """
        symmetric, similarity = _symmetric_part(connectome, normalisation)
        eigenvalues, vectors = np.linalg.eigh(symmetric)
        return cls(jnp.asarray(np.maximum(eigenvalues, 0.0)), jnp.asarray(vectors), jnp.asarray(similarity))

    @property
    def laplacian(self) -> Float[Array, "regions regions"]:
        """$L$."""
        inner = (self.vectors * self.eigenvalues[None]) @ self.vectors.T
        return inner * self.similarity[None] / self.similarity[:, None]

    def rates(self, load: Load, spread: Scalar, growth: Scalar, bound: Load | None = None) -> Load:
        """$-\\rho Lx + \\alpha x(1 - x/k)$, per year."""
        held = load if bound is None else load / bound
        return -spread * (self.laplacian @ load) + growth * load * (1 - held)

    def diffused(self, load: Load, extent: Scalar) -> Load:
        r"""$e^{-L\,\rho t}x$ for an extent $\rho t$: what diffusion alone makes of a load."""
        modes = self.vectors.T @ (self.similarity * load)
        return (self.vectors @ (jnp.exp(-extent * self.eigenvalues) * modes)) / self.similarity

    def march(
        self,
        load: Load,
        intervals_years: Float[Array, " intervals"],
        spread: Scalar,
        growth: Scalar,
        bound: Load | None = None,
        steps: int = 4,
    ) -> Float[Array, "intervals regions"]:
        """Loads at the ends of intervals that follow each other.

        Args:
            load: At the start, from 0 to the bound.
            intervals_years: Durations; zero is allowed.
            spread: $\\rho$, 1/year (see the class for ``none``).
            growth: $\\alpha$, 1/year.
            bound: $k$; None is one everywhere.
            steps: Of Strang's splitting in every interval.

        Raises:
            ValueError: Fewer than one step.
        """
        if steps < 1:
            raise ValueError(f"got {steps} steps per interval; expected 1 or more; do: correct it")

        def interval(load: Load, years: Scalar) -> tuple[Load, Load]:
            step = years / steps

            def one(load: Load, _: None) -> tuple[Load, None]:
                load = grown(load, 0.5 * growth * step, bound)
                load = self.diffused(load, spread * step)
                return grown(load, 0.5 * growth * step, bound), None

            load, _ = jax.lax.scan(one, load, None, length=steps)
            return load, load

        return jax.lax.scan(interval, load, intervals_years)[1]


def grown(load: Load, extent: Scalar, bound: Load | None = None) -> Load:
    r"""Logistic growth over an extent $\alpha t$ of either sign: $x/(x/k + (1-x/k)e^{-\alpha t})$; the bound by default is one."""
    held = load if bound is None else load / bound
    return load / (held + (1 - held) * jnp.exp(-extent))


def _symmetric_part(connectome: Connectome, normalisation: str) -> tuple[np.ndarray, np.ndarray]:
    """A symmetric matrix and the similarity that makes it the Laplacian."""
    laplacian = connectome.laplacian()
    np.fill_diagonal(laplacian, 0.0)
    weights, strengths = -laplacian, -laplacian.sum(axis=1)
    known = get_args(Normalisation.__value__)
    if normalisation not in known:
        raise ValueError(f"got the normalisation {normalisation!r}; expected {', '.join(known)}; do: choose one of them")
    if not strengths.any():
        raise ValueError("got a connectome without any tract; expected weights above 0; do: give one with tracts")
    ones = np.ones_like(strengths)
    if normalisation in ("none", "mean_strength"):
        by = strengths.mean() if normalisation == "mean_strength" else 1.0
        return (np.diag(strengths) - weights) / by, ones
    wired = strengths > 0
    root = np.sqrt(np.where(wired, strengths, 1.0))
    return np.diag(wired.astype(float)) - weights / np.outer(root, root), root if normalisation == "random_walk" else ones
