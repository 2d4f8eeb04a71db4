"""The stepper of a lattice Boltzmann flow: links, streaming and collision, with openings and a body force."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from solvers.lattice_boltzmann.collision import Collision, Vector, nonequilibrium_stress, velocity_of
from solvers.lattice_boltzmann.domain import WALL, LatticeDomain
from solvers.lattice_boltzmann.equilibrium import equilibrium, stressed
from solvers.lattice_boltzmann.lattice import momentum
from solvers.lattice_boltzmann.ports import Inlet, Outlets
from solvers.lattice_boltzmann.sweep import Populations, streamed, swept, swept_in_tiles, wrapped
from solvers.lattice_boltzmann.viscosity import relaxation_time
from solvers.lattice_boltzmann.walls import WallRule, wall_coefficients
from solvers.lattice_boltzmann.waveform import Waveform
from solvers.shapes import Flag, Scalar
from solvers.stepper import Stepper


class FlowState(eqx.Module):
    """Populations after collision, as deviations from the weights, flat and padded; and the loads of the outlets (pressure, stored)."""

    populations: Populations
    loads: Float[Array, "outlets 2"]


class Moments(eqx.Module):
    """What the populations say, flat and padded, zero outside of the fluid; lattice units.

    Attributes:
        pressure: Density's deviation from one times the square of the speed of sound.
        velocity: voxel/step.
        strain_rate: Symmetric gradient of the velocity xx, yy, zz, xy, xz, yz, of second order without any difference (1/step).
        viscosity: voxel²/step.
    """

    pressure: Float[Array, " cells"]
    velocity: Float[Array, "3 cells"]
    strain_rate: Float[Array, "6 cells"]
    viscosity: Float[Array, " cells"]


class LatticeBoltzmann(Stepper):
    r"""Flow of a liquid by streaming and collision; one step of :func:`solvers.simulate.simulate` is ``substeps`` of the lattice.

    Order two in space when the time step goes with the square of the voxel (constant viscosity in lattice units).

    Args:
        domain: Voxels and links.
        collision: TRT where there are walls; Cumulant for low viscosity; BGK to compare.
        fraction: Where walls cut their links (:func:`solvers.lattice_boltzmann.domain.wall_fractions`); None is half way.
        rule: See :func:`solvers.lattice_boltzmann.walls.wall_coefficients`.
        wall_velocity: Of each wall link ``(walls, 3)``, voxel/step.
        inlets: Patches with a velocity.
        outlets: Patches with a pressure.
        force: Body force per volume ``(3,)`` at density one, voxel/step².
        force_over_time: Factor of it.
        substeps: Steps of the lattice between two looks from outside. Time is counted in steps of the lattice.

    Raises:
        ValueError: A collision that is not made for the lattice, arrays that do not fit the links, an opening without a condition.

    Openings: a velocity is met half way by bounce-back with momentum (Ladd 1994), a pressure by anti-bounce-back (Ginzburg et al 2008, eq
    4.8, with the velocity of the voxel before it); both work link by link, on any patch and beside any wall.

    The gradient of whatever follows reaches viscosity, wall fractions, profiles, waveforms, loads and force.
    """

    domain: LatticeDomain
    collision: Collision
    coefficients: Float[Array, "3 links"]
    wall_source: Float[Array, " walls"] | None
    inlets: tuple[Inlet, ...]
    outlets: Outlets | None
    force: Float[Array, "3"] | None
    force_over_time: Waveform | None
    substeps: int = eqx.field(static=True)

    def __init__(
        self,
        domain: LatticeDomain,
        collision: Collision,
        fraction: Float[Array, " walls"] | None = None,
        rule: WallRule = "central",
        wall_velocity: Float[Array, "walls 3"] | None = None,
        inlets: tuple[Inlet, ...] = (),
        outlets: Outlets | None = None,
        force: Float[Array, "3"] | None = None,
        force_over_time: Waveform | None = None,
        substeps: int = 1,
    ) -> None:
        walls = domain.links_of(WALL).stop
        given = sorted([inlet.patch for inlet in inlets] + list(() if outlets is None else outlets.patches))
        if not collision.supports(domain.lattice):
            raise ValueError(f"got {type(collision).__name__} on {domain.lattice.name}; expected a lattice it is made for; do: use D3Q27")
        if given != sorted(domain.patches):
            raise ValueError(f"got conditions for openings {given}; expected one for each of {list(domain.patches)}; do: name each once")
        if fraction is not None and fraction.shape != (walls,):
            raise ValueError(f"got {fraction.shape} wall fractions; expected ({walls},); do: take them from wall_fractions")
        if substeps < 1:
            raise ValueError(f"got substeps {substeps}; expected at least 1; do: use 10")
        dtype = jnp.result_type(float) if fraction is None else fraction.dtype
        half = jnp.full((walls,), 0.5, dtype)
        coefficients, moving = wall_coefficients("halfway" if fraction is None else rule, half if fraction is None else fraction,
                                                 domain.has_behind[:walls])  # fmt: skip
        for patch in domain.patches:
            links = domain.links_of(patch)
            sign = -1.0 if outlets is not None and patch in outlets.patches else 1.0
            there = jnp.zeros((3, links.stop - links.start), dtype).at[0].set(sign)
            coefficients = jnp.concatenate([coefficients, there], axis=1)
        self.wall_source = None
        if wall_velocity is not None:
            self.wall_source = moving * _push(domain, domain.links_of(WALL), wall_velocity)
        for inlet in inlets:
            links = domain.links_of(inlet.patch)
            if inlet.profile.shape[0] != links.stop - links.start:
                got = f"a profile of {inlet.profile.shape[0]} links for opening {inlet.patch}"
                raise ValueError(f"got {got}; expected {links.stop - links.start}; do: give one velocity per link")
        self.domain, self.collision, self.coefficients = domain, collision, coefficients
        self.inlets, self.outlets, self.force, self.force_over_time, self.substeps = inlets, outlets, force, force_over_time, substeps

    @property
    def order(self) -> int:
        """In the time step, at a constant ratio of time step and voxel's square: one, which is two in the voxel."""
        return 1

    def initial_state(
        self,
        pressure: Float[Array, " cells"] | None = None,
        velocity: Float[Array, "3 cells"] | None = None,
        strain_rate: Float[Array, "6 cells"] | None = None,
    ) -> FlowState:
        """Populations after collision at time zero with these moments, at rest where nothing is given; flat and padded.

        :meth:`moments` streams once more: what it says of this state belongs to time one. The lattice is a little compressible: a pressure
        that changes at the rate p' wants div u = -3p', and a start without it rings (docs/theory/lattice_boltzmann.md).
        """
        lattice, size, dtype = self.domain.lattice, self.domain.size, self.coefficients.dtype
        density = jnp.zeros(size, dtype) if pressure is None else pressure / lattice.sound_squared
        speed = jnp.zeros((3, size), dtype) if velocity is None else velocity
        force = self._force_at(jnp.zeros((), dtype))
        if force is not None:  # populations have collided: the whole push is theirs, of which half belongs to this velocity
            speed = speed + jnp.stack(force)[:, None] / 2
        rows = jnp.stack(equilibrium(lattice, density, (speed[0], speed[1], speed[2]), self.collision.compressible))
        if strain_rate is not None:
            time = self.collision.viscosity.at(jnp.zeros((), dtype)) / lattice.sound_squared + 0.5
            stress = -2 * lattice.sound_squared * time * strain_rate
            rows = rows + (1 - 1 / time) * jnp.stack(stressed(lattice, stress))
        outlets = 0 if self.outlets is None else len(self.outlets.patches)
        return FlowState(jnp.where(self.domain.fluid[None], rows, 0), jnp.zeros((outlets, 2), dtype))

    def advance(self, state: FlowState, time: Scalar, length: Scalar) -> FlowState:
        """See :class:`solvers.stepper.Stepper`; a length other than ``substeps`` or zero is told by :meth:`stable`."""
        return lax.cond(length > 0, lambda state: _marched(self, state, time), lambda state: state, state)

    def stable(self, length: Scalar) -> Flag:
        """True where a step is as long as ``substeps``, and the viscosity is above zero."""
        return (jnp.abs(length - self.substeps) < 0.01) & jnp.all(self.collision.viscosity.at(jnp.zeros(())) > 0)

    def step(self, state: FlowState, time: Scalar) -> FlowState:
        """One step of the lattice."""
        populations, loads = self.linked(state, time)
        return FlowState(swept(self.domain, self.collision, populations, self._force_at(time + 1)), loads)

    def moments(self, state: FlowState, time: Scalar) -> Moments:
        """Pressure, velocity and strain rate at the end of the step that began at ``time``, streamed and not yet collided."""
        domain, compressible = self.domain, self.collision.compressible
        rows = tuple(jnp.where(domain.fluid, row, 0) for row in streamed(domain, self.linked(state, time)[0]))
        force = self._force_at(time + 1)
        density, velocity = velocity_of(domain.lattice, rows, force, compressible)
        stress = nonequilibrium_stress(domain.lattice, rows, density, velocity, force, compressible)
        scale = 1 + density if compressible else 1.0
        relaxation = relaxation_time(self.collision.viscosity, stress)
        strain = jnp.stack([part / scale for part in stress]) * jnp.broadcast_to(-1.5 / relaxation, density.shape)[None]
        viscosity = jnp.broadcast_to((relaxation - 0.5) * domain.lattice.sound_squared, density.shape)
        return Moments(
            domain.lattice.sound_squared * density,
            jnp.where(domain.fluid[None], jnp.stack(velocity), 0),
            jnp.where(domain.fluid[None], strain, 0),
            jnp.where(domain.fluid, viscosity, 0),
        )

    def peak_speed(self, state: FlowState) -> Scalar:
        """Largest speed of the fluid, voxel/step; above 0.3 of the speed of sound, 0.577, equilibria are no longer those of a liquid."""
        x, y, z = momentum(self.domain.lattice, tuple(state.populations))
        return jnp.sqrt(jnp.max(jnp.where(self.domain.fluid, x**2 + y**2 + z**2, 0)))

    def linked(self, state: FlowState, time: Scalar) -> tuple[Populations, Float[Array, "outlets 2"]]:
        """Populations with what comes back from walls and openings in its slots, and the loads after the step."""
        domain = self.domain
        populations = wrapped(domain, state.populations)
        if not domain.cell.size:
            return populations, state.loads
        k, (leaving, behind, staying, coming) = self.coefficients, domain.slots
        flat = populations.reshape(-1)
        back = k[0] * flat[leaving]
        walls = domain.ends[0]
        if walls:  # openings need one population only
            there = slice(0, walls)
            wall = back[there] + k[1, there] * flat[behind[there]] + k[2, there] * flat[staying[there]]
            back = jnp.concatenate([wall if self.wall_source is None else wall + self.wall_source, back[walls:]])
        source, loads = self._openings(populations, state.loads, time)
        if source is not None:
            back = back.at[walls:].add(source)
        return flat.at[coming].set(back, unique_indices=True).reshape(populations.shape), loads

    def wall_force(self, state: FlowState, time: Scalar) -> Float[Array, "3"]:
        """Force of the fluid on all walls in the step that begins at ``time``, by the momentum that links exchange (Ladd 1994).

        Voxel⁴/step² at a density of one. Pressure is counted from that of density one: right for bodies that are closed.
        """
        walls = self.domain.links_of(WALL)
        leaving, coming = self.domain.slots[0, walls], self.domain.slots[3, walls]
        exchanged = self.linked(state, time)[0].reshape(-1)[coming] + wrapped(self.domain, state.populations).reshape(-1)[leaving]
        steps = jnp.asarray(self.domain.lattice.steps, exchanged.dtype)[self.domain.direction[walls]]
        return jnp.sum(steps * exchanged[:, None], axis=0)

    def flow_out(self, state: FlowState, patch: int) -> Scalar:
        """Volume through an opening per step, positive out of the domain, voxel³/step."""
        return self._flow_out(self._velocity_at(state.populations), patch)

    def pressure_at(self, state: FlowState, patch: int) -> Scalar:
        """Mean over the voxels whose faces are an opening, half a voxel before it; lattice units, zero at a density of one."""
        straight, place = self._straight(patch)
        density = jnp.sum(state.populations[:, self.domain.open_cell], axis=0)[place]
        return self.domain.lattice.sound_squared * jnp.sum(jnp.where(straight, density, 0)) / jnp.sum(straight)

    def _straight(self, patch: int) -> tuple[Array, Array]:
        step, place = self._steps_of(patch)
        return jnp.sum(jnp.abs(step), axis=0) == 1, place

    def _velocity_at(self, populations: Populations) -> Float[Array, "3 open_cells"]:
        rows = tuple(populations[:, self.domain.open_cell])
        return jnp.stack(velocity_of(self.domain.lattice, rows, None, self.collision.compressible)[1])

    def _flow_out(self, velocity: Float[Array, "3 open_cells"], patch: int) -> Scalar:
        step, place = self._steps_of(patch)
        straight, _ = self._straight(patch)
        return jnp.sum(jnp.where(straight, jnp.sum(step * velocity[:, place], axis=0), 0))

    def _steps_of(self, patch: int) -> tuple[Float[Array, "3 links"], Array]:
        links, walls = self.domain.links_of(patch), self.domain.ends[0]
        step = jnp.asarray(self.domain.lattice.steps.T, self.coefficients.dtype)[:, self.domain.direction[links]]
        return step, self.domain.open_place[links.start - walls : links.stop - walls]

    def _openings(
        self, populations: Populations, loads: Float[Array, "outlets 2"], time: Scalar
    ) -> tuple[Float[Array, " links"] | None, Float[Array, "outlets 2"]]:
        """What openings add to the populations that come back, patch after patch, and the loads after the step."""
        domain, parts, half = self.domain, {}, time + 0.5
        for inlet in self.inlets:
            push = _push(domain, domain.links_of(inlet.patch), inlet.profile)
            parts[inlet.patch] = -2 * push * inlet.waveform.at(half).astype(push.dtype)
        if self.outlets is not None:
            velocity = self._velocity_at(populations)
            loads = self.outlets.advance(loads, jnp.stack([self._flow_out(velocity, patch) for patch in self.outlets.patches]))
            pressures = self.outlets.pressure(loads, half)
            weights = jnp.asarray(domain.lattice.weights, loads.dtype)
            for row, patch in enumerate(self.outlets.patches):
                step, place = self._steps_of(patch)
                here = velocity[:, place]
                even = 4.5 * jnp.sum(step * here, axis=0) ** 2 - 1.5 * jnp.sum(here**2, axis=0)
                density = pressures[row] / domain.lattice.sound_squared
                parts[patch] = 2 * weights[domain.direction[domain.links_of(patch)]] * (density + even)
        return (jnp.concatenate([parts[patch] for patch in domain.patches]) if parts else None), loads

    def _force_at(self, time: Scalar) -> Vector | None:
        if self.force is None:
            return None
        force = self.force if self.force_over_time is None else self.force * self.force_over_time.at(time).astype(self.force.dtype)
        return force[0], force[1], force[2]


