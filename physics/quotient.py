"""Quotients whose division is put off: sums and products of Boltzmann curves then cost one division each, or half of one."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers.elementary import reciprocal
from solvers.rows import apart

Cells = Float[Array, "*cells"]


class Quotient:
    r"""$a/b$ with $b > 0$, not divided yet; adds and multiplies with other quotients and with numbers or fields.

    A division takes as long as ten products on a CPU, and formulas of channels are full of them: one that is written with quotients has
    one, at the end. Round-off grows by one unit in the last place per operation put off.

    Args:
        over: $a$.
        under: $b$, positive. Products of several must stay finite: below 1e38 in float32.
    """

    __array_ufunc__ = None

    def __init__(self, over: ArrayLike, under: ArrayLike = 1.0) -> None:
        self.over, self.under = over, under

    def __add__(self, other: "Quotient | ArrayLike") -> "Quotient":
        if isinstance(other, Quotient):
            return Quotient(self.over * other.under + other.over * self.under, self.under * other.under)
        return Quotient(self.over + other * self.under, self.under)

    def __mul__(self, other: "Quotient | ArrayLike") -> "Quotient":
        if isinstance(other, Quotient):
            return Quotient(self.over * other.over, self.under * other.under)
        return Quotient(self.over * other, self.under)

    __radd__, __rmul__ = __add__, __mul__

    @property
    def inverse(self) -> "Quotient":
        """$b/a$; $a$ must be positive."""
        return Quotient(self.under, self.over)

    @property
    def value(self) -> Cells:
        """Divided."""
        return jnp.asarray(self.over) * reciprocal(jnp.asarray(self.under))


def divided(quotients: Sequence[Quotient]) -> list[Cells]:
    r"""The values of many, two by one division: $\tfrac1b = d\,\tfrac1{bd}$ and $\tfrac1d = b\,\tfrac1{bd}$."""
    values = []
    for first, second in zip(quotients[::2], quotients[1::2], strict=False):
        under = apart([jnp.asarray(first.under), jnp.asarray(second.under)])
        both = reciprocal(under[0] * under[1])
        values += [first.over * (under[1] * both), second.over * (under[0] * both)]
    return values + [quotients[-1].value] * (len(quotients) % 2)
