"""Connected pieces of an operator, on each of which a solution without losses is defined up to a constant."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components as label

from solvers.operator import FaceOperator, Operator
from solvers.shapes import Cells


class Components(eqx.Module):
    """Which cells exchange with each other, directly or through others.

    Attributes:
        labels: Number of its component per cell, by falling size; ``count`` for a cell without an open face, which is on its own.
        sizes: Cells per component.
    """

    labels: Int[Array, " cells"]
    sizes: Int[Array, " components"]

    @property
    def count(self) -> int:
        """Components of two cells and more."""
        return self.sizes.shape[0]

    def total(self, field: Cells) -> Array:
        """Sum over each component, ``(*batch, count + 1)``; the last entry is that of the cells on their own, all together."""
        if self.count == 1:
            inside = jnp.broadcast_to(self.labels == 0, field.shape)
            return jnp.stack([jnp.where(part, field, 0).sum(axis=-1) for part in (inside, ~inside)], axis=-1)
        return jnp.zeros((*field.shape[:-1], self.count + 1), field.dtype).at[..., self.labels].add(field)

    def without_mean(self, field: Cells, singular: Array) -> Cells:
        """Subtracts from each component marked as singular its mean, and sets singular cells on their own to zero.

        Args:
            field: Flat field, batch axes first.
            singular: One flag per cell, the same all over a component.
        """
        sizes = jnp.append(self.sizes, 1).astype(field.dtype)
        mean = self.total(field) / jnp.broadcast_to(sizes, (*field.shape[:-1], self.count + 1))
        alone, singular = (jnp.broadcast_to(part, field.shape) for part in (self.labels == self.count, singular))
        return field - jnp.where(singular, jnp.where(alone, field, mean[..., self.labels]), 0)


def connected_components(operator: Operator) -> Components:
    """Finds the components on the host, from the open faces of a :class:`solvers.operator.FaceOperator`.

    A mask in several pieces has several, and so has one in one piece where the coefficient is zero on what joins them. Cells outside
    of the mask are on their own.

    Raises:
        ValueError: The operator has no faces, or is traced, so that they can't be looked at.
    """
    if not isinstance(operator, FaceOperator):
        raise ValueError(f"got {type(operator).__name__}; expected a FaceOperator; do: give a shift above zero, or components of your own")
    if any(isinstance(face, Tracer) for face in operator.faces):
        raise ValueError(
            "got an operator inside a compiled function; expected one whose faces can be looked at; "
            "do: call connected_components outside and pass the result in"
        )
    cells = operator.faces[0].shape[0] - operator.strides[0]
    ends = []
    for face, stride in zip(operator.faces, operator.strides, strict=True):
        below = np.flatnonzero(np.asarray(face)[stride:])
        ends.append((below, below + stride))
    numbers = np.arange(cells).reshape(operator.shape)
    for axis, wrap in enumerate(operator.wraps or ()):
        if wrap is not None:
            across = np.flatnonzero(np.asarray(wrap))
            ends.append((numbers.take(-1, axis).reshape(-1)[across], numbers.take(0, axis).reshape(-1)[across]))
    here, there = (np.concatenate(part) for part in zip(*ends, strict=True))
    _, raw = label(coo_array((np.ones(here.size, np.int8), (here, there)), shape=(cells, cells)), directed=False)
    sizes = np.bincount(raw)
    order = np.argsort(-sizes, kind="stable")
    count = int((sizes > 1).sum())
    rank = np.full(sizes.size, count)
    rank[order[:count]] = np.arange(count)
    return Components(jnp.asarray(rank[raw], jnp.int32), jnp.asarray(sizes[order[:count]], jnp.int32))
