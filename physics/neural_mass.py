"""What every model of a brain region's mean activity is."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.closure import Variable
from physics.state_layout import StateLayout

Scalar = Float[Array, ""]
PerRegion = Float[Array, "#*regions"]
Variables = Float[Array, "variables *regions"]
Coupled = Float[Array, "coupled *regions"]


class NeuralMass(eqx.Module):
    """One kind of region, or many: $\\dot s = F(s, c)$ in ms, where $c$ is what other regions do to each coupled variable.

    The state is one array with a leading axis of variables, named by :attr:`names`; regions, and members of a batch, stand in the axes
    behind. A parameter is one number for all regions, one for each (``(regions,)``, or ``(regions, 1)`` before members), or one per member.
    """

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The variables in order."""

    @property
    @abstractmethod
    def units(self) -> tuple[str, ...]:
        """Unit of each variable."""

    @property
    @abstractmethod
    def coupled(self) -> tuple[str, ...]:
        """Variables that other regions hear, in the order in which :meth:`rates` takes their effects."""

    @abstractmethod
    def initial_state(self) -> Float[Array, " variables"]:
        """A state that a run may begin from."""

    @abstractmethod
    def rates(self, state: Variables, coupling: Coupled) -> Variables:
        """Change per ms of every variable."""

    def state_layout(self) -> StateLayout:
        """Names and units, as of :class:`physics.Equation`; a mass is not told the time."""
        return StateLayout(tuple(map(Variable, self.names, self.units)), "ms", clock_unit=None)

    def heard(self, state: Variables) -> Coupled:
        """What others hear of a state: its coupled variables."""
        return jnp.stack([state[self.names.index(name)] for name in self.coupled])

    def clipped(self, state: Variables) -> Variables:
        """The state within the bounds of its variables: after noise, or a step that overshoots."""
        return state
