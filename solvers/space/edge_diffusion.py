"""Diffusion as exchange along edges: the form in which every second-order operator of a voxel grid can be marched."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from solvers.operator import Operator
from solvers.shapes import Cells, Faces, Scalar
from solvers.space.diffusion import Diffusion
from solvers.space.exchange import exchange, shifted
from solvers.space.tensor_diffusion import PAIRS, TensorDiffusion


class EdgeDiffusion(Operator):
    r"""$(L u)_i = s\sum_e c_e\,(u_j-u_i) - s\lambda_i u_i$ over the edges $e=(i,j)$ of each cell.

    Three edges per cell for :class:`Diffusion`, nine for :class:`TensorDiffusion`, whose cross terms become edges between diagonal
    neighbours: with the slopes $S_a u$ of voxel $i$, $2 D_{ab} S_a u\,S_b u$ is a sum of $(x-u_i)(y-u_i) =
    \tfrac12[(x-u_i)^2+(y-u_i)^2-(x-y)^2]$ over neighbours $x$, $y$, and a sum of squared differences is a sum over edges. The same
    matrix to round-off, from 11 numbers per cell (nine coefficients, field in and out) instead of the 22 of the flux form.

    Attributes:
        faces: Per stride, in the layout of :func:`solvers.space.exchange.exchange`.
        loss: $\lambda$ per cell, or None.
        scale: $s$.
        strides: Distances between neighbours in the flat field.
    """

    faces: tuple[Faces, ...]
    loss: Array | None
    scale: Scalar
    strides: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, operator: Operator) -> "EdgeDiffusion":
        """The edges of an operator; differentiable with respect to its leaves.

        Raises:
            ValueError: An operator that is no sum over edges of neighbouring voxels: of fourth order, or with periodic walls.
        """
        if getattr(operator, "source", None) is not None:
            raise ValueError(
                "got an operator whose walls bring something in; expected no flux at every wall; "
                "do: use RungeKuttaChebyshev2, which adds it"
            )
        if isinstance(operator, EdgeDiffusion):
            return cls(operator.faces, operator.loss, operator.scale, operator.strides)
        if isinstance(operator, Diffusion) and operator.correction is None and operator.wraps is None:
            return cls(operator.faces, operator.loss, operator.scale, operator.strides)
        if isinstance(operator, TensorDiffusion) and operator.wraps is None and operator.wall_slopes is None:
            strides, faces = _tensor_edges(operator)
            return cls(faces, operator.loss, operator.scale, strides)
        raise ValueError(
            f"got {type(operator).__name__} of order 4, with periodic or conditioned walls, or of another kind; "
            "expected Diffusion of order 2 or TensorDiffusion; do: use RungeKuttaChebyshev2, which takes every operator"
        )

    def apply(self, field: Cells) -> Cells:
        """See :class:`solvers.operator.Operator`."""
        change = exchange(self.strides, self.faces, field)
        return self.scale * (change if self.loss is None else change - jnp.broadcast_to(self.loss, field.shape) * field)

    def spectral_bound(self) -> Scalar:
        """Gershgorin, with the magnitudes of the edges: those between diagonal neighbours may be negative."""
        bound = 0.0 if self.loss is None else self.loss
        for stride, face in zip(self.strides, self.faces, strict=True):
            bound = bound + 2 * (jnp.abs(face[stride:]) + jnp.abs(face[: face.shape[0] - stride]))
        return self.scale * jnp.max(bound)

    def diagonal(self) -> Cells:
        """Minus the sum of the edges of each cell, and the loss."""
        total = 0.0 if self.loss is None else self.loss
        for stride, face in zip(self.strides, self.faces, strict=True):
            total = total + face[stride:] + face[: face.shape[0] - stride]
        return -self.scale * total


def _tensor_edges(operator: TensorDiffusion) -> tuple[tuple[int, ...], tuple[Faces, ...]]:
    cells = operator.cross.shape[1]
    along = [face[stride:] for stride, face in zip(operator.strides, operator.faces, strict=True)]
    diagonal: list[tuple[int, Array]] = []
    for number, (a, b) in enumerate(PAIRS):
        (s, ahead), (t, aside) = ((operator.strides[axis], operator.open_faces[axis]) for axis in (a, b))
        if s <= t:  # an axis of one voxel between: no diagonal neighbours
            continue
        back, front = shifted(ahead, -s), shifted(aside, -t)  # open towards the neighbour behind
        weight = operator.cross[number] / (4 * operator.spacing[a] * operator.spacing[b])
        for axis, stride, opened, net in ((a, s, ahead, aside - front), (b, t, aside, ahead - back)):
            along[axis] = along[axis] + opened * (weight * net - shifted(weight * net, stride))
        up = shifted(weight * ahead * front, t) + shifted(weight * back * aside, s)
        down = -shifted(weight * ahead * aside, -t) - shifted(weight * back * front, s)
        diagonal += [(s + t, up), (s - t, down)]
    pairs = [*zip(operator.strides, along, strict=True), *diagonal]
    return tuple(stride for stride, _ in pairs), tuple(jnp.pad(edge, (stride, 0))[: cells + stride] for stride, edge in pairs)
