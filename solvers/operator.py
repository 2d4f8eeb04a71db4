"""The abstract linear map on fields."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float

from solvers.shapes import Cells, Faces, Scalar
from solvers.space.periodic import wrap_planes


class Operator(eqx.Module):
    """A linear map on flat fields; symmetric and with columns that sum to zero (conservative) unless its class says otherwise."""

    @abstractmethod
    def apply(self, field: Cells) -> Cells:
        """The map applied to a field (leading batch axes allowed)."""

    @abstractmethod
    def spectral_bound(self) -> Scalar:
        """An upper bound of the largest eigenvalue in magnitude, in 1/time; sets the stable step of explicit methods."""

    def diagonal(self) -> Cells:
        """The diagonal of the matrix, for Jacobi smoothing and preconditioning; operators that know it give it."""
        raise NotImplementedError(f"got {type(self).__name__}; expected an operator with diagonal(); do: use an unpreconditioned solver")


class FaceOperator(Operator):
    r"""An operator that exchanges through the faces between voxels: $s\,(\sum_f c_f\,\Delta u - \lambda u)$, or has that as its main part.

    What multigrid, components and box preconditioners are built from.

    Attributes:
        faces: $c$ per axis, in the layout of :func:`solvers.space.exchange.exchange`.
        scale: The factor $s$.
        loss: $\lambda$ per cell; None for zero.
        wraps: $c$ per axis on the faces that join the last voxels to the first; None where the axis isn't periodic.
        strides: Distance in the flat field between neighbours along each axis.
        shape: Voxels of the box along each axis.
    """

    faces: eqx.AbstractVar[tuple[Faces, ...]]
    scale: eqx.AbstractVar[Scalar]
    loss: eqx.AbstractVar[Float[Array, " cells"] | None]
    wraps: eqx.AbstractVar[tuple[Float[Array, "_"] | None, ...] | None]
    strides: eqx.AbstractVar[tuple[int, ...]]
    shape: eqx.AbstractVar[tuple[int, int, int]]

    def coefficients(self, axis: int) -> tuple[Array, Array]:
        """Per cell the coefficient of the face above and of the face below."""
        stride, face = self.strides[axis], self.faces[axis]
        above, below = face[stride:], face[: face.shape[0] - stride]
        wrap = None if self.wraps is None else self.wraps[axis]
        if wrap is None:
            return above, below
        last, first = wrap_planes(self.shape, axis, wrap)
        return above + last, below + first
