"""Where an equation is asked for: points drawn by residual, and weights that let the past come first."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from twinsim.option_checks import check_number


@dataclass(frozen=True)
class Sampling:
    r"""How collocation points are renewed between rounds.

    Of the old points a share is kept by chance, since a least-squares method whose rows all change has to lower its trust anew; the
    others are drawn without repetition from a pool with probability $\propto |r|^k/\overline{|r|^k}+c$.

    Args:
        kept: Share of the points that stay.
        exponent: $k$; 0 is uniform.
        uniform: $c$, what a point without residual still gets.
        pool: Points drawn uniformly for each that is taken.
        slabs: Slabs of time of the causal weights; 0 for none.
        causality: $\varepsilon$ of :func:`causal_weights`.

    Raises:
        InputError: A number out of its range.

    Source: Wu, Zhu, Tan, Kartha and Lu (2023), Comput. Methods Appl. Mech. Eng. 403:115671 (their RAD).
    """

    kept: float = 0.5
    exponent: float = 1.0
    uniform: float = 1.0
    pool: int = 10
    slabs: int = 0
    causality: float = 1.0

    def __post_init__(self) -> None:
        check_number("share of points kept", self.kept, 0.0, 1.0)
        check_number("exponent of the residual", self.exponent, 0.0, 10.0)
        check_number("uniform share", self.uniform, 1e-6, 1e6)
        check_number("pool", self.pool, 2, 1000)
        check_number("slabs of time", self.slabs, 0, 1000)
        check_number("causality", self.causality, 0.0, 1e12)


def renewed(
    key: PRNGKeyArray,
    old: Float[Array, "before axes"],
    pool: Float[Array, "drawn axes"],
    sizes: Float[Array, " drawn"],
    count: int,
    sampling: Sampling,
) -> Float[Array, "count axes"]:
    """``count`` points: some of the old ones, the others from the pool by the sizes of their residuals."""
    kept = min(int(sampling.kept * count), old.shape[0])
    stay, draw = jax.random.split(key)
    powers = sizes**sampling.exponent
    chances = powers / jnp.maximum(jnp.mean(powers), jnp.finfo(powers.dtype).tiny) + sampling.uniform
    # Gumbel's trick: the largest perturbed logarithms are a draw without repetition.
    _, taken = jax.lax.top_k(jnp.log(chances) + jax.random.gumbel(draw, chances.shape, chances.dtype), count - kept)
    return jnp.concatenate([old[jax.random.permutation(stay, old.shape[0])[:kept]], pool[taken]])


def causal_weights(
    times: Float[Array, " points"], squares: Float[Array, " points"], span: tuple[float, float], slabs: int, causality: float
) -> Float[Array, " points"]:
    r"""$w_i=\exp(-\varepsilon\sum_{j<k(i)}\overline{r^2}_j)$ over the slabs $j$ of time before that of the point.

    A time counts only once the equation holds before it, as in a time loop. Args: $\varepsilon$ is ``causality``, per unit of $r^2$.
    Source: Wang, Sankaran and Perdikaris (2024), Comput. Methods Appl. Mech. Eng. 421:116813, equation 3.1.
    """
    slab = jnp.clip(((times - span[0]) / (span[1] - span[0]) * slabs).astype(int), 0, slabs - 1)
    sums = jnp.zeros(slabs, squares.dtype).at[slab].add(squares)
    counts = jnp.zeros(slabs, squares.dtype).at[slab].add(1.0)
    means = sums / jnp.maximum(counts, 1.0)
    return jnp.exp(-causality * (jnp.cumsum(means) - means))[slab]


def stratified(key: PRNGKeyArray, count: int, low: tuple[float, ...], high: tuple[float, ...]) -> Float[Array, "count axes"]:
    """One coordinate by chance in each of ``count`` equal parts of every axis, in order: the axes of a tensor grid, one per column."""
    places = (jnp.arange(count)[:, None] + jax.random.uniform(key, (count, len(low)))) / count
    lower, upper = jnp.asarray(low)[None], jnp.asarray(high)[None]
    return lower + (upper - lower) * places


def renewed_axes(
    key: PRNGKeyArray, old: Float[Array, "before axes"], fresh: Float[Array, "count axes"], sampling: Sampling
) -> Float[Array, "count axes"]:
    """Axes of a tensor grid of which a share of the coordinates stays; rows stay in their places, and with them the parts of the axes."""
    if old.shape != fresh.shape:
        return fresh
    return jnp.where(jax.random.uniform(key, fresh.shape) < sampling.kept, old, fresh)
