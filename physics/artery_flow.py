"""Blood in elastic arteries in one dimension: the rate of area and velocity of every cell of a network."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from physics.artery_junction import NodeCondition, NodeState, solve_nodes
from physics.artery_layout import SPARE
from physics.artery_wall import ArteryWall
from solvers import Rate
from solvers.shapes import Scalar
from solvers.space.muscl import edge_values

SMALL_PRESSURE, SMALL_VELOCITY = 1e-3, 1e-3
"""Differences between neighbours, as parts of the mean stiffness and wave speed, below which slopes are hardly limited."""

FlowState = tuple[Float[Array, " cells"], Float[Array, " cells"], Float[Array, " nodes"]]
"""Area (m²) and velocity (m/s) of every cell of the layout, pressure (Pa) in the windkessel of every node."""


class Outlets(eqx.Module):
    """What lies behind each node, ``(nodes,)``; zero where nothing does.

    Attributes:
        proximal: Resistance between the vessel and the compliance, Pa s/m³.
        distal: Resistance behind it.
        compliance: m³/Pa.
        downstream: Pressure behind the distal resistance, Pa.
        reflection: Reflection coefficient of ends without windkessel.
        windkessel: Nodes with one.
        matched: Windkessels whose proximal resistance follows the vessel's impedance, the sum of both kept.
        reflecting: Ends with a reflection coefficient.
    """

    proximal: Float[Array, " nodes"]
    distal: Float[Array, " nodes"]
    compliance: Float[Array, " nodes"]
    downstream: Float[Array, " nodes"]
    reflection: Float[Array, " nodes"]
    windkessel: Bool[Array, " nodes"]
    matched: Bool[Array, " nodes"]
    reflecting: Bool[Array, " nodes"]


class Inlets(eqx.Module):
    """Flow into nodes, piecewise linear and periodic.

    Attributes:
        node: Index of each inlet's node.
        times: From zero to the period, s.
        flow: m³/s, ``(inlets, times)``.
    """

    node: Int[Array, " inlets"]
    times: Float[Array, " times"]
    flow: Float[Array, "inlets times"]

    def at(self, time: Scalar) -> Float[Array, " inlets"]:
        """Flow at a time. A sum of ramps: no search, one small fused loop."""
        phase = jnp.mod(time, self.times[-1])
        ramps = jnp.clip((phase - self.times[:-1]) / (self.times[1:] - self.times[:-1]), 0, 1)
        return self.flow[:, 0] + jnp.sum((self.flow[:, 1:] - self.flow[:, :-1]) * ramps[None], axis=1)


class ArteryFlow(Rate):
    r"""$\partial_t A + \partial_x(Au) = 0$ and
    $\partial_t u + \partial_x\left(\tfrac\alpha2u^2 + \tfrac p\rho\right) + (\alpha-1)\tfrac uA\partial_x(Au)
    = -\tfrac{2(\gamma+2)\pi\mu}{\rho}\tfrac uA$.

    Finite volumes: pressure and velocity at faces by :func:`solvers.space.muscl.edge_values`, the acoustic Riemann problem between both
    sides, and at the ends of vessels :func:`physics.artery_junction.solve_nodes`. Reconstructing the pressure keeps blood at rest in
    tapered vessels at rest exactly.

    Args:
        cells: Walls at the centres of the cells.
        extended: Walls of the cells with spare ones at both ends.
        around: Area and velocity that the spare ones hold; it does not matter, but is no zero area.
        small: Differences of pressure and of velocity below which slopes are hardly limited.
        faces: Walls at the faces.
        acoustic: Impedance of plane waves there at rest, density times wave speed, Pa s/m.
        ends: Walls at the ends of vessels, by node and branch.
        per_length: One over the length of each cell, 1/m; zero for spare cells.
        friction: $2(\gamma+2)\pi\mu/\rho$ of each cell, m²/s.
        correction: Coriolis coefficient $\alpha$ of each cell, of each face; None for one.
        first: See :class:`physics.artery_layout.NetworkLayout`.
        last: Likewise.
        end_face: Likewise, ``branch_face``.
        end_sign: Likewise.
        dynamic: See :func:`physics.artery_junction.solve_nodes`.
        inlets: What flows in.
        outlets: What lies behind the ends.

    Order two in space. It fails where the flow is faster than the waves, or where a vessel collapses. Source: Formaggia, Lamponi,
    Quarteroni (2003), J. Eng. Math. 47, 251; Sherwin, Franke, Peiró, Parker (2003), J. Eng. Math. 47, 217; LeVeque (2002), *Finite Volume
    Methods for Hyperbolic Problems*, sections 2.8 and 15.3.
    """

    cells: ArteryWall
    extended: ArteryWall
    around: tuple[Float[Array, " extended"], Float[Array, " extended"]]
    small: tuple[Scalar, Scalar]
    faces: ArteryWall
    acoustic: Float[Array, " faces"]
    ends: ArteryWall
    per_length: Float[Array, " cells"]
    friction: Float[Array, " cells"]
    correction: tuple[Float[Array, " cells"], Float[Array, " faces"]] | None
    first: Bool[Array, " inner"]
    last: Bool[Array, " inner"]
    end_face: Int[Array, "nodes branches"]
    end_sign: Float[Array, "nodes branches"]
    dynamic: Float[Array, "nodes branches"]
    inlets: Inlets
    outlets: Outlets

    def evaluate(self, state: FlowState, time: Scalar) -> FlowState:
        """See :class:`solvers.rate.Rate`."""
        return self.rates(state, self.sides(*state[:2]), time)

    def rates(self, state: FlowState, sides: tuple[Float[Array, " faces"], ...], time: Scalar) -> FlowState:
        """As :meth:`evaluate`, with the result of :meth:`sides` at hand."""
        area, velocity, stored = state
        node, _, distal = self.nodes(sides, stored, time)
        pressure, speed = self.between(*sides)
        pressure = pressure.at[self.end_face].set(node.pressure, mode="drop")
        speed = speed.at[self.end_face].set(node.velocity, mode="drop")
        flow = self.faces.area(pressure) * speed
        head = 0.5 * speed * speed * (1 if self.correction is None else self.correction[1]) + pressure * (1 / self.faces.density)
        flow, head = lax.optimization_barrier((flow, head))
        across = (flow[1:] - flow[:-1]) * self.per_length
        drag = self.friction if self.correction is None else self.friction + (self.correction[0] - 1) * across
        push = (head[:-1] - head[1:]) * self.per_length - drag * velocity / area
        reached = self.end_sign[:, 0] * node.flow[:, 0]
        outlets = self.outlets
        filling = (reached - (stored - outlets.downstream) / distal) / jnp.where(outlets.windkessel, outlets.compliance, 1)
        return -across, push, jnp.where(outlets.windkessel, filling, 0)

    def sides(self, area: Float[Array, " cells"], velocity: Float[Array, " cells"]) -> tuple[Float[Array, " faces"], ...]:
        """Pressure from the left and from the right at every face, velocity from the left and from the right.

        Barriers keep XLA from evaluating slopes and fluxes again for every neighbour; the spare cells are written around the others in
        place, because a pad inside a stencil is not vectorised.
        """
        areas, velocities = (lax.dynamic_update_slice(around, part, (SPARE,)) for around, part in zip(self.around, (area, velocity)))
        low, high = edge_values(self.extended.pressure(areas), self.first, self.last, self.small[0])
        slow, fast = edge_values(velocities, self.first, self.last, self.small[1])
        return lax.optimization_barrier((high[:-1], low[1:], fast[:-1], slow[1:]))

    def between(
        self, left: Float[Array, " faces"], right: Float[Array, " faces"], u_left: Float[Array, " faces"], u_right: Float[Array, " faces"]
    ) -> tuple[Float[Array, " faces"], Float[Array, " faces"]]:
        """Pressure and velocity between two states, by the waves of sound that leave their jump."""
        middle = 0.5 * (left + right)
        impedance = self.acoustic * jnp.sqrt(self.faces.root(middle))
        return middle + 0.5 * impedance * (u_left - u_right), 0.5 * (u_left + u_right) + 0.5 * (left - right) / impedance

    def nodes(
        self, sides: tuple[Float[Array, " faces"], ...], stored: Float[Array, " nodes"], time: Scalar
    ) -> tuple[NodeState, Float[Array, " nodes"], Float[Array, " nodes"]]:
        """State of the vessels' ends, and the proximal and distal resistances of the windkessels."""
        face = jnp.minimum(self.end_face, sides[0].size - 1)
        into = self.end_sign > 0
        pressure = jnp.where(into, sides[0][face], sides[1][face])
        velocity = jnp.where(into, sides[2][face], sides[3][face])
        spare = self.end_sign == 0
        pressure, velocity = jnp.where(spare, self.ends.external_pressure, pressure), jnp.where(spare, 0, velocity)
        return self.at_ends(pressure, velocity, stored, time)

    def at_ends(
        self,
        pressure: Float[Array, "nodes branches"],
        velocity: Float[Array, "nodes branches"],
        stored: Float[Array, " nodes"],
        time: Scalar,
    ) -> tuple[NodeState, Float[Array, " nodes"], Float[Array, " nodes"]]:
        """As :meth:`nodes`, from the pressure and velocity that reach the ends."""
        proximal, distal = self.resistances(pressure[:, 0])
        outlets = self.outlets
        condition = NodeCondition(
            jnp.zeros_like(stored).at[self.inlets.node].add(self.inlets.at(time)),
            jnp.where(outlets.windkessel, 1 / proximal, 0),
            stored,
            outlets.reflection,
            outlets.reflecting,
        )
        return solve_nodes(self.ends, self.end_sign, self.dynamic, pressure, velocity, condition), proximal, distal

    def resistances(self, pressure: Float[Array, " nodes"]) -> tuple[Float[Array, " nodes"], Float[Array, " nodes"]]:
        """Those given, or the vessel's impedance and what is left of their sum; one where there is no windkessel."""
        outlets = self.outlets
        end = ArteryWall(self.ends.reference_area[:, 0], self.ends.stiffness[:, 0], self.ends.external_pressure[:, 0], self.ends.density)
        root = end.root(pressure)
        impedance = end.resting_impedance * jnp.sqrt(root) / (root * root)
        total = outlets.proximal + outlets.distal
        proximal = jnp.where(outlets.matched, impedance, outlets.proximal)
        distal = jnp.where(outlets.matched, jnp.abs(total - impedance), outlets.distal)
        return jnp.where(outlets.windkessel, proximal, 1), jnp.where(outlets.windkessel, distal, 1)

    def relaxation(self) -> Float[Array, " nodes"]:
        """Rate at which each windkessel's pressure follows the wave that reaches it, at rest, 1/s; zero where there is none."""
        proximal, distal = self.resistances(self.ends.external_pressure[:, 0])
        outlets, impedance = self.outlets, self.ends.resting_impedance[:, 0]
        rate = (1 / (proximal + impedance) + 1 / distal) / jnp.where(outlets.windkessel, outlets.compliance, 1)
        return jnp.where(outlets.windkessel, rate, 0)

    def fastest(self, area: Float[Array, " cells"], velocity: Float[Array, " cells"]) -> Scalar:
        """Largest number of cells that a wave crosses per second, 1/s."""
        return jnp.max((jnp.abs(velocity) + self.cells.wave_speed(area)) * self.per_length)
