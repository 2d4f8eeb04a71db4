"""Boltzmann curves of one potential that share an exponential: what gates of channels open and close by."""

import math

from jaxtyping import Array, Float

from physics.quotient import Quotient
from solvers.elementary import exp

Cells = Float[Array, "*cells"]


class Boltzmann:
    r"""$1/(1 + e^{-(v - c)/w})$ and its mirror image for any centre $c$ and the widths $w = W, W/2, W/4$.

    All of them are made of the one $e^{-v/W}$ by products and a quotient, which costs a fourth of an exponential: the cells of a tissue
    spend most of their time on exponentials. Relative error: $w$ in place of $W$ makes the round-off of the exponential up to four times
    as large, 1e-6 in float32.

    Args:
        potential: $v$, mV.
        width: $W$, mV.

    The curves are quotients that are not divided yet. It fails, with a NaN, where the $|v - c|/w$ of all that are multiplied add up to more
    than 88 in float32 (709 in float64): no cell gets there.
    """

    def __init__(self, potential: Cells, width: float) -> None:
        once = exp(potential * (-1 / width))
        twice = once * once
        self._width, self._powers = width, {1: once, 2: twice, 4: twice * twice}

    def rise(self, centre: float, width: float | None = None) -> Quotient:
        """From 0 far below ``centre`` to 1 far above it, mV; ``width`` is that of the class, its half or its fourth."""
        return Quotient(1.0, 1 + self._ratio(centre, width))

    def fall(self, centre: float, width: float | None = None) -> Quotient:
        """One minus :meth:`rise`, without its cancellation."""
        ratio = self._ratio(centre, width)
        return Quotient(ratio, 1 + ratio)

    def _ratio(self, centre: float, width: float | None) -> Cells:
        """$e^{-(v - c)/w}$."""
        width = self._width if width is None else width
        return math.exp(centre / width) * self._powers[round(self._width / width)]
