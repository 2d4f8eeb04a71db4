"""Several fields of one grid, stacked in one array with a leading axis of components."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from solvers.operator import Operator
from solvers.shapes import Cells, Flag, Scalar
from solvers.stepper import Stepper

Stacked = Float[Array, "components cells"]


class PerComponent(Operator):
    """One operator for all components, each with a factor: species that differ in diffusivity alone.

    Args:
        operator: Acts on every component; walls with a source are refused, since each species has its own.
        factors: One per component, not negative.

    Raises:
        ValueError: Walls with a source; a factor that is negative or not finite (traced ones can't be looked at).
    """

    operator: Operator
    factors: Float[Array, " components"]

    def __check_init__(self) -> None:
        source = getattr(self.operator, "source", None)
        if source is not None and not isinstance(source, Tracer) and np.asarray(source).any():
            raise ValueError("got an operator whose walls have a source; expected none; do: advance each component with OnComponents")
        if not isinstance(self.factors, Tracer):
            values = np.asarray(self.factors)
            if values.dtype.kind == "f" and not (np.isfinite(values) & (values >= 0)).all():
                raise ValueError(f"got factors {values}; expected finite numbers that are not negative; do: check their signs")

    def apply(self, field: Stacked) -> Stacked:
        """See :class:`solvers.operator.Operator`."""
        change = self.operator.apply(field)
        return jnp.broadcast_to(self.factors[:, None], change.shape) * change

    def spectral_bound(self) -> Scalar:
        """That of the component with the largest factor."""
        return self.operator.spectral_bound() * jnp.max(jnp.abs(self.factors))


class OnComponents(Stepper):
    """A stepper for the components from ``start`` up to, not including, ``stop``; the others stay.

    Args:
        stepper: Sees a state of ``stop - start`` components: the potential of a cell model with its gates left out, say.
        start: First component.
        stop: One past the last.
    """

    stepper: Stepper
    start: int = eqx.field(static=True)
    stop: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"got components {self.start} to {self.stop}; expected 0 <= start < stop; do: count from zero")

    @property
    def order(self) -> int:
        """The stepper's."""
        return self.stepper.order

    def advance(self, state: Cells, time: Scalar, length: Scalar) -> Cells:
        """See :class:`solvers.stepper.Stepper`."""
        return state.at[self.start : self.stop].set(self.stepper.advance(state[self.start : self.stop], time, length))

    def stable(self, length: Scalar) -> Flag:
        """The stepper's."""
        return self.stepper.stable(length)
