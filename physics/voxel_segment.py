"""A piece of vessel in three dimensions between arteries in one: voxel flow with the waves of the tree around it."""

import math

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from physics.artery_network import ArteryNetwork
from physics.artery_ports import ArteryPorts, PerPort, check_free_ends, head_of_flow
from physics.artery_stepper import ArteryState, ArteryStepper
from physics.equation import Equation
from physics.lattice_units import SOUND, LatticeUnits
from solvers import Stepper
from solvers.lattice_boltzmann import Collision, Constant, FlowState, Inlet, LatticeBoltzmann, LatticeDomain, Outlets, Ramp
from solvers.shapes import Flag, Scalar

COURANT = 0.6
"""Part of the arteries' Courant number at rest that a step may take: waves under pressure are faster."""
SOFT = 0.25
"""Waves of a port's artery over the lattice's sound below which voxels and arteries exchange after every lattice step. Above, after every
second, which marches from one array into another and back. With two, arteries of 0.02 were seen to make the lattice ring."""
PORT_STEPS = 4
"""Newton steps for the flow through a port."""
PARABOLA = 2.0
"""Kinetic energy that a parabola carries, over that of a flat profile with the same flow."""
Others = Float[Array, " others"]
"""All ports but the last."""


class SegmentState(eqx.Module):
    """State of arteries and voxels.

    Attributes:
        arteries: Of the network.
        flow: Of the lattice, without what its outlets remember.
        entering: Flow into the voxels at each port, m³/s; they sum to zero.
        drop: Pressure of the voxels at each port but the last over that at the last one, Pa.
    """

    arteries: ArteryState
    flow: FlowState
    entering: PerPort
    drop: Others


class VoxelSegment(Equation):
    r"""A rigid piece of the tree on voxels; its openings and free ends of arteries share flow and pressure.

    All ports but the last give the voxels a flow, with a profile, and get a pressure back; the last gives a pressure, which is the level
    that all others are counted from: the flow of a liquid does not feel it, and pressures of the circulation would tear a lattice. With
    ``total`` both sides have one $p+\tfrac12\rho\kappa(Q/A)^2$, $\kappa$ one in the arteries and ``kinetic`` in the voxels: the power
    that leaves one side is what enters the other.

    Args:
        network: The vessels; ends at ports have no outlet and no inlet.
        flow: The lattice without openings' conditions of its own: one inlet per port but the last, with profiles that bring one
            voxel³ per step (:func:`solvers.lattice_boltzmann.unit_inflow`), an outlet without load for the last, and ``substeps`` lattice
            steps to one of the arteries.
        units: Of the lattice; density as the network's.
        nodes: Of the network, one for each port.
        areas: Of the openings, m².
        total: Total pressure at the ports, else static.
        kinetic: $\kappa$ of the voxels' profiles: 2 for a parabola.

    The voxels do not give way: elastic wall of the piece belongs to the arteries around it. Openings are plane, and flow enters with the
    profile given at all phases; put them a diameter away from what is asked. Source: Formaggia, Gerbeau, Nobile, Quarteroni (2001), Comput.
    Methods Appl. Mech. Engrg. 191, 561 (arteries of two dimensions coupled); Blanco, Feijóo, Urquiza (2007), same journal, 196, 4391.
    """

    network: ArteryNetwork
    flow: LatticeBoltzmann
    units: LatticeUnits
    nodes: tuple[int, ...] = eqx.field(static=True)
    areas: PerPort
    total: bool = eqx.field(static=True, default=True)
    kinetic: float = eqx.field(static=True, default=PARABOLA)

    @property
    def step(self) -> Scalar:
        """s, of arteries and voxels together."""
        return self.flow.substeps * self.units.step

    def initial_state(self) -> SegmentState:
        """The network's own start, blood in the voxels at rest."""
        zero = jnp.zeros(len(self.nodes), self.areas.dtype)
        return SegmentState(self.network.initial_state(), self.flow.initial_state(), zero, zero[:-1])

    def stepper(self) -> "SegmentStepper":
        """The coupled step.

        Raises:
            ValueError: A network with openBF's scheme or viscous walls.
        """
        if self.network.scheme != "second_order" or self.network.wall_viscosity is not None:
            raise ValueError(
                "got openBF's scheme or viscous walls; expected elastic walls in the scheme second_order; do: change the network"
            )
        arteries = ArteryStepper(self.network.flow(), self.network.courant)
        return SegmentStepper(
            arteries, self.flow, self.units, ArteryPorts.of(self.network, self.nodes), self.areas, self.total, self.kinetic
        )

    def volume(self, state: SegmentState) -> Scalar:
        """Blood in vessels and windkessels beyond what those hold unpressed, m³; what enters the voxels leaves them."""
        return self.network.volume(state.arteries)