def _scanned(flow: LatticeBoltzmann, state: FlowState, time: Scalar) -> FlowState:
    """Step after step over whole arrays: what is differentiated, and what runs on accelerators."""

    def body(state: FlowState, count: Array) -> tuple[FlowState, None]:
        return flow.step(state, time + count), None

    return lax.scan(body, state, jnp.arange(flow.substeps, dtype=time.dtype))[0]


def _in_tiles(flow: LatticeBoltzmann, state: FlowState, time: Scalar) -> FlowState:
    """The same numbers tile after tile, from one array into another and back: nothing is allocated or copied in the loop."""

    def one(state: FlowState, into: Populations, time: Scalar) -> tuple[FlowState, Populations]:
        populations, loads = flow.linked(state, time)
        return FlowState(swept_in_tiles(flow.domain, flow.collision, populations, flow._force_at(time + 1), into), loads), populations

    def two(count: Array, carry: tuple[FlowState, Populations]) -> tuple[FlowState, Populations]:
        now = time + 2 * count.astype(time.dtype)
        return one(*one(*carry, now), now + 1)

    state, spare = lax.fori_loop(0, flow.substeps // 2, two, (state, jnp.zeros_like(state.populations)))
    return one(state, spare, time + flow.substeps - 1)[0] if flow.substeps % 2 else state


@eqx.filter_custom_jvp
def _marched(flow: LatticeBoltzmann, state: FlowState, time: Scalar) -> FlowState:
    return lax.platform_dependent(flow, state, time, cpu=_in_tiles, default=_scanned)


@_marched.def_jvp
def _(primals: tuple, tangents: tuple) -> tuple[FlowState, FlowState]:
    return eqx.filter_jvp(_scanned, primals, tangents)


def _push(domain: LatticeDomain, links: slice, velocity: Float[Array, "links 3"]) -> Float[Array, " links"]:
    """w c·u / cs² of each link."""
    direction = domain.direction[links]
    weights = jnp.asarray(domain.lattice.weights, velocity.dtype)[direction]
    step = jnp.asarray(domain.lattice.steps, velocity.dtype)[direction]
    return weights * jnp.sum(step * velocity, axis=1) / domain.lattice.sound_squared
