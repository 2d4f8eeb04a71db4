"""What every model of physiology is to the engine."""

from abc import abstractmethod

import equinox as eqx

from physics.state_layout import StateLayout
from solvers import Stepper


class Equation(eqx.Module):
    """A model of physiology: a frozen module whose leaves are its parameters, and which knows how it is stepped.

    The gradient of anything computed from a simulation with respect to any leaf is the sensitivity of the model.
    """

    @abstractmethod
    def stepper(self) -> Stepper:
        """The method that suits the equation, with the equation's parameters inside."""

    def state_layout(self) -> StateLayout:
        """Names and units of the state, for terms that are added from outside (:class:`physics.WithClosure`).

        Raises:
            ValueError: The equation has not named them, e.g. since its unknowns obey constraints that a term would break.
        """
        raise ValueError(
            f"got a {type(self).__name__}, which doesn't name its components for terms from outside; expected an equation with a layout; "
            "do: write its rates as a RateEquation"
        )
