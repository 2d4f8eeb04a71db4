"""A membrane that only leaks."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.membrane import Compartments, Gates, Membrane, PerCompartment


class PassiveMembrane(Membrane):
    r"""$I = g\,(V - E)$: a resistor beside a capacitor, with the time constant $\tau = C/g$.

    Args:
        membrane_capacity: uF/cm²; 1 is usual, 0.9 where it was measured (Gentet, Stuart and Clements 2000, Biophys. J. 79, 314).
        leak_conductance: mS/cm²; 0.01 to 0.1 in dendrites (tau of 10 to 100 ms).
        leak_potential: mV.
    """

    membrane_capacity: PerCompartment
    leak_conductance: PerCompartment
    leak_potential: PerCompartment

    def __init__(self, membrane_capacity: ArrayLike = 1.0, leak_conductance: ArrayLike = 0.05, leak_potential: ArrayLike = -65.0) -> None:
        self.membrane_capacity, self.leak_conductance = jnp.asarray(membrane_capacity, float), jnp.asarray(leak_conductance, float)
        self.leak_potential = jnp.asarray(leak_potential, float)

    @property
    def gate_names(self) -> tuple[str, ...]:
        """None."""
        return ()

    def capacity(self) -> PerCompartment:
        """See :class:`physics.Membrane`."""
        return self.membrane_capacity

    def resting_potential(self) -> Float[Array, ""]:
        """See :class:`physics.Membrane`."""
        return jnp.mean(self.leak_potential)

    def gates(self, potential: Compartments) -> tuple[Gates, Gates]:
        """None."""
        nothing = jnp.zeros((0, *potential.shape), potential.dtype)
        return nothing, nothing

    def conductance(self, gates: Gates) -> tuple[PerCompartment, PerCompartment]:
        """See :class:`physics.Membrane`."""
        del gates
        return self.leak_conductance, self.leak_conductance * self.leak_potential
