"""What is done to a neuron: currents through a pipette, and fields of electrodes outside."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.neuron_shape import NeuronShape
from solvers import apply_tree

PerCompartment = Float[Array, " compartments"]
Scalar = Float[Array, ""]


class Pulses(eqx.Module):
    """Rectangular pulses, added up; a train, or both phases of a balanced pulse.

    Args:
        amplitude: Of each, in the unit of what they drive: nA or mA.
        start: ms.
        duration: ms.

    Raises:
        ValueError: Numbers of them differ, a duration is negative, or a value is not finite.
    """

    amplitude: Float[Array, " pulses"]
    start: Float[Array, " pulses"]
    duration: Float[Array, " pulses"]

    def __init__(self, amplitude: ArrayLike, start: ArrayLike, duration: ArrayLike) -> None:
        given = [jnp.atleast_1d(jnp.asarray(values, float)) for values in (amplitude, start, duration)]
        self.amplitude, self.start, self.duration = jnp.broadcast_arrays(*given)
        if any(isinstance(values, Tracer) for values in given):
            return
        if self.amplitude.ndim != 1 or not all(np.isfinite(values).all() for values in given) or (np.asarray(self.duration) < 0).any():
            raise ValueError("got pulses that are not finite or of negative duration; expected lists of numbers; do: check them")

    def mean(self, start: Scalar, length: Scalar) -> Scalar:
        """Mean over a step: exact in charge wherever the edges fall, with a derivative with respect to them."""
        begin, end = self.start.astype(start.dtype), (self.start + self.duration).astype(start.dtype)
        covered = jnp.clip(jnp.minimum(start + length, end) - jnp.maximum(start, begin), 0)
        tiny = jnp.finfo(start.dtype).tiny
        return jnp.sum(self.amplitude.astype(start.dtype) * covered) / jnp.maximum(length, tiny)

    def edges(self) -> list[float]:
        """Where they jump, ms: breakpoints of a time mesh; on the host."""
        start, duration = np.asarray(self.start), np.asarray(self.duration)
        return [float(edge) for edge in np.concatenate([start, start + duration])]


class NeuronStimulus(eqx.Module):
    """A pattern over the compartments times pulses."""

    @property
    @abstractmethod
    def waveform(self) -> Pulses:
        """When and how much."""

    @abstractmethod
    def pattern(self, shape: NeuronShape, conductance: PerCompartment) -> PerCompartment:
        """nA into each compartment per unit of the pulses, for axial conductances in uS."""


class CurrentClamp(NeuronStimulus):
    """A current into one compartment.

    Args:
        site: Its place.
        pulses: nA; positive depolarises.
    """

    site: int = eqx.field(static=True)
    pulses: Pulses

    @property
    def waveform(self) -> Pulses:
        """See :class:`NeuronStimulus`."""
        return self.pulses

    def pattern(self, shape: NeuronShape, conductance: PerCompartment) -> PerCompartment:
        """See :class:`NeuronStimulus`."""
        if not 0 <= self.site < shape.compartments:
            raise ValueError(f"got site {self.site}; expected 0 to {shape.compartments - 1}; do: choose a compartment")
        return jnp.zeros_like(conductance).at[self.site].set(1.0)


class FieldStimulus(NeuronStimulus):
    r"""A potential $\varphi_e(x)\,w(t)$ outside, of which the neuron takes no notice itself.

    The current along the axis is driven by $\varphi_i = V + \varphi_e$, so that the compartments see the current
    $\sum_jw_{ij}(\varphi_{e,j} - \varphi_{e,i})$: McNeal's activating function. It sums to zero over the neuron.

    Args:
        potential: $\varphi_e$ in the middle of each compartment, mV per mA: :func:`point_source_potential`, or a field solved elsewhere.
        pulses: mA; negative is cathodal.

    Source: McNeal (1976), IEEE Trans. Biomed. Eng. 23, 329; Rattay (1986), the same 33, 974.
    """

    potential: PerCompartment
    pulses: Pulses

    @property
    def waveform(self) -> Pulses:
        """See :class:`NeuronStimulus`."""
        return self.pulses

    def pattern(self, shape: NeuronShape, conductance: PerCompartment) -> PerCompartment:
        """See :class:`NeuronStimulus`."""
        if self.potential.shape[-1] != shape.compartments:
            raise ValueError(
                f"got a field of {self.potential.shape[-1]} compartments; expected {shape.compartments}; do: evaluate it at shape.position"
            )
        return -apply_tree(shape.tree, conductance, self.potential.astype(conductance.dtype))


def point_source_potential(position: Float[Array, "*points 3"], electrode_um: ArrayLike, siemens_per_m: ArrayLike = 0.3) -> Array:
    r"""$\varphi_e = I/(4\pi\sigma r)$ of a point in a homogeneous conductor without end, mV per mA.

    Args:
        position: um.
        electrode_um: Where the current comes out, ``(3,)``; on the neuron itself the potential is infinite.
        siemens_per_m: Conductivity; 0.3 of grey matter, 0.2 is usual for deep brain stimulation.
    """
    electrode = jnp.broadcast_to(jnp.asarray(electrode_um, position.dtype), position.shape)
    distance = jnp.linalg.norm(position - electrode, axis=-1)
    return 1e6 / (4 * jnp.pi * jnp.asarray(siemens_per_m, position.dtype) * distance)
