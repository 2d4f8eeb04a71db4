"""Laws of tumour growth and regression with closed-form solutions."""

import jax.numpy as jnp
from jaxtyping import Array, Float

Scalar = Float[Array, ""]
Series = Float[Array, " times"]


def exponential(days: Series, start: Scalar, rate: Scalar) -> Series:
    r"""$\dot V = aV$.

    Args:
        days: Since `start`.
        start: Volume at day zero, mm^3.
        rate: $a$, 1/day; negative under a therapy that works.

    Fails over long times: nothing bounds it.
    """
    return start * jnp.exp(rate * days)


def logistic(days: Series, start: Scalar, rate: Scalar, capacity: Scalar) -> Series:
    r"""$\dot V = aV(1 - V/K)$; $a<0$ shrinks a tumour below $K$ and is undefined above it, hence $\min(V_0, K)$ then.

    Args:
        days: Since `start`.
        start: Volume at day zero, mm^3.
        rate: $a$, 1/day.
        capacity: $K$, mm^3.

    Source: Verhulst (1838); for tumours Laleh et al. (2022), *PLoS Comput Biol* 18, e1009822.
    """
    ratio = jnp.where(rate < 0, jnp.minimum(start / capacity, 1.0), start / capacity)
    return capacity * ratio / (ratio + (1 - ratio) * jnp.exp(-rate * days))


def gompertz(days: Series, start: Scalar, rate: Scalar, capacity: Scalar) -> Series:
    r"""$\dot V = bV\log(K/V)$, $V = K(V_0/K)^{e^{-bt}}$.

    Args:
        days: Since `start`.
        start: Volume at day zero, mm^3.
        rate: $b>0$, 1/day: how fast the end is approached.
        capacity: $K$, mm^3; below `start` the tumour shrinks to it.

    Source: Laird (1964), *Br J Cancer* 18, 490.
    """
    return capacity * jnp.exp(jnp.log(start / capacity) * jnp.exp(-rate * days))


def bertalanffy(days: Series, start: Scalar, rate: Scalar, capacity: Scalar, shape: Scalar) -> Series:
    r"""$\dot V = \dfrac{b}{\lambda}V\left[(K/V)^\lambda - 1\right]$, $V = K[1 + ((V_0/K)^\lambda - 1)e^{-bt}]^{1/\lambda}$.

    Args:
        days: Since `start`.
        start: Volume at day zero, mm^3.
        rate: $b>0$, 1/day.
        capacity: $K$, mm^3.
        shape: $\lambda$: 1/3 gives von Bertalanffy's law, zero (excluded) Gompertz's, minus one the logistic law.

    Source: von Bertalanffy (1957), *Q Rev Biol* 32, 217; in this form Ombach (2021), package TumorGrowth.
    """
    inner = 1 + jnp.expm1(shape * jnp.log(start / capacity)) * jnp.exp(-rate * days)
    return capacity * jnp.maximum(inner, 1e-30) ** (1 / shape)


def drug_response(days: Series, start: Scalar, resistant: Scalar, kill: Scalar, growth: Scalar) -> Series:
    r"""Two populations: $V = V_0[(1-\phi)e^{-dt} + \phi e^{gt}]$.

    Args:
        days: Since therapy started, or since the first reading.
        start: Volume at day zero, mm^3.
        resistant: $\phi$, the fraction that therapy does not reach.
        kill: $d>0$, 1/day.
        growth: $g$, 1/day.

    Source: Stein et al. (2011), *Clin Cancer Res* 17, 907, with a fraction as in Claret et al. (2009), *J Clin Oncol* 27, 4103.
    """
    return start * ((1 - resistant) * jnp.exp(-kill * days) + resistant * jnp.exp(growth * days))
