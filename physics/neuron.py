"""A neuron in compartments: membranes joined by axial current, under pipettes, electrodes and synapses."""

from collections.abc import Callable, Sequence
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from physics.equation import Equation
from physics.membrane import Membrane
from physics.neuron_shape import NeuronShape
from physics.neuron_stimulus import NeuronStimulus, Pulses
from physics.synapse import Synapses
from solvers import Stepper, TimeMesh, Tree, solve_tree, time_mesh
from solvers.elementary import expm1
from solvers.rows import join_rows

Scalar = Float[Array, ""]
PerCompartment = Float[Array, " compartments"]
NeuronState = Float[Array, "components compartments"]
Method = Literal["symmetric", "staggered", "euler"]

MICROSIEMENS = 1e-5  # of 1 mS/cm² on 1 um²; also nA of 1 uA/cm², and nF of 1 uF/cm²


class Neuron(Equation):
    r"""$C_i\dot V_i = -I_i + \sum_{j\sim i}w_{ij}\,(V_j + \varphi_j - V_i - \varphi_i) + I_{st} - I_{syn}$; gates as the membrane says.

    $V$ is the potential inside against outside, $\varphi$ the potential outside; $w_{ij}$ (uS) joins the middles of compartments through
    half of each; ends are sealed. State: ``(1 + gates, compartments)``, V in mV first. um, ms, mV, nA, uS, nF.

    Args:
        shape: Compartments.
        membrane: Their channels; parameters of all or one per compartment.
        axial_ohm_cm: Resistivity inside; of all or one per compartment. 35.4 of the squid, 70 to 200 of mammals.
        stimuli: :class:`physics.CurrentClamp`, :class:`physics.FieldStimulus`.
        synapses: :class:`physics.Synapses`.

    A branching without membrane has no capacity: its potential follows those around it, and is reported for the middle of the last step.

    Good values: compartments of a tenth of the length constant (25 to 100 um for the squid's axon, a node of Ranvier each), steps of 0.005
    to 0.025 ms. Second order in both. It fails where the potential outside depends on the neuron (bundles), where a compartment is not
    one potential across (thick axons in strong fields), and where inner resistance per length is not that of a cylinder.

    Source: Hines (1984), Int. J. Bio-Med. Comput. 15, 69; Hines and Carnevale (1997), Neural Comput. 9, 1179.
    """

    shape: NeuronShape
    membrane: Membrane
    axial_ohm_cm: Float[Array, "#*compartments"]
    stimuli: tuple[NeuronStimulus, ...] = ()
    synapses: tuple[Synapses, ...] = ()

    def initial_state(self, potential: Float[Array, "#*compartments"] | None = None) -> NeuronState:
        """Gates at rest at a potential, mV; without one at the membrane's own."""
        given = self.membrane.resting_potential() if potential is None else potential
        held = jnp.broadcast_to(jnp.asarray(given, self.shape.area.dtype), (self.shape.compartments,))
        return jnp.concatenate([held[None], self.membrane.gates(held)[0]])

    def stepper(self, method: Method = "symmetric") -> "NeuronStepper":
        """How it is advanced.

        Args:
            method: ``symmetric``: half a step of the gates, a Crank-Nicolson step of the potential, half a step of the gates; order two
                on any mesh. ``staggered``: gates stand half a step later than the potential (start from :meth:`staggered`), order two for
                steps of one length, at two thirds of the cost. ``euler``: implicit Euler after a step of the gates, order one.

        Gates are exact where the potential is held. No method has a stability limit.
        """
        if method not in ("symmetric", "staggered", "euler"):
            raise ValueError(f"got method {method!r}; expected symmetric, staggered or euler; do: choose one of them")
        count = self.shape.compartments
        scale = MICROSIEMENS * self.shape.area
        axial = 1 / self.shape.resistance(self.axial_ohm_cm)
        patterns = tuple(stimulus.pattern(self.shape, axial) for stimulus in self.stimuli)
        places = tuple(jnp.asarray(synapses.places(count), scale.dtype) for synapses in self.synapses)
        capacity = scale * jnp.broadcast_to(self.membrane.capacity(), (count,))
        waveforms = tuple(stimulus.waveform for stimulus in self.stimuli)
        made = (self.membrane, self.shape.tree, scale, capacity, axial, patterns, waveforms, self.synapses, places)
        return NeuronStepper(*made, method)

    def staggered(self, state: NeuronState, length: float) -> NeuronState:
        """The state with gates half a step of ``length`` later, which the staggered method starts from; a negative length undoes it."""
        return self.stepper()._gated(state, jnp.asarray(length / 2, state.dtype))

    def recorder(self, sites: Sequence[int]) -> Callable[[Scalar, NeuronState], Float[Array, " sites"]]:
        """What observes the potential of some compartments in :func:`solvers.simulate`, mV.

        Reverse mode of ``state[0, sites]`` scatters, which on CPU costs as much as the rest of a step; that of this does not.

        Raises:
            ValueError: No site, or one that is no compartment.
        """
        wanted, count = [int(site) for site in sites], self.shape.compartments
        if not wanted or not 0 <= min(wanted) <= max(wanted) < count:
            raise ValueError(f"got sites {wanted[:9]}; expected at least one, 0 to {count - 1}; do: choose compartments")
        return lambda _, state: jnp.stack([state[0, site] for site in wanted])

    def mesh(self, save: Sequence[float], longest: float, start: float = 0.0, breakpoints: Sequence[float] = ()) -> TimeMesh:
        """Steps that end at every edge of a stimulus and onset of a synapse.

        Args:
            save: Times to save at, ms.
            longest: Longest step, ms.
            start: ms.
            breakpoints: More times where steps end.
        """
        edges = [edge for stimulus in self.stimuli for edge in stimulus.waveform.edges()]
        onsets = [float(onset) for synapses in self.synapses for onset in np.asarray(synapses.onset)]
        return time_mesh(start, save, longest, breakpoints=[*edges, *onsets, *breakpoints])


