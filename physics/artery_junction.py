"""Where vessels meet or end: one pressure per node, outgoing waves kept, mass in balance."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from physics.artery_wall import ArteryWall

NEWTON_STEPS = 4


class NodeCondition(NamedTuple):
    """What each node adds to the balance of its vessels, ``inflow - conductance (p - downstream)`` in m³/s.

    Attributes:
        inflow: Given flow into the node, m³/s; zero at junctions and outlets.
        conductance: One over the resistance to what lies downstream, m³/(s Pa); zero elsewhere.
        downstream: Pressure behind that resistance, Pa.
        reflection: Share of the outgoing wave that comes back with its sign turned, where ``reflecting``.
        reflecting: Ends with a reflection coefficient in place of a balance.
    """

    inflow: Float[Array, " nodes"]
    conductance: Float[Array, " nodes"]
    downstream: Float[Array, " nodes"]
    reflection: Float[Array, " nodes"]
    reflecting: Bool[Array, " nodes"]


class NodeState(NamedTuple):
    """What holds at the vessels' ends, ``(nodes, branches)``: pressure in Pa, velocity along the vessel in m/s, flow along it in m³/s."""

    pressure: Float[Array, "nodes branches"]
    velocity: Float[Array, "nodes branches"]
    flow: Float[Array, "nodes branches"]


def solve_nodes(
    wall: ArteryWall,
    sign: Float[Array, "nodes branches"],
    dynamic: Float[Array, "nodes branches"],
    pressure: Float[Array, "nodes branches"],
    velocity: Float[Array, "nodes branches"],
    condition: NodeCondition,
) -> NodeState:
    r"""State at the ends of the vessels of every node, from what reaches them from inside.

    With $a = (A/A_0)^{1/4}$, so that $c = c_0 a$ and $p = p_{ext} + \beta(a^2-1)$, the wave that leaves the vessel keeps
    $W = \sigma u + 4c$. Unknown are $a$ of each branch and one $H$ per node:
    $$\sigma u = W - 4c_0 a,\qquad p(a) + \tfrac\theta2\rho u^2 = H,\qquad
      \sum_k \sigma_k A_{0,k} a_k^4 u_k + q_{in} - g\,(H - p_d) = 0.$$
    Newton's method; its matrix is an arrow, so each step is a few sums over the branches, whatever their number. Four steps from the
    state inside reach round-off at physiological jumps.

    Args:
        wall: Of the ends, ``(nodes, branches)``.
        sign: $\sigma$: 1 where the vessel flows into the node, -1 where it starts there, 0 for no branch.
        dynamic: $\theta$: 1 for continuous total pressure, 0 for continuous static pressure.
        pressure: At the end, extrapolated from inside, Pa.
        velocity: Likewise, m/s.
        condition: What the node adds.

    The reflection coefficient $R$ of an end gives the incoming wave $W' = W'_0 - R(W - W_0)$ (subscript: at rest).
    It fails where the flow is faster than the waves. Source: Alastruey, Parker, Peiró, Sherwin (2008), Commun. Comput. Phys. 4, 317,
    section 2; Sherwin, Franke, Peiró, Parker (2003), J. Eng. Math. 47, 217.
    """
    here = sign != 0
    speed, density, stiffness = wall.resting_speed, wall.density, wall.stiffness
    a = jnp.sqrt(wall.root(pressure))
    outgoing = sign * velocity + 4 * speed * a
    flow_in, conductance = condition.inflow, condition.conductance
    head = jnp.sum(jnp.where(here, pressure, 0), axis=1) / jnp.sum(here, axis=1)
    for _ in range(NEWTON_STEPS):
        u = outgoing - 4 * speed * a  # towards the node
        level = wall.external_pressure + stiffness * (a * a - 1) + 0.5 * density * dynamic * u * u
        slope = 2 * stiffness * a - 4 * density * dynamic * speed * u
        cube = wall.reference_area * a**3
        flow = jnp.where(here, cube * a * u, 0)
        flow_slope = jnp.where(here, 4 * cube * (u - speed * a), 0) / slope
        missing = head[:, None] - level
        balance = jnp.sum(flow + flow_slope * missing, axis=1) + flow_in - conductance * (head - condition.downstream)
        change = -balance / (jnp.sum(flow_slope, axis=1) - conductance)
        head = head + change
        a = a + (missing + change[:, None]) / slope
    reflected = -4 * speed - condition.reflection[:, None] * (outgoing - 4 * speed)
    a = jnp.where(condition.reflecting[:, None], (outgoing - reflected) / (8 * speed), a)
    u = outgoing - 4 * speed * a
    velocity = sign * u
    return NodeState(wall.external_pressure + stiffness * (a * a - 1), velocity, jnp.where(here, wall.reference_area * a**4 * velocity, 0))


def imbalance(state: NodeState, sign: Float[Array, "nodes branches"], condition: NodeCondition) -> Float[Array, " nodes"]:
    """Flow that a node gains, m³/s; zero up to round-off, but at reflecting ends, which have no balance."""
    through = condition.inflow - condition.conductance * (state.pressure[:, 0] - condition.downstream)
    return jnp.where(condition.reflecting, 0, jnp.sum(sign * state.flow, axis=1) + through)
