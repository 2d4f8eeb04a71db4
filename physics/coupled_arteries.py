"""Arteries in one dimension whose ends are a circuit's: a heart at the aortic root, any netlist behind a terminal."""

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches

import equinox as eqx
import jax.numpy as jnp
from jax import lax

from physics.artery_cycles import PASCAL_PER_MMHG
from physics.artery_network import ArteryNetwork
from physics.artery_ports import ArteryPorts, PerPort, check_free_ends
from physics.artery_stepper import ArteryState, ArteryStepper
from physics.artery_viscosity import ViscousWall, relaxed
from physics.circuit import Circuit
from physics.equation import Equation
from solvers import AdaptiveSubsteps, StateLimited, Stepper, Substeps
from solvers.shapes import Flag, Scalar
from solvers.steppers.generalised_alpha import GeneralisedAlpha, Memory, Unknowns

ML_PER_M3, CM_PER_M = 1e6, 1e2
INTO = {"to_artery": 1.0, "from_artery": -1.0}
"""Kinds of blocks that stand for an artery's end, and the sign of their flow counted into the artery."""


class CoupledState(eqx.Module):
    """State of arteries and circuit.

    Attributes:
        arteries: Of the network, m, Pa, s.
        circuit: The memory of the circuit's stepper, mmHg, mL, s.
    """

    arteries: ArteryState
    circuit: Memory


class CoupledArteries(Equation):
    r"""A network of arteries (SI units) and a circuit (mmHg, mL, s) that share pressures and flows at ports.

    A port is one end of a vessel and one block of kind ``to_artery`` or ``from_artery``. Both sides hold one flow and, with ``total``, one
    $p + \tfrac12\rho u^2$: then the power that leaves one, $(p+\tfrac12\rho u^2)Q$, enters the other, and the energy of the whole changes
    by sources and losses only. With static pressure in its place the interface makes or takes $\tfrac12\rho u^2Q$.

    Args:
        network: The vessels; ends at ports have no outlet and no inlet of their own. Blood's density holds on both sides.
        circuit: From :func:`physics.assemble`; the parameters of its port blocks are overwritten with those of the vessels' ends.
        ports: Block and node of each; from :func:`couple`.
        total: Total pressure at the ports, else static.

    Source: Formaggia, Quarteroni, Vergara (2013), J. Comput. Phys. 244, 97 (total pressure between models of different dimension);
    Alastruey, Parker, Peiró, Sherwin (2008), Commun. Comput. Phys. 4, 317 (outgoing invariant against a 0-D model).
    """

    network: ArteryNetwork
    circuit: Circuit
    ports: tuple[tuple[str, int], ...] = eqx.field(static=True)
    total: bool = eqx.field(static=True, default=True)

    def initial_state(self, unknowns: Unknowns | None = None) -> CoupledState:
        """The network's own start, and the circuit's from these unknowns (:meth:`physics.Circuit.start`)."""
        circuit = self.circuit
        if unknowns is None:
            unknowns = circuit.start({f"root:{block}": 1.0 for block, _ in self.ports})
        return CoupledState(self.network.initial_state(), circuit.stepper().start(unknowns))

    def stepper(self, substeps: int | None = None, spectral_radius: float = 0.0) -> Stepper:
        """The coupled steps, several in each step of the mesh; as :meth:`physics.ArteryNetwork.stepper`.

        Raises:
            ValueError: A network with openBF's scheme.
        """
        if self.network.scheme != "second_order":
            raise ValueError("got a network with openBF's scheme; expected second_order; do: replace(network, scheme='second_order')")
        rate, ports = self.network.flow(), ArteryPorts.of(self.network, tuple(node for _, node in self.ports))
        names = [block for block, _ in self.ports]
        kinds = {name: group.kind for group in self.circuit.groups for name in group.blocks}
        given = {name: number for group in self.circuit.groups for name, number in zip(group.blocks, group.inputs) if name in names}
        wall = ports.wall(rate)
        values = {
            "reference_area": wall.reference_area * CM_PER_M**2,
            "stiffness": wall.stiffness / PASCAL_PER_MMHG,
            "external_pressure": wall.external_pressure / PASCAL_PER_MMHG,
            "wave_speed": wall.resting_speed * CM_PER_M,
        }
        changed = {f"{name}.{key}": value[row] for key, value in values.items() for row, name in enumerate(names)}
        changed |= {f"{name}.density": self.network.density / (PASCAL_PER_MMHG * CM_PER_M**2) for name in names}
        changed |= {f"{name}.dynamic": float(self.total) for name in names}
        one = CoupledStepper(
            arteries=ArteryStepper(rate, self.network.courant),
            wall=self.network.viscous_wall(),
            circuit=self.circuit.with_values(changed),
            ports=ports,
            inputs=tuple(given[name][0] for name in names),
            flows=tuple(_flow_of(self.circuit, name) for name in names),
            crossed=tuple(self.circuit.index(f"crossed_volume:{name}") for name in names),
            into=tuple(INTO[kinds[name]] for name in names),
            spectral_radius=spectral_radius,
        )
        return AdaptiveSubsteps(one) if substeps is None else Substeps(one, substeps)

    def volume(self, state: CoupledState) -> Scalar:
        """Blood in vessels, their windkessels and the circuit, mL; the circuit's and the windkessels' beyond what they hold unpressed."""
        return self.network.volume(state.arteries) * ML_PER_M3 + self.circuit.volume(state.circuit[: len(self.circuit.names)])


