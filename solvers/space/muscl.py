"""Values at the faces of cells from their averages, upwind-biased and limited, on many segments in one vector."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from solvers.shapes import Scalar

KAPPA = 1 / 3
"""The weight of the parabola through three averages: third order where it is smooth, upwind."""


def face_values(
    values: Float[Array, " cells"], first: Bool[Array, " inner"], last: Bool[Array, " inner"], small: Float[Array, " inner"] | Scalar
) -> tuple[Float[Array, " faces"], Float[Array, " faces"]]:
    r"""Left and right values at every face between two neighbours of one long vector of segments.

    With $\Delta_-, \Delta_+$ the differences to both neighbours and van Albada's
    $s = (2\Delta_-\Delta_+ + \epsilon^2)/(\Delta_-^2+\Delta_+^2+\epsilon^2)$ a cell has the values
    $v \pm \tfrac s4\left[(1-\kappa s)\Delta_\mp + (1+\kappa s)\Delta_\pm\right]$, $\kappa = 1/3$, at its two faces. At the ends of a segment
    the missing difference is the other one, so that the end face is extrapolated in a line.

    Args:
        values: Averages; segments follow one another, one spare cell between two of them and at both ends, ``cells`` in all.
        first: Which of the inner cells (all but the first and the last of the vector) start a segment.
        last: Which end one.
        small: $\epsilon$: differences well below it are not limited, so that smooth extrema keep their order and derivatives exist
            everywhere; of the unit of ``values``, not zero.

    Returns:
        Values from the left and from the right at the ``cells - 1`` faces. Those of faces beside a spare cell mean nothing: the caller has
        conditions there.

    Order two in one dimension for smooth solutions of nonlinear laws. It fails to keep a strict maximum principle where jumps are
    below $\epsilon$. Source: van Leer (1979), J. Comput. Phys. 32, 101; Anderson, Thomas, van Leer (1986), AIAA J. 24, 1453, equation 14.
    """
    difference = values[1:] - values[:-1]
    before, after = difference[:-1], difference[1:]
    before, after = jnp.where(first, after, before), jnp.where(last, before, after)
    square = small * small
    s = (2 * before * after + square) / (before * before + after * after + square)
    mean, skew = s * (before + after) / 4, KAPPA * s * s * (after - before) / 4
    inner = values[1:-1]
    left = jnp.concatenate([values[:1], inner + mean + skew])
    right = jnp.concatenate([inner - mean + skew, values[-1:]])
    return left, right
