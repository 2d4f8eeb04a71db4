"""How fast neighbouring trajectories part: the largest Lyapunov exponent by a tangent vector carried along."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree


def largest_lyapunov_exponent(
    advance: Callable[[PyTree], PyTree], state: PyTree, duration: float, stretches: int, key: Array, discarded: int = 0
) -> tuple[Float[Array, ""], Float[Array, " stretches"]]:
    r"""$\lambda = \lim\frac1t\log\frac{|w(t)|}{|w(0)|}$, $w$ a tangent vector of the flow, set to length one after each stretch.

    Needs the forward derivative of `advance` and nothing else; a state with memory (of a delayed march its history beside the state) is
    a pytree with both.

    Args:
        advance: Advances a state by one stretch, some steps: short enough that a tangent does not grow by more than ten decades.
        state: On the attractor, or near; see `discarded`. A pytree of real arrays.
        duration: Of a stretch, in the unit of time that the exponent shall have.
        stretches: How many are averaged over.
        key: Of the first tangent, which is random.
        discarded: Stretches before, in which the state finds the attractor and the tangent its direction.

    Returns:
        The exponent, and the growth rate in each stretch, whose scatter says how well the mean is known. Complex or equal leading
        exponents turn the tangent, and the mean then converges as one over the time. NaN where the trajectory is.

    Source: Benettin, Galgani, Giorgilli, Strelcyn (1980), *Meccanica* 15, 9.

    Raises:
        ValueError: No stretch, fewer than zero discarded, or no positive duration.
    """
    if stretches < 1 or discarded < 0 or not duration > 0:
        got = f"{stretches} stretches of {duration:g} after {discarded}"
        raise ValueError(f"got {got}; expected one or more of a positive duration, 0 or more before; do: correct it")
    flat, restore = ravel_pytree(state)
    tangent = jax.random.normal(key, flat.shape, flat.dtype)

    def flow(flat: Float[Array, " numbers"]) -> Float[Array, " numbers"]:
        return ravel_pytree(advance(restore(flat)))[0]

    def stretch(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        flat, tangent = carry
        flat, tangent = jax.jvp(flow, (flat,), (tangent,))
        length = jnp.linalg.norm(tangent)
        return (flat, tangent / length), jnp.log(length) / duration

    _, rates = lax.scan(stretch, (flat, tangent / jnp.linalg.norm(tangent)), None, length=discarded + stretches)
    return jnp.mean(rates[discarded:]), rates[discarded:]
