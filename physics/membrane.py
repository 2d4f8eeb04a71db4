"""What every membrane of a neuron is: channels with gates, whose current is linear in the potential."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

PerCompartment = Float[Array, "#*compartments"]
Compartments = Float[Array, "*compartments"]
Gates = Float[Array, "gates *compartments"]
MembraneState = Float[Array, "components *compartments"]


class Membrane(eqx.Module):
    r"""$C\,\dot V = -I(V, g) + I_{in}$ with $I = G(g)V - D(g)$, and gates $\dot g = r(V)\,(g_\infty(V) - g)$.

    $V$ in mV, conductances $G$ in mS/cm², currents $D = \sum gE$ in uA/cm², $C$ in uF/cm², time in ms; inward current is negative, and
    what is put in depolarises. The state is one array, the potential first and the gates behind. A parameter is one number for all
    compartments, or one for each: soma and dendrite, node and internode. What is not linear in the potential (constant-field calcium)
    has no place here.
    """

    @property
    @abstractmethod
    def gate_names(self) -> tuple[str, ...]:
        """The gates in order; empty where there are none."""

    @abstractmethod
    def capacity(self) -> PerCompartment:
        """$C$, uF/cm²."""

    @abstractmethod
    def resting_potential(self) -> Float[Array, ""]:
        """mV; where nothing flows, to some hundredths."""

    @abstractmethod
    def gates(self, potential: Compartments) -> tuple[Gates, Gates]:
        """Steady state and speed (1/ms) of each gate at a potential."""

    @abstractmethod
    def conductance(self, gates: Gates) -> tuple[PerCompartment, PerCompartment]:
        """$G$ and $D$ of open channels."""

    def rates(self, state: MembraneState, injected: PerCompartment) -> MembraneState:
        """Change per ms of a patch whose potential is the same everywhere (space clamp) under a current in uA/cm²."""
        potential, gates = state[0], state[1:]
        conductance, driven = self.conductance(gates)
        change = (driven - conductance * potential + injected) / self.capacity()
        steady, speed = self.gates(potential)
        return jnp.concatenate([change[None], speed * (steady - gates)])

    def steady_current(self, potential: Compartments) -> Compartments:
        """uA/cm² that holds the potential for ever: its gates at rest there."""
        conductance, driven = self.conductance(self.gates(potential)[0])
        return conductance * potential - driven
