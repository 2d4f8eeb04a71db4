"""What every model of a heart cell's electricity is."""

from abc import abstractmethod
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.cell_state import RANGES, SCALED_VOLTAGE, CellState, examine_cells
from physics.closure import Variable
from physics.equation import Equation
from physics.state_layout import StateLayout
from solvers import GatedRate, MarkovChain, RushLarsen, Stepper

Scalar = Float[Array, ""]
Cells = Float[Array, "*cells"]
Stacked = Float[Array, "components *cells"]
Others = Float[Array, "others *cells"]
Gates = Float[Array, "gates *cells"]


class Stimulus(eqx.Module):
    """A current that is put into cells; positive depolarises."""

    @abstractmethod
    def current(self, time: Scalar) -> Float[Array, "#*cells"]:
        """A/F, which is mV/ms, at a time in ms: one number for all cells, or one for each."""

    @abstractmethod
    def edges(self) -> list[float]:
        """Where the current jumps, ms: the breakpoints of a time mesh, so that no step straddles one."""


class RectangularPulse(Stimulus):
    """One rectangular pulse from time zero on.

    Args:
        amplitude: A/F (or uA/uF, or mV/ms); 52 for 1 ms is about twice the threshold of a human ventricular cell.
        duration: ms. A time mesh should have a breakpoint there, since the rates jump.
    """

    amplitude: Scalar
    duration: Scalar

    def current(self, time: Scalar) -> Scalar:
        """See :class:`Stimulus`."""
        return jnp.where((time >= 0) & (time < self.duration), self.amplitude, jnp.zeros_like(self.amplitude))

    def edges(self) -> list[float]:
        """See :class:`Stimulus`."""
        return [0.0, float(self.duration)]


class CellModel(Equation):
    r"""One kind of excitable cell, or many alike: $\dot u = F(u, g, I)$ and gates $\dot g = (g_\infty(u) - g)\,r(u)$, $r = 1/\tau$.

    The state is one array with a leading axis of components, named by :attr:`names`: the voltage first, gates last. Any number of
    cells stands in the axes behind. Time is in ms and stimuli in A/F for every model; the voltage of the state is in
    :attr:`voltage_unit`, and :meth:`millivolts` says what it is in mV.
    """

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The components in order."""

    @property
    @abstractmethod
    def units(self) -> tuple[str, ...]:
        """Unit of each component."""

    @abstractmethod
    def initial_state(self) -> Float[Array, " components"]:
        """The published state at rest."""

    @abstractmethod
    def others(self, state: Stacked, stimulus: Float[Array, "#*cells"]) -> Others:
        """Change per ms of the components that are neither gates nor channel states, for a stimulus in A/F, positive depolarising."""

    @abstractmethod
    def gates(self, state: Stacked) -> tuple[Gates, Gates]:
        """Steady state and speed of each gate: the inverse of its time constant, 1/ms."""

    def channels(self, state: Stacked) -> MarkovChain | None:
        """The Markov chain of channel states that stand between the others and the gates; None where the model has no such."""
        del state
        return None

    @abstractmethod
    def millivolts(self, state: Stacked) -> Cells:
        """Membrane potential, mV."""

    @abstractmethod
    def front_time(self) -> Scalar:
        """Square of the width of a travelling front over the diffusivity, ms: how fine voxels must be, from one cell to another.

        Scaled so that second-order volumes of the spacing $s\\sqrt{D\\,t_f}$ slow the fronts of all cells alike, 1 for ten Tusscher 2006.
        """

    @property
    def voltage_unit(self) -> str:
        """Unit of the first component."""
        return self.units[0]

    @property
    def time_unit(self) -> str:
        """Of every rate and time constant."""
        return "ms"

    def rate(self, state: Stacked, time: Scalar, stimulus: Float[Array, "#*cells"]) -> Stacked:
        """Change per ms of every component; the models here do not depend on time by themselves."""
        del time
        steady, speed = self.gates(state)
        first = state.shape[0] - steady.shape[0]
        parts = [self.others(state, stimulus), (steady - state[first:]) * speed]
        channels = self.channels(state)
        if channels is not None:
            parts.insert(1, channels.change(state[parts[0].shape[0] : first]))
        return jnp.concatenate(parts)

    def stepper(self) -> Stepper:
        """Second-order Rush-Larsen, without a stimulus."""
        return self.paced(None)

    def state_layout(self) -> StateLayout:
        """See :class:`physics.Equation`."""
        return StateLayout(tuple(map(Variable, self.names, self.units)), self.time_unit)

    def paced(self, stimulus: Stimulus | None, accuracy: Literal[1, 2] = 2) -> RushLarsen:
        """Rush-Larsen for the cell under a stimulus.

        Args:
            stimulus: What is put in; None for nothing.
            accuracy: Order, 1 or 2.
        """
        return RushLarsen(StimulatedCells(self, () if stimulus is None else (stimulus,)), accuracy)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """From where to where each component may be in a cell: potentials -200 to 200 mV, gates 0 to 1, concentrations 0 to 1 mol/L."""
        first = RANGES["mV"] if self.voltage_unit == "mV" else SCALED_VOLTAGE
        return (first, *(RANGES[unit] for unit in self.units[1:]))

    def examine(self, state: Stacked) -> CellState:
        """Whether every cell is in a state that a cell can be in, as data; ``raise_for_status`` of the answer names the gate.

        ``simulate`` sees NaN and infinities only: a gate of 1.7 or a concentration in the wrong unit runs on and comes out as a wrong
        action potential. Examine the state before a run and after it, or after every step: ``observe=lambda time, state:
        cell.examine(state)``, which costs a pass over the state. No derivative goes through.

        Args:
            state: Of one cell or of many, ``(components, *cells)``.

        It sees what is impossible, not what is unusual: calcium a hundred times too high passes.
        """
        return examine_cells(self, state)

    def component(self, state: Stacked, name: str) -> Cells:
        """One component by name."""
        if name not in self.names:
            raise KeyError(f"got {name!r}; expected a component; do: use one of {', '.join(self.names)}")
        return state[self.names.index(name)]


class StimulatedCells(GatedRate):
    """Cells and what is put into them, added up, as the rates that a stepper takes."""

    cell: CellModel
    stimuli: tuple[Stimulus, ...]

    def evaluate(self, state: Stacked, time: Scalar) -> tuple[Array, Array, Array]:
        """See :class:`solvers.GatedRate`."""
        current = jnp.zeros((), state.dtype)
        for stimulus in self.stimuli:
            current = current + stimulus.current(time).astype(state.dtype)
        steady, speed = self.cell.gates(state)
        return self.cell.others(state, current), steady, speed

    def chain(self, state: Stacked, time: Scalar) -> MarkovChain | None:
        """See :class:`solvers.GatedRate`."""
        del time
        return self.cell.channels(state)
