"""The abstract linear map on fields."""

from abc import abstractmethod

import equinox as eqx

from solvers.shapes import Cells, Scalar


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
