"""Rows of a least-squares problem: residuals at points, and their normal equations in one pass."""

from abc import abstractmethod
from collections.abc import Callable
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

BLOCKS = 4  # of columns of a Jacobian: 10 of 16 products are enough for a symmetric one

Parameters = Float[Array, " parameters"]
Function = Callable[[PyTree, PyTree], Float[Array, "..."]]


class RowBlock(eqx.Module):
    """Residuals of one kind, and how their normal equations are made."""

    @abstractmethod
    def half_square(self, model: PyTree) -> Float[Array, ""]:
        r"""$\tfrac12\sum r^2$ of all of them, weighted."""

    @abstractmethod
    def normal(
        self, vector: Parameters, restore: Callable[[Parameters], PyTree]
    ) -> tuple[Float[Array, ""], Parameters, Float[Array, "parameters parameters"]]:
        r"""$\tfrac12|r|^2$, $J^Tr$ and $J^TJ$; ``restore`` gives the model of a vector of parameters."""


class DenseRows(RowBlock):
    """Rows whose Jacobian is written out."""

    @abstractmethod
    def residuals(self, model: PyTree) -> Float[Array, " rows"]:
        """All of them, weighted."""

    @abstractmethod
    def linearised(
        self, vector: Parameters, restore: Callable[[Parameters], PyTree]
    ) -> tuple[Float[Array, " rows"], Float[Array, "rows parameters"]]:
        """All of them and their Jacobian, weighted; ``restore`` gives the model of a vector of parameters."""

    def half_square(self, model: PyTree) -> Float[Array, ""]:
        """See :class:`RowBlock`."""
        return 0.5 * jnp.sum(self.residuals(model) ** 2)

    def normal(
        self, vector: Parameters, restore: Callable[[Parameters], PyTree]
    ) -> tuple[Float[Array, ""], Parameters, Float[Array, "parameters parameters"]]:
        """See :class:`RowBlock`. Memory: rows times parameters numbers."""
        found, jacobian = self.linearised(vector, restore)
        return 0.5 * found @ found, found @ jacobian, gram(jacobian)


class Rows(DenseRows):
    r"""$w_i\,r(\theta, x_i)$ at points $x_i$: the equation in the interior, a flux at walls, a datum, a prior.

    Args:
        function: $r$ of the model and of one point; a number, or a few.
        points: Arrays whose first axis counts the points; a point is what remains.
        weights: $w_i$; $1/\sqrt n$ for a mean of squares, $1/\sigma$ for data.
    """

    function: Function = eqx.field(static=True)
    points: PyTree[Array]
    weights: Float[Array, " points"]

    def residuals(self, model: PyTree) -> Float[Array, " rows"]:
        """All of them, weighted."""
        found = jax.vmap(self.function, in_axes=(None, 0))(model, self.points)
        found = found.reshape(self.weights.shape[0], -1)
        return (self.weights[:, None] * found).reshape(-1)

    def linearised(
        self, vector: Parameters, restore: Callable[[Parameters], PyTree]
    ) -> tuple[Float[Array, " rows"], Float[Array, "rows parameters"]]:
        """The Jacobian is made row by row in reverse mode, since there are hundreds of parameters and a handful of residuals at a point:
        the work is a few evaluations, where forward mode takes one per parameter."""

        found, jacobian = each_linearised(self.function, self.points, vector, restore)
        jacobian = (self.weights[:, None, None] * jacobian).reshape(-1, vector.size)
        return (self.weights[:, None] * found).reshape(-1), jacobian


def each_linearised(
    function: Function, points: PyTree[Array], vector: Parameters, restore: Callable[[Parameters], PyTree]
) -> tuple[Float[Array, "points values"], Float[Array, "points values parameters"]]:
    """A function of model and point, at many points, with its Jacobian in the parameters by reverse mode."""

    def at_point(theta: Parameters, point: PyTree) -> tuple[Array, Array]:
        found = function(restore(theta), point).reshape(-1)
        return found, found

    jacobian, found = jax.vmap(jax.jacrev(at_point, has_aux=True), in_axes=(None, 0))(vector, points)
    return found, jacobian


def split(model: PyTree) -> tuple[Parameters, Callable[[Parameters], PyTree]]:
    """The numbers of a model as one vector, and the way back."""
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)
    flat, restore = ravel_pytree(arrays)
    return flat, lambda vector: eqx.combine(restore(vector), rest)


def sum_of_squares(rows: tuple[RowBlock, ...], model: PyTree) -> Float[Array, ""]:
    r"""$\tfrac12\sum r^2$ over all rows."""
    return sum((one.half_square(model) for one in rows), start=jnp.zeros(()))


def normal_equations(
    rows: tuple[RowBlock, ...], vector: Parameters, restore: Callable[[Parameters], PyTree]
) -> tuple[Float[Array, ""], Parameters, Float[Array, "parameters parameters"]]:
    r"""$\tfrac12|r|^2$, $J^Tr$ and $J^TJ$ over all blocks of rows."""
    value, gradient, curvature = jnp.zeros((), vector.dtype), jnp.zeros_like(vector), jnp.zeros((vector.size, vector.size), vector.dtype)
    for one in rows:
        half, slope, bend = one.normal(vector, restore)
        value, gradient, curvature = value + half, gradient + slope, curvature + bend
    return value, gradient, curvature


def gram(matrix: Float[Array, "rows columns"]) -> Float[Array, "columns columns"]:
    r"""$J^TJ$ from its upper blocks."""
    columns = matrix.shape[1]
    if columns < 64 * BLOCKS:
        return matrix.T @ matrix
    edges = [round(columns * k / BLOCKS) for k in range(BLOCKS + 1)]
    upper = [matrix[:, a:b].T @ matrix[:, a:] for a, b in pairwise(edges)]
    # Each strip holds the columns from its own diagonal block on; what is left of it is the transpose of earlier strips.
    strips = []
    for k, (a, b) in enumerate(pairwise(edges)):
        left = [upper[j][:, a - edges[j] : b - edges[j]].T for j in range(k)]
        strips.append(jnp.concatenate([*left, upper[k]], axis=1))
    return jnp.concatenate(strips)
