"""Free ends of arteries that something else closes: what leaves a vessel there, and what a flow makes of it."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.artery_flow import ArteryFlow, Inlets
from physics.artery_network import ArteryNetwork
from physics.artery_wall import ArteryWall
from solvers.shapes import Scalar

PerPort = Float[Array, " ports"]
NEWTON_STEPS = 5


class ArteryPorts(eqx.Module):
    r"""Ends of vessels whose flow is given from outside.

    With $a=(A/A_0)^{1/4}$ the invariant $W=\sigma u+4c_0a$ leaves the vessel towards the port ($\sigma$: 1 where the vessel ends there, -1
    where it starts there). A flow $Q$ towards the port then fixes the rest: $Q=A_0a^4(W-4c_0a)$, $p=p_{ext}+\beta(a^2-1)$.

    Attributes:
        nodes: Rows of the network's nodes.
        faces: Of the vessels' ends.
        ends: $\sigma$.
    """

    nodes: tuple[int, ...] = eqx.field(static=True)
    faces: tuple[int, ...] = eqx.field(static=True)
    ends: tuple[float, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, network: ArteryNetwork, nodes: tuple[int, ...]) -> "ArteryPorts":
        """Ports at these nodes, each the free end of one vessel (:func:`check_free_ends`)."""
        layout = network.layout
        rows = [layout.nodes.index(node) for node in nodes]
        faces = tuple(int(layout.branch_face[row, 0]) for row in rows)
        return cls(tuple(rows), faces, tuple(float(layout.branch_sign[row, 0]) for row in rows))

    def wall(self, rate: ArteryFlow) -> ArteryWall:
        """The tube law at the ports."""
        rows, ends = jnp.array(self.nodes), rate.ends
        area, stiffness, pressure = (part[rows, 0] for part in (ends.reference_area, ends.stiffness, ends.external_pressure))
        return ArteryWall(area, stiffness, pressure, ends.density)

    def outgoing(self, rate: ArteryFlow, sides: tuple[Float[Array, " faces"], ...]) -> PerPort:
        """The invariant that leaves each port's vessel, m/s, from the states at all faces (``ArteryFlow.sides``)."""
        low, high, slow, fast = sides
        wall, faces, end = self.wall(rate), jnp.array(self.faces), jnp.array(self.ends, low.dtype)
        pressure, velocity = jnp.where(end > 0, low[faces], high[faces]), jnp.where(end > 0, slow[faces], fast[faces])
        return end * velocity + 4 * wall.resting_speed * jnp.sqrt(wall.root(pressure))

    def held(self, rate: ArteryFlow, time: Scalar, entering: PerPort) -> ArteryFlow:
        """The arteries with these flows into them at the ports, m³/s, beside what flows in elsewhere."""
        node = jnp.concatenate([rate.inlets.node, jnp.array(self.nodes, rate.inlets.node.dtype)])
        flow = jnp.concatenate([rate.inlets.at(time), entering.astype(rate.inlets.flow.dtype)])
        unit = jnp.array([0.0, 1.0], flow.dtype)
        return eqx.tree_at(lambda r: r.inlets, rate, Inlets(node, unit, jnp.stack([flow, flow], axis=1)))


def head_of_flow(wall: ArteryWall, outgoing: PerPort, leaving: PerPort, dynamic: float) -> tuple[PerPort, PerPort]:
    r"""$H=p+\tfrac\theta2\rho u^2$ at ports that the flow ``leaving`` (m³/s, out of the arteries) passes, and $\partial H/\partial Q$.

    Newton's method for $a$ from the end at rest; five steps reach round-off while the flow is slower than the waves.

    Args:
        wall: The tube law.
        outgoing: $W$, m/s.
        leaving: $Q$.
        dynamic: $\theta$: 1 for total pressure, 0 for static pressure.
    """
    area, speed = wall.reference_area, wall.resting_speed
    a = outgoing / (4 * speed)
    for _ in range(NEWTON_STEPS):
        u = outgoing - 4 * speed * a
        a = a - (area * a**4 * u - leaving) / (4 * area * a**3 * (u - speed * a))
    u = outgoing - 4 * speed * a
    head = wall.external_pressure + wall.stiffness * (a * a - 1) + 0.5 * dynamic * wall.density * u * u
    slope = (2 * wall.stiffness * a - 4 * dynamic * wall.density * speed * u) / (4 * area * a**3 * (u - speed * a))
    return head, slope


def check_free_ends(network: ArteryNetwork, nodes: dict[str, int]) -> None:
    """Refuses nodes that are no free end of one vessel, and two ports at one node.

    Raises:
        ValueError: Naming the port.
    """
    layout = network.layout
    for name, node in nodes.items():
        if node not in layout.nodes or (layout.branch_sign[layout.nodes.index(node)] != 0).sum() != 1:
            raise ValueError(f"got node {node} for port {name!r}; expected the end of one vessel; do: choose one of {_free(network)}")
        row = layout.nodes.index(node)
        ends_in_something = layout.branch_sign[row, 0] > 0 and network.outlet[layout.branch_vessel[row, 0]] != ""
        if node in network.inlet_nodes or ends_in_something:
            raise ValueError(f"got node {node} for port {name!r}, which has an inlet or outlet; expected a free end; do: remove that")
    if len(set(nodes.values())) != len(nodes):
        raise ValueError("got one node for two ports; expected a port per end; do: join them in what closes them")


def _free(network: ArteryNetwork) -> str:
    layout = network.layout
    ends = [node for node, signs in zip(layout.nodes, layout.branch_sign, strict=True) if (signs != 0).sum() == 1]
    return ", ".join(str(node) for node in ends[:8])