class SegmentStepper(Stepper):
    r"""One step of arteries and, in many steps of the lattice, of voxels.

    1. Rates of the arteries at $t_n$ with the flows at the ports, the first stage of Heun's method, and the invariants $W$ that leave the
       vessels there.
    2. The flows $Q_k$ of all ports but the last, from
       $H_k(W_k,Q_k)-H_N(W_N,Q_N)=\Delta p_k+Z_k(Q_k-Q_k^n)+\tfrac12\rho\kappa(Q_k^2/A_k^2-Q_N^2/A_N^2)$ with $Q_N=-\sum Q_k$:
       $H(W,Q)$ is what a vessel makes of a flow, $\Delta p_k$ what the voxels had after the last step, and $Z=\rho c/A$ the impedance of
       sound of the lattice, which is what voxels answer at once. With it the exchange is a match of waves, stable whether the piece or
       the vessel is the stiffer; without it the inertia of the blood in the voxels would make it grow.
    3. The lattice's steps with flows that go evenly from $Q_k^n$ to $Q_k$.
    4. Rates at the stage with the new flows at all ports, Heun's second half.

    The arteries take voxels for full of a liquid: through the last port they get $-\sum Q_k$, not a drop is lost, and what the power
    $\sum H_kQ_k$ takes from them is what enters the lattice. What leaves the lattice follows a little later, because it is slightly
    compressible ($\ell/c$ for a piece of length $\ell$); handing that on instead would feed energy to the waves.

    Order one in the step for the exchange ($\Delta p$ is one step old), two for the arteries, two in the voxel. Few lattice steps between
    exchanges keep that error below those of the voxels: with many, sound crosses the piece within one.

    Args:
        arteries: The step of the vessels.
        flow: See :class:`VoxelSegment`.
        units: Likewise.
        ports: The vessels' ends.
        areas: See :class:`VoxelSegment`.
        total: Likewise.
        kinetic: Likewise.
    """

    arteries: ArteryStepper
    flow: LatticeBoltzmann
    units: LatticeUnits
    ports: ArteryPorts
    areas: PerPort
    total: bool = eqx.field(static=True)
    kinetic: float = eqx.field(static=True)

    @property
    def order(self) -> int:
        """One."""
        return 1

    def stable(self, length: Scalar) -> Flag:
        """Whether a step is ``substeps`` lattice steps long, and in the limit of waves at rest."""
        whole = jnp.abs(length / self.units.step - self.flow.substeps) < 0.01
        return whole & self.arteries.stable(length) & self.flow.stable(jnp.asarray(float(self.flow.substeps)))

    def advance(self, state: SegmentState, time: Scalar, length: Scalar) -> SegmentState:
        """See :class:`solvers.stepper.Stepper`; a length of zero changes nothing."""
        return lax.cond(length > 0, lambda state: self._advanced(state, time, length), lambda state: state, state)

    def _advanced(self, state: SegmentState, time: Scalar, length: Scalar) -> SegmentState:
        rate, before, ports = self.arteries.rate, state.arteries, self.ports
        sides = rate.sides(*before.flow[:2])
        first = lax.optimization_barrier(ports.held(rate, time, -state.entering).rates(before.flow, sides, time))
        stage = self.arteries.predicted(before.flow, first, length)
        sides = rate.sides(*stage[:2])
        wanted = self._matched(state, ports.outgoing(rate, sides))
        flow, drop = self._through(state, wanted, time)
        entering = jnp.concatenate([wanted, -jnp.sum(wanted, keepdims=True)])
        second = lax.optimization_barrier(ports.held(rate, time + length, -entering).rates(stage, sides, time + length))
        return SegmentState(self.arteries.corrected(before, first, stage, second, time, length), flow, entering, drop)

    def _matched(self, state: SegmentState, outgoing: PerPort) -> Others:
        """Flows into the voxels at all ports but the last, m³/s."""
        dynamic, density = float(self.total), self.units.density
        wall = self.ports.wall(self.arteries.rate)
        impedance = density * SOUND * self.units.speed / self.areas[:-1]
        kinetic = 0.5 * dynamic * self.kinetic * density / self.areas**2
        old = state.entering[:-1]
        flow = old
        for _ in range(PORT_STEPS):
            every = jnp.concatenate([flow, -jnp.sum(flow, keepdims=True)])
            head, slope = head_of_flow(wall, outgoing, every, dynamic)
            pressure, stiff = head - kinetic * every**2, slope - 2 * kinetic * every
            missing = pressure[:-1] - pressure[-1] - state.drop - impedance * (flow - old)
            # The matrix is diagonal but for the last port, whose flow is minus the sum of all.
            diagonal = stiff[:-1] - impedance
            share = jnp.sum(missing / diagonal) * stiff[-1] / (1 + stiff[-1] * jnp.sum(1 / diagonal))
            flow = flow - (missing - share) / diagonal
        return flow

    def _through(self, state: SegmentState, wanted: Others, time: Scalar) -> tuple[FlowState, Others]:
        """The lattice after its steps, and pressures over the last port's, Pa."""
        units, count = self.units, self.flow.substeps
        begin, dtype = jnp.round(time / units.step), state.flow.populations.dtype
        inlets = []
        for inlet, old, new in zip(self.flow.inlets, state.entering[:-1], wanted, strict=True):
            first, last = ((part / units.flow).astype(dtype) for part in (old, new))
            inlets.append(Inlet(inlet.patch, inlet.profile, Ramp(first, last, begin, jnp.asarray(float(count)))))
        flow = eqx.tree_at(lambda f: f.inlets, self.flow, tuple(inlets))
        after = flow.advance(state.flow, begin, jnp.asarray(float(count)))
        drops = jnp.stack([flow.pressure_at(after, inlet.patch) for inlet in inlets])
        return after, drops.astype(wanted.dtype) * units.pressure