class NeuronStepper(Stepper):
    """Advances a :class:`Neuron`; from :meth:`Neuron.stepper`, which makes these arrays of its leaves (uS, nF, nA per unit of a pulse)."""

    membrane: Membrane
    tree: Tree = eqx.field(static=True)
    scale: PerCompartment
    capacity: PerCompartment
    axial: PerCompartment
    patterns: tuple[PerCompartment, ...]
    waveforms: tuple[Pulses, ...]
    synapses: tuple[Synapses, ...]
    places: tuple[Float[Array, "compartments events"], ...]
    method: Method = eqx.field(static=True)

    @property
    def order(self) -> int:
        """Two, of implicit Euler one."""
        return 1 if self.method == "euler" else 2

    def advance(self, state: NeuronState, time: Scalar, length: Scalar) -> NeuronState:
        """See :class:`solvers.Stepper`."""
        time, length = time.astype(state.dtype), length.astype(state.dtype)
        if self.method == "symmetric":
            state = self._gated(state, length / 2)
            state = self._charged(state, time, length)
            return self._gated(state, length / 2)
        if self.method == "staggered":
            return self._gated(self._charged(state, time, length), length)
        return self._charged(self._gated(state, length), time, length)

    def _gated(self, state: NeuronState, length: Scalar) -> NeuronState:
        """Gates over a time in which the potential is held."""
        if state.shape[0] == 1:
            return state
        steady, speed = self.membrane.gates(state[0])
        gates = state[1:]
        return join_rows([state[:1], gates - expm1(-length * speed) * (steady - gates)])

    def _charged(self, state: NeuronState, time: Scalar, length: Scalar) -> NeuronState:
        """The potential over a step in which gates are held: Crank-Nicolson by an implicit half step, mirrored; or implicit Euler."""
        potential = state[0]
        part = length if self.method == "euler" else length / 2
        seen = time + (length if self.method == "euler" else part)
        conductance, driven = self.membrane.conductance(state[1:])
        shift, current = self.scale * conductance, self.scale * driven
        for synapses, places in zip(self.synapses, self.places, strict=True):
            open_now = synapses.conductance(seen)
            shift = shift + places @ open_now
            current = current + places @ (open_now * synapses.reversal.astype(state.dtype))
        for waveform, pattern in zip(self.waveforms, self.patterns, strict=True):
            current = current + waveform.mean(time, length) * pattern
        # A step of length zero is none: it is taken with another length and its result is not.
        charge = self.capacity / jnp.where(length > 0, part, 1)
        shift, current = lax.optimization_barrier((shift + charge, current + charge * potential))
        there = solve_tree(self.tree, self.axial, shift, current)
        new = there if self.method == "euler" else jnp.where(self.capacity > 0, 2 * there - potential, there)
        return join_rows([jnp.where(length > 0, new, potential)[None], state[1:]])
