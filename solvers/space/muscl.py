"""Values at both edges of cells from their averages, upwind-biased and limited, on many segments in one vector."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from solvers.shapes import Scalar

KAPPA = 1 / 3
"""The weight of the parabola through three averages: third order where it is smooth, upwind."""


def edge_values(
    values: Float[Array, " cells"], first: Bool[Array, " inner"], last: Bool[Array, " inner"], small: Scalar
) -> tuple[Float[Array, " inner"], Float[Array, " inner"]]:
    r"""Values at the low and at the high edge of each cell but the two outermost of one long vector of segments.

    With $\Delta_-, \Delta_+$ the differences to both neighbours and van Albada's
    $s = (2\Delta_-\Delta_+ + \epsilon^2)/(\Delta_-^2+\Delta_+^2+\epsilon^2)$ a cell has the values
    $v \pm \tfrac s4\left[(1-\kappa s)\Delta_\mp + (1+\kappa s)\Delta_\pm\right]$, $\kappa = 1/3$, at its edges. In the outermost cells of a
    segment the missing difference is the other one, so that the end is extrapolated in a line.

    Args:
        values: Averages; segments follow one another, with spare cells between two of them and at both ends of the vector.
        first: Which of the inner cells start a segment.
        last: Which end one.
        small: $\epsilon$: differences well below it are not limited, so that smooth extrema keep their order and derivatives exist
            everywhere; of the unit of ``values``, not zero.

    Order two for smooth solutions of nonlinear laws, in one dimension. It fails to keep a strict maximum principle where jumps are
    below $\epsilon$. Source: van Leer (1979), J. Comput. Phys. 32, 101; Anderson, Thomas, van Leer (1986), AIAA J. 24, 1453, equation 14.
    """
    here = values[1:-1]
    before, after = here - values[:-2], values[2:] - here
    before, after = jnp.where(first, after, before), jnp.where(last, before, after)
    square = small * small
    s = (2 * before * after + square) / (before * before + after * after + square)
    mean, skew = s * (before + after) / 4, KAPPA * s * s * (after - before) / 4
    return here - mean + skew, here + mean + skew
