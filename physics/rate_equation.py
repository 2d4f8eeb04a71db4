"""An equation from rates alone: for models that have no stepper of their own, or are solved in closed form."""

from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array

from physics.closure import Variable
from physics.equation import Equation
from physics.state_layout import StateLayout
from solvers import RK4, ButcherTable, ExplicitRungeKutta, Rate, Stepper
from solvers.shapes import Scalar


class RateEquation(Equation):
    r"""$\dot u = f(p, u, t)$ as an :class:`physics.Equation`, by an explicit Runge-Kutta method.

    With it, terms (:class:`physics.WithClosure`) can be added to models that march by themselves or have a closed form:
    ``RateEquation(lambda field, state, time: field.rates(state, stimulus), field, variables, "ms")``.

    Args:
        law: $f$; an object that lives as long as the program (no new lambda per call), for it is compiled by identity.
        parameters: $p$, any pytree, e.g. the model; differentiable.
        variables: The components of the state.
        time_unit: Of the rates and the mesh.
        stacked: Whether components lie along the first axis; False for one field without such an axis.
        table: The method; of order four unless told otherwise.

    Fails: stiff rates. Source of the methods: :class:`solvers.ExplicitRungeKutta`.
    """

    law: Callable[..., Array] = eqx.field(static=True)
    parameters: object
    variables: tuple[Variable, ...] = eqx.field(static=True)
    time_unit: str = eqx.field(static=True)
    stacked: bool = eqx.field(static=True, default=True)
    table: ButcherTable = eqx.field(static=True, default=RK4)

    def __check_init__(self) -> None:
        if not self.variables or (not self.stacked and len(self.variables) > 1):
            got = f"{len(self.variables)} variables, stacked={self.stacked}"
            raise ValueError(f"got {got}; expected one or more, and one only without an axis of components; do: name every component")

    def stepper(self) -> Stepper:
        """See :class:`physics.Equation`."""
        return ExplicitRungeKutta(LawRate(self.law, self.parameters), self.table)

    def state_layout(self) -> StateLayout:
        """See :class:`physics.Equation`."""
        return StateLayout(self.variables, self.time_unit, self.stacked)


class LawRate(Rate):
    """A function of parameters, state and time as a rate."""

    law: Callable[..., Array] = eqx.field(static=True)
    parameters: object

    def evaluate(self, state: Array, time: Scalar) -> Array:
        """See :class:`solvers.Rate`."""
        return self.law(self.parameters, state, time)
