"""What every model of physiology is to the engine."""

from abc import abstractmethod

import equinox as eqx

from solvers import Stepper


class Equation(eqx.Module):
    """A model of physiology: a frozen module whose leaves are its parameters, and which knows how it is stepped.

    The gradient of anything computed from a simulation with respect to any leaf is the sensitivity of the model.
    """

    @abstractmethod
    def stepper(self) -> Stepper:
        """The method that suits the equation, with the equation's parameters inside."""