class CoupledStepper(StateLimited):
    r"""One step of arteries and circuit together, order two, implicit in the circuit with what the arteries answer.

    1. Rates of the arteries at $t_n$ with the circuit's flow $Q_n$ at the ports, and the first stage of Heun's method.
    2. The outgoing invariant $W = \sigma u + 4c$ at the ports of that stage. It runs out of the vessel, so that what enters in this step
       does not reach it, and the stage holds it to order two in the step.
    3. One step of the generalised-alpha method for the circuit, in whose equations the ports' blocks are the tube law and $W$ (interpolated
       to where the method wants it). The volume that crosses a port is one of its unknowns, $\dot V = Q$.
    4. Rates of the arteries at the stage with the flow $2V/h - Q_n$, and Heun's second half: over the step they receive $V$, to rounding.

    Args:
        arteries: The step of elastic vessels.
        wall: What viscous walls add, by Strang's splitting; None for elastic ones.
        circuit: With the parameters of the vessels' ends.
        ports: The vessels' ends.
        inputs: Of the ports' blocks, in ``circuit.inputs``.
        flows: Likewise, in the circuit's unknowns.
        crossed: Likewise, the volume that crossed in the last step.
        into: 1 where the circuit's flow enters the artery, -1 where it comes from there.
        spectral_radius: $\rho$ of the generalised-alpha method: 0 (backward differences of order two) imposes closed valves at the end
            of the step and does not ring when they close.

    It is stable in the circuit for every step; the arteries' Courant number limits it. It fails where a wave crosses a vessel within
    a step, and where the flow at a port is faster than the waves.
    Source: Formaggia, Moura, Nobile (2007), M2AN 41, 743 (energy of coupled models); Jansen, Whiting, Hulbert (2000), Comput. Methods Appl.
    Mech. Engrg. 190, 305.
    """

    arteries: ArteryStepper
    wall: ViscousWall | None
    circuit: Circuit
    ports: ArteryPorts
    inputs: tuple[int, ...] = eqx.field(static=True)
    flows: tuple[int, ...] = eqx.field(static=True)
    crossed: tuple[int, ...] = eqx.field(static=True)
    into: tuple[float, ...] = eqx.field(static=True)
    spectral_radius: float = eqx.field(static=True, default=0.0)

    @property
    def order(self) -> int:
        """Two."""
        return 2

    def advance(self, state: CoupledState, time: Scalar, length: Scalar) -> CoupledState:
        """See :class:`solvers.stepper.Stepper`."""
        rate = self.arteries.rate
        before = relaxed(self.wall, state.arteries, 0.5 * length)
        sides = rate.sides(*before.flow[:2])
        leaving = self.ports.outgoing(rate, sides)
        entering = self._entering(state.circuit, self.flows)
        first = lax.optimization_barrier(self.ports.held(rate, time, entering).rates(before.flow, sides, time))
        stage = self.arteries.predicted(before.flow, first, length)
        sides = rate.sides(*stage[:2])
        share = 1 / (1 + self.spectral_radius)
        memory = self._solved(state.circuit, leaving + share * (self.ports.outgoing(rate, sides) - leaving), time, length)
        mean = self._entering(memory, self.crossed) / jnp.where(length > 0, length, 1)
        second = lax.optimization_barrier(self.ports.held(rate, time + length, 2 * mean - entering).rates(stage, sides, time + length))
        after = self.arteries.corrected(before, first, stage, second, time, length)
        return CoupledState(relaxed(self.wall, after, 0.5 * length), memory)

    def longest_step(self, state: CoupledState) -> Scalar:
        """See :class:`solvers.StateLimited`."""
        return self.arteries.longest_step(state.arteries)

    def stable(self, length: Scalar) -> Flag:
        """As the step of the arteries."""
        return self.arteries.stable(length)

    def _entering(self, memory: Memory, places: tuple[int, ...]) -> PerPort:
        """Unknowns of the ports, counted into the arteries, from mL to m³."""
        return jnp.stack([sign * memory[place] for sign, place in zip(self.into, places, strict=True)]) / ML_PER_M3

    def _solved(self, memory: Memory, outgoing: PerPort, time: Scalar, length: Scalar) -> Memory:
        """The circuit after a step against these invariants; the volumes that crossed count from zero."""
        given = list(self.circuit.inputs)
        for place, value in zip(self.inputs, outgoing, strict=True):
            given[place] = replace(given[place], times=jnp.zeros(1, value.dtype), values=(value * CM_PER_M).reshape(1))
        circuit = eqx.tree_at(lambda c: c.inputs, self.circuit, tuple(given))
        memory = memory.at[jnp.array(self.crossed)].set(0)
        return GeneralisedAlpha(circuit, self.spectral_radius).advance(memory, time, length)