def voxel_segment(
    network: ArteryNetwork,
    domain: LatticeDomain,
    collision: Collision,
    units: LatticeUnits,
    ports: dict[int, int],
    profiles: dict[int, Float[Array, "links 3"]],
    areas: dict[int, float],
    fraction: Float[Array, " walls"] | None = None,
    total: bool = True,
    kinetic: float = PARABOLA,
    substeps: int | None = None,
) -> VoxelSegment:
    """Voxels and arteries joined at ports.

    Args:
        network: The vessels. Nodes of ports are free ends: no outlet, no inlet.
        domain: Voxels, with an opening per port.
        collision: Of the lattice, with blood's viscosity in its units.
        units: Of the lattice.
        ports: Node of the network by number of the opening; the last one is where pressure is given: choose the one with the largest
            area, or downstream.
        profiles: From :func:`solvers.lattice_boltzmann.unit_inflow`, by opening; all but the last.
        areas: Of the openings, m².
        fraction: Where walls cut their links; half way where left out. Its type is that of the populations.
        total: See :class:`VoxelSegment`.
        kinetic: Likewise.
        substeps: Lattice steps between exchanges; where left out one or two, see ``SOFT``.

    Raises:
        ValueError: Fewer than two ports, an opening without port or profile, a node that is no free end, other densities, or a lattice
            step that is longer than the arteries can take.
    """
    patches = tuple(ports)
    if len(patches) < 2 or sorted(patches) != sorted(domain.patches):
        raise ValueError(f"got ports for openings {sorted(patches)}; expected two or more, all of {sorted(domain.patches)}; do: add them")
    if any(patch not in profiles for patch in patches[:-1]) or any(patch not in areas for patch in patches):
        raise ValueError(
            f"got profiles for {sorted(profiles)}, areas for {sorted(areas)}; expected {patches[:-1]}, {patches}; do: add them"
        )
    check_free_ends(network, {f"opening {patch}": node for patch, node in ports.items()})
    densities = float(network.density), float(units.density)
    if not math.isclose(*densities, rel_tol=1e-6):
        got = f"{densities[0]:g} and {densities[1]:g} kg/m³ for arteries and voxels"
        raise ValueError(f"got {got}; expected one density; do: give both the same")
    rate = network.flow()
    longest = COURANT * network.courant / float(jnp.max(rate.cells.resting_speed * rate.per_length))
    most = int(longest / float(units.step))
    if substeps is None:
        slowest = float(jnp.min(ArteryPorts.of(network, tuple(ports.values())).wall(rate).resting_speed))
        substeps = 2 if most >= 2 and slowest > SOFT * SOUND * float(units.speed) else 1
    if not 1 <= substeps <= most:
        raise ValueError(
            f"got {substeps} lattice steps of {float(units.step):.3g} s between exchanges; expected {longest:.3g} s or less, "
            f"{COURANT:g} of the arteries' Courant number at rest; do: use longer cells, a smaller Mach number or fewer substeps"
        )
    dtype = jnp.result_type(float) if fraction is None else fraction.dtype
    zero = jnp.zeros((), dtype)
    inlets = tuple(Inlet(patch, profiles[patch].astype(dtype), Constant(zero)) for patch in patches[:-1])
    outlets = Outlets((patches[-1],), (Constant(zero),), zero[None], zero[None], zero[None])
    flow = LatticeBoltzmann(domain, collision, fraction, inlets=inlets, outlets=outlets, substeps=substeps)
    sizes = jnp.array([areas[patch] for patch in patches])
    return VoxelSegment(network, flow, units, tuple(ports.values()), sizes, total, kinetic)
