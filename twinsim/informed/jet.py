"""A quantity at one point with its slopes and bends: the derivatives that a differential equation needs, in one pass."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Jet(eqx.Module):
    r"""$u$, $\partial_a u$ for every axis $a$, and $\partial_a^2 u$ for the axes in ``bent``, at one point; scalars or vectors alike.

    Sums, products and smooth functions of jets carry the derivatives along by the rules of Leibniz and of the chain, so that an
    equation reads as it is written and costs one pass of stacked numbers instead of nested automatic differentiation.

    Args:
        value: $u$, of any shape.
        first: $\partial_a u$, axes first.
        second: $\partial_a^2 u$ in the order of ``bent``, axes first.
        bent: Axes whose second derivative is carried.

    Mixed second derivatives are not carried: an anisotropic tensor off the axes cannot be written with it. Batches by ``jax.vmap``.
    Source: truncated Taylor arithmetic, Griewank and Walther (2008), *Evaluating Derivatives*, chapter 13.
    """

    value: Float[Array, "*shape"]
    first: Float[Array, "axes *shape"]
    second: Float[Array, "bends *shape"]
    bent: tuple[int, ...] = eqx.field(static=True)

    @property
    def _bending(self) -> Float[Array, "bends *shape"]:
        """First derivatives along the axes that bend."""
        return self.first[jnp.array(self.bent, int)]

    def slope(self, axis: int) -> Float[Array, "*shape"]:
        """The first derivative along an axis."""
        return self.first[axis]

    def bend(self, axis: int) -> Float[Array, "*shape"]:
        """The second derivative along an axis of ``bent``.

        Raises:
            ValueError: It is not carried.
        """
        if axis not in self.bent:
            raise ValueError(f"got axis {axis}; expected one of {self.bent}; do: name it among the axes that bend")
        return self.second[self.bent.index(axis)]

    def chain(self, f: Float[Array, "*shape"], slope: Float[Array, "*shape"], bend: Float[Array, "*shape"]) -> "Jet":
        r"""$f(u)$ from $f$, $f'$ and $f''$ at the value: slopes $f'\partial u$, bends $f'\partial^2u + f''(\partial u)^2$."""
        return Jet(f, slope[None] * self.first, slope[None] * self.second + bend[None] * self._bending**2, self.bent)

    def __add__(self, other: "Jet | Array | float") -> "Jet":
        if isinstance(other, Jet):
            return Jet(self.value + other.value, self.first + other.first, self.second + other.second, self.bent)
        return Jet(self.value + other, self.first, self.second, self.bent)

    def __mul__(self, other: "Jet | Array | float") -> "Jet":
        if not isinstance(other, Jet):
            return Jet(self.value * other, self.first * other, self.second * other, self.bent)
        second = self.second * other.value[None] + 2 * self._bending * other._bending + self.value[None] * other.second
        return Jet(self.value * other.value, self.first * other.value[None] + self.value[None] * other.first, second, self.bent)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "Jet":
        return self * -1.0

    def __sub__(self, other: "Jet | Array | float") -> "Jet":
        return self + (-other)

    def __rsub__(self, other: "Array | float") -> "Jet":
        return -self + other


def coordinate(point: Float[Array, " axes"], axis: int, bent: tuple[int, ...]) -> Jet:
    """One coordinate of a point: slope one along its own axis, no bend."""
    count = point.shape[0]
    return Jet(point[axis], jnp.eye(count, dtype=point.dtype)[axis], jnp.zeros(len(bent), point.dtype), bent)


def stacked(jets: "list[Jet] | tuple[Jet, ...]") -> Jet:
    """Several jets of one point as one, along a new last axis: the inputs of a network."""
    value, first, second = (jnp.stack([getattr(jet, name) for jet in jets], axis=-1) for name in ("value", "first", "second"))
    return Jet(value, first, second, jets[0].bent)


def cosine(jet: Jet) -> Jet:
    r"""$\cos u$."""
    c = jnp.cos(jet.value)
    return jet.chain(c, -jnp.sin(jet.value), -c)


def sine(jet: Jet) -> Jet:
    r"""$\sin u$."""
    s = jnp.sin(jet.value)
    return jet.chain(s, jnp.cos(jet.value), -s)


def exponential(jet: Jet) -> Jet:
    r"""$e^u$."""
    e = jnp.exp(jet.value)
    return jet.chain(e, e, e)


def logarithm(jet: Jet) -> Jet:
    r"""$\log u$; NaN or infinite where $u$ is not above zero."""
    r = 1 / jet.value
    return jet.chain(jnp.log(jet.value), r, -r * r)


def reciprocal(jet: Jet) -> Jet:
    r"""$1/u$; NaN or infinite where $u$ is zero."""
    r = 1 / jet.value
    return jet.chain(r, -r * r, 2 * r * r * r)


def tangent_hyperbolic(jet: Jet) -> Jet:
    r"""$\tanh u$."""
    t = jnp.tanh(jet.value)
    d = 1 - t * t
    return jet.chain(t, d, -2 * t * d)
