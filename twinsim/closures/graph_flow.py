"""Blood in a tree of arteries: exact linear waves, and a graph network for what is not linear."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Complex, Float

from physics.artery_harmonics import (
    Harmonics,
    Lines,
    Sources,
    Waves,
    inlet_harmonics,
    linear_lines,
    lumped_sources,
    mean_state,
    solve_lines,
    static_pressure,
    to_times,
)
from physics.artery_tree import ArteryTree
from physics.closure import Variable
from twinsim.closures.graph_network import Graph, GraphNetwork, Layers
from twinsim.closures.learned import KeptModel
from twinsim.errors import InputError

NODE_FEATURES, EDGE_FEATURES = 10, 4
SEEN = (0, 2, 4)
"""Stations of a vessel that the network sees and answers at; those between by the parabola through them."""
PARABOLA = ((1.0, 0.0, 0.0), (0.375, 0.75, -0.125), (0.0, 1.0, 0.0), (-0.125, 0.75, 0.375), (0.0, 0.0, 1.0))
ANSWERS = 3 * len(SEEN) + 1
SLOW = 0.04
"""Time by which rates are multiplied to be of order one, s."""


class LinearState(NamedTuple):
    """The linear solution, and lines about its mean.

    Attributes:
        inlet: Flow into the root.
        lines: The vessels.
        pressure: Harmonics at the stations, Pa.
        flow: m³/s.
    """

    inlet: Complex[Array, " harmonics"]
    lines: Lines
    pressure: Harmonics
    flow: Harmonics


def linear_state(tree: ArteryTree, harmonics: int) -> LinearState:
    """The linear solution of one tree about its mean pressures."""
    inlet = inlet_harmonics(tree, harmonics)
    lines = linear_lines(tree, mean_state(tree, inlet), harmonics)
    return LinearState(inlet, lines, *solve_lines(tree, lines, inlet))


class GraphFlow(KeptModel):
    r"""Periodic pressure and flow of a tree: the linear network is solved, a graph network says which sources the vessels have, and the
    network is solved again with them.

    With $\pi = (\Pi-\bar p)/(\rho\bar c^2)$ and the Mach number $M = Q/(\bar A\bar c)$ the equations of a vessel have no parameter but the
    length and the friction. A :class:`GraphNetwork` on the vessels, joined as parents and daughters, reads their numbers and amplitudes and
    gives each a code; a small network reads $\pi$, $M$ and their rates at the vessel's ends and middle at one instant, with the code, and
    answers with the sources $m/(\rho\bar c)$, $f$, $g/\bar A$ of :func:`physics.artery_harmonics.nonlinear_sources` and the dynamic
    pressure at an outlet. What it reads is divided by the amplitude, what it answers multiplied by the amplitude's ``power``: with two,
    small waves are the linear ones, whatever the weights.

    Mass is kept at junctions, in the inlet and over a beat in every vessel, and windkessels hold, by the solve, whatever the weights.

    Args:
        graph: Of the vessels.
        point: Of the instants.
        harmonics: The highest.
        times: Instants of a period at which the sources are taken: above twice the harmonics.
        power: 2 for what is left out by being linear; 1 where what is missing is linear itself, as viscous walls are.

    Good values: 20 harmonics, 48 times. It fails far outside of the amplitudes trained on, as any network, and where the linear solution
    is no start: flow near the speed of the waves.
    """

    graph: GraphNetwork
    point: Layers
    harmonics: int = eqx.field(static=True, default=20)
    times: int = eqx.field(static=True, default=48)
    power: int = eqx.field(static=True, default=2)
    inputs: tuple[Variable, ...] = eqx.field(static=True, default=())  # a tree of arteries is no local variable
    outputs: tuple[Variable, ...] = eqx.field(static=True, default=(Variable("pressure", "Pa"), Variable("flow", "m^3/s")))
    kind: ClassVar[str] = "graph_flow"

    @classmethod
    def create(
        cls, seed: int, width: int = 32, rounds: int = 3, point_width: int = 16, harmonics: int = 20, times: int = 48, power: int = 2
    ) -> "GraphFlow":
        """An untrained model.

        Args:
            seed: Of the weights.
            width: Of the graph network.
            rounds: Of the graph network.
            point_width: Of the two hidden layers that answer at an instant.
            harmonics: See the class.
            times: See the class.
            power: See the class.

        Raises:
            InputError: Too few times for the harmonics, a power that is neither 1 nor 2.
        """
        if times <= 2 * harmonics or power not in (1, 2):
            got = f"{times} times for {harmonics} harmonics, power {power}"
            raise InputError(got, "more than two times per harmonic, power 1 or 2", "use 48, 20 and 2")
        rngs, dtype = nnx.Rngs(seed), jnp.zeros(()).dtype
        graph = GraphNetwork(NODE_FEATURES, EDGE_FEATURES, point_width, width, rounds, rngs=rngs)
        point = Layers((4 * len(SEEN), point_width, point_width, ANSWERS), dtype, 0.1, rngs=rngs)
        return cls(graph=graph, point=point, harmonics=harmonics, times=times, power=power)

    def architecture(self) -> dict[str, Any]:
        """See :class:`twinsim.closures.learned.KeptModel`."""
        return {
            "width": self.graph.encoder.biases[0][...].shape[0],
            "rounds": len(self.graph.sent),
            "point_width": self.point.biases[0][...].shape[0],
            "harmonics": self.harmonics,
            "times": self.times,
            "power": self.power,
        }

    @classmethod
    def skeleton(cls, architecture: dict[str, Any], inputs: tuple[Variable, ...], outputs: tuple[Variable, ...]) -> "GraphFlow":
        """A model of the same structure with arrays that are to be replaced."""
        del inputs, outputs
        return cls.create(0, **architecture)

    def waves(self, tree: ArteryTree, start: LinearState) -> tuple[Harmonics, Harmonics]:
        """Harmonics of total pressure (Pa) and flow (m³/s) from the linear solution."""
        return solve_lines(tree, start.lines, start.inlet, self.sources(tree, start))

    def __call__(self, tree: ArteryTree, times: int) -> tuple[Waves, Waves]:
        """Pressure (Pa) and flow (m³/s) at five stations of every vessel of one tree, at equally spaced times over a period."""
        start = linear_state(tree, self.harmonics)
        total, flow = (to_times(part, times) for part in self.waves(tree, start))
        flow = balanced(tree, flow)
        return static_pressure(tree, total, flow)[0], flow

    def sources(self, tree: ArteryTree, start: LinearState) -> Sources:
        """What the networks say of a linear solution."""
        lines = start.lines
        seen = jnp.array(SEEN)
        unit_pressure = tree.density * lines.speed**2
        unit_flow = lines.area * lines.speed
        pressure = start.pressure[:, seen].at[..., 0].add(-lines.mean_pressure[:, None]) / unit_pressure[:, None, None]
        waves = jnp.concatenate([pressure, start.flow[:, seen] / unit_flow[:, None, None]], axis=1)
        rates = waves * (1j * SLOW * lines.omega)[None, None]
        both = to_times(jnp.concatenate([waves, rates], axis=1), self.times)
        state = both[:, : 2 * len(SEEN)]
        size = jnp.sqrt(jnp.mean(state**2, axis=(1, 2)) + 1e-12)
        code = self.graph(vessel_graph(tree, lines, state, size))
        scaled = jnp.swapaxes(both, 1, 2) / size[:, None, None]
        answer = jnp.swapaxes(self.point(scaled, code[:, None]), 1, 2) * (size**self.power * tree.present)[:, None, None]
        between = jnp.array(PARABOLA)
        momentum, drag, stored = (jnp.einsum("sk,vkt->vst", between, part) for part in jnp.split(answer[:, :-1], 3, axis=1))
        friction = 2 * (tree.profile + 2) * jnp.pi * tree.viscosity
        return lumped_sources(
            tree,
            lines,
            momentum * (tree.density * lines.speed)[:, None, None],
            drag * (friction * lines.speed / lines.area)[:, None, None],
            stored * lines.area[:, None, None],
            jnp.where(tree.terminal[:, None], answer[:, -1] * unit_pressure[:, None], 0),
        )


def vessel_graph(tree: ArteryTree, lines: Lines, state: Float[Array, "vessels seen times"], size: Float[Array, " vessels"]) -> Graph:
    """Vessels as nodes, an edge from each parent to each daughter and one back, sorted by receiver."""
    count = tree.parent.shape[0]
    admittance = lines.area / (tree.density * lines.speed)
    daughters = tree.daughters
    joined = tree.present & (tree.parent >= 0)
    above = jnp.where(joined, tree.parent, count - 1)
    below = jnp.where(tree.terminal, 1 / jnp.maximum(tree.proximal, 1), jnp.sum(daughters * admittance[None], axis=1))
    friction = 2 * (tree.profile + 2) * jnp.pi * tree.viscosity / lines.area**2
    pressure, mach = jnp.split(state, 2, axis=1)
    nodes = jnp.stack(
        [
            tree.terminal * 1.0,
            jnp.where(jnp.arange(count) == 0, 1.0, 0.0),
            jnp.log(tree.length / (lines.speed * tree.period)) + 3.5,
            jnp.log(friction * tree.length * admittance) + 3,
            jnp.log(jnp.where(tree.present, below, admittance) / admittance),
            jnp.log(size) + 2.5,
            0.5 * jnp.log(jnp.var(pressure, axis=(1, 2)) + 1e-12) + 3,
            0.5 * jnp.log(jnp.var(mach, axis=(1, 2)) + 1e-12) + 3,
            10 * jnp.mean(mach, axis=(1, 2)),
            (lines.mean_pressure - tree.external_pressure) / (tree.density * tree.speed**2) * 10,
        ],
        axis=1,
    )
    down = jnp.stack(
        [jnp.ones(count), jnp.zeros(count), jnp.log(lines.area / lines.area[above]) + 0.7, lines.speed / lines.speed[above] - 1.2], 1
    )
    up = jnp.stack([jnp.zeros(count), jnp.ones(count), -down[:, 2], -down[:, 3]], axis=1)
    senders = jnp.concatenate([above, jnp.arange(count)])
    receivers = jnp.concatenate([jnp.arange(count), above])
    order = jnp.argsort(receivers)
    here = jnp.concatenate([joined, joined])
    edges = jnp.concatenate([down, up])
    return Graph(nodes, edges[order], senders[order], receivers[order], tree.present, here[order])


def balanced(tree: ArteryTree, flow: Waves) -> Waves:
    """Flow whose values at the ends of parents are the sums of those that daughters start with, which they are but for rounding."""
    started = jnp.einsum("vw,wt->vt", tree.daughters, flow[:, 0])
    return flow.at[:, -1].set(jnp.where(tree.terminal[:, None], flow[:, -1], started))


def junction_imbalance(tree: ArteryTree, flow: Waves) -> Float[Array, ""]:
    """Largest sum of flows into a junction at any time, over the largest flow into one; of one tree."""
    started = jnp.einsum("vw,wt->vt", tree.daughters, flow[:, 0])
    junction = (tree.present & ~tree.terminal)[:, None]
    size = jnp.max(jnp.where(junction, jnp.abs(flow[:, -1]), 0))
    return jnp.max(jnp.where(junction, jnp.abs(flow[:, -1] - started), 0)) / jnp.maximum(size, jnp.finfo(flow.dtype).tiny)


def wave_loss(tree: ArteryTree, found: tuple[Harmonics, Harmonics], wanted: tuple[Harmonics, Harmonics]) -> Float[Array, ""]:
    """Squared error of pressure over the squared pulse, and of flow over the squared flow, of one tree (harmonics, by Parseval)."""
    twice = jnp.where(jnp.arange(wanted[0].shape[-1]) == 0, 1.0, 2.0)[None, None] * tree.present[:, None, None]

    def square(waves: Harmonics) -> Float[Array, ""]:
        return jnp.sum(twice * (waves.real**2 + waves.imag**2))

    (p, q), (p_true, q_true) = found, wanted
    return square(p - p_true) / square(p_true.at[..., 0].set(0)) + square(q - q_true) / square(q_true)