def couple(network: ArteryNetwork, circuit: Circuit, ports: Mapping[str, int], total: bool = True) -> CoupledArteries:
    """A network and a circuit joined at ports.

    Args:
        network: The vessels. A network that a circuit feeds has no inlets: ``inlet_nodes=()`` and flows of shape ``(0, times)``.
        circuit: With a block of kind ``to_artery`` or ``from_artery`` per port; :func:`artery_end` gives them values to be assembled with.
        ports: Node of the network by name of block.
        total: See :class:`CoupledArteries`.

    Raises:
        ValueError: No ports, a block that is no port or is left out, a node that is no free end of one vessel.
    """
    known = [name for group in circuit.groups if group.kind in INTO for name in group.blocks]
    for name in ports:
        if name not in known:
            close = get_close_matches(name, known, n=3, cutoff=0.4) or known or ("a block of kind to_artery",)
            raise ValueError(f"got port {name!r}; expected a block of kind to_artery or from_artery; do: use {' or '.join(close)}")
    lost = sorted(set(known) - set(ports))
    if lost or not ports:
        raise ValueError(f"got no node for {lost[0] if lost else 'any port'!r}; expected one per port; do: add it to ports")
    check_free_ends(network, dict(ports))
    return CoupledArteries(network, circuit, tuple(ports.items()), total)


def artery_end() -> dict[str, float]:
    """Values for a port's block to be assembled with, of an aortic root; :class:`CoupledArteries` puts the vessel's in their place."""
    return {"reference_area": 7.0, "stiffness": 300.0, "external_pressure": 0.0, "wave_speed": 450.0, "density": 8e-4, "dynamic": 1.0}


def _flow_of(circuit: Circuit, block: str) -> int:
    return next(i for i, name in enumerate(circuit.names) if name.startswith("flow:") and block in name.split(":")[1:])
