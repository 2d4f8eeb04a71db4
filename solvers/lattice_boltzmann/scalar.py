"""A passive scalar (contrast, oxygen, temperature) carried by a flow and diffusing, on the lattice."""

from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from solvers.lattice_boltzmann.domain import WALL, LatticeDomain
from solvers.lattice_boltzmann.lattice import along, total
from solvers.lattice_boltzmann.sweep import Populations, streamed, wrapped
from solvers.lattice_boltzmann.waveform import Waveform
from solvers.shapes import Flag, Scalar
from solvers.stepper import Stepper

WallKind = Literal["flux", "concentration"]


class ScalarInlet(eqx.Module):
    """An opening through which the scalar comes with a concentration given over time (steps)."""

    patch: int = eqx.field(static=True)
    waveform: Waveform


class ScalarTransport(Stepper):
    r"""$\partial_t c+\nabla\cdot(uc)=\nabla\cdot(D\nabla c)$ with a given velocity, by two relaxation times.

    Each pair of opposite populations relaxes to $w_ic$ in its even and $w_ic\,(c_i\cdot u)/c_s^2$ in its odd part;
    $D=c_s^2(\tau^--\frac12)$ and $(\tau^+-\frac12)(\tau^--\frac12)=\Lambda$. The sum over a closed box is kept to round-off. Order two
    in the voxel when the time step goes with its square (1.7 at openings); the velocity's own error is of
    the order of $u^2$ beside $D$. A step of :func:`solvers.simulate.simulate` is ``substeps`` of the lattice.

    Args:
        domain: Voxels and links, on ``D3Q7`` (seven numbers per voxel) or D3Q19; walls and openings are half way of links.
        velocity: voxel/step, flat and padded, free of divergence, as ``LatticeBoltzmann.moments`` has it.
        diffusivity: voxel²/step; 0.005 to 0.5.
        magic: $\Lambda$; 1/4 for stability.
        wall: What is given at walls: the flux into the fluid per link (concentration times voxel/step) or the concentration.
        wall_value: Of each wall link; None is zero (a wall that lets nothing through, or one that takes all).
        inlets: Openings with a concentration; all others let the scalar out with no gradient.
        substeps: Between two looks from outside.

    Raises:
        ValueError: A flux on another lattice than D3Q7, an inlet that is no opening, a velocity or values that do not fit.

    Good values: $|u|$ below 0.1, and steep fronts over several voxels: where $|u|$ in voxels is far above $D$ they ring.
    Source: Ginzburg 2005 (Adv Water Resour 28:1171); walls and openings: bounce-back and anti-bounce-back as in Ginzburg 2005b (28:1196).
    """

    domain: LatticeDomain
    velocity: Float[Array, "3 cells"]
    diffusivity: Scalar
    magic: float = eqx.field(static=True, default=0.25)
    wall: WallKind = eqx.field(static=True, default="flux")
    wall_value: Float[Array, " walls"] | None = None
    inlets: tuple[ScalarInlet, ...] = ()
    substeps: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        walls, patches = self.domain.links_of(WALL).stop, self.domain.patches
        if self.velocity.shape != (3, self.domain.size):
            raise ValueError(f"got a velocity of shape {self.velocity.shape}; expected (3, {self.domain.size}); do: use domain.cells")
        if self.wall_value is not None and self.wall_value.shape != (walls,):
            raise ValueError(f"got {self.wall_value.shape} values of walls; expected ({walls},); do: give one per wall link")
        if self.wall == "flux" and self.wall_value is not None and self.domain.lattice.name != "D3Q7":
            raise ValueError(f"got fluxes on {self.domain.lattice.name}; expected D3Q7, where every link is straight; do: use D3Q7")
        if not {inlet.patch for inlet in self.inlets} <= set(patches) or self.substeps < 1 or not self.magic > 0:
            got = f"inlets {[inlet.patch for inlet in self.inlets]}, substeps {self.substeps}, magic {self.magic}"
            raise ValueError(f"got {got}; expected inlets among {list(patches)}, 1 or more, above 0; do: name openings of the domain")

    @property
    def order(self) -> int:
        """In the time step, at a constant ratio of time step and voxel's square: one, which is two in the voxel."""
        return 1

    def initial_state(self, concentration: Float[Array, " cells"] | None = None) -> Populations:
        """Populations at equilibrium; concentration zero where none is given."""
        dtype = self.velocity.dtype
        field = jnp.zeros(self.domain.size, dtype) if concentration is None else jnp.where(self.domain.fluid, concentration, 0)
        lattice = self.domain.lattice
        rows = [lattice.weights[0] * field]
        for i in lattice.pairs:
            odd = along(lattice.velocities[i], self._velocity()) / lattice.sound_squared
            rows += [lattice.weights[i] * field * (1 + odd), lattice.weights[i] * field * (1 - odd)]
        return jnp.stack(rows)

    def concentration(self, state: Populations) -> Float[Array, " cells"]:
        """Flat and padded, zero outside of the fluid."""
        return jnp.where(self.domain.fluid, total(tuple(state)), 0)

    def flow_out(self, state: Populations, patch: int) -> Scalar:
        """What is carried out through an opening per step (concentration times volume), without diffusion."""
        links = self.domain.links_of(patch)
        step = jnp.asarray(self.domain.lattice.steps.T, state.dtype)[:, self.domain.direction[links]]
        straight = jnp.sum(jnp.abs(step), axis=0) == 1
        cell = self.domain.cell[links]
        return jnp.sum(jnp.where(straight, jnp.sum(step * self.velocity[:, cell], axis=0) * self.concentration(state)[cell], 0))

    def passed(self, state: Populations, time: Scalar) -> Float[Array, " patches"]:
        """What leaves through each opening in the step that begins at ``time``, diffusion included; negative where it comes in.

        Concentration times voxel³. It is what links exchange: the sum over a box changes by just that, to round-off.
        """
        domain = self.domain
        if not domain.patches:
            return jnp.zeros(0, state.dtype)
        before, after = wrapped(domain, state).reshape(-1), self._linked(state, time).reshape(-1)
        links = [domain.links_of(patch) for patch in domain.patches]
        return jnp.stack([jnp.sum(before[domain.slots[0, each]] - after[domain.slots[3, each]]) for each in links])

    def advance(self, state: Populations, time: Scalar, length: Scalar) -> Populations:
        """See :class:`solvers.stepper.Stepper`; a length other than ``substeps`` or zero is told by :meth:`stable`."""

        def body(state: Populations, count: Array) -> tuple[Populations, None]:
            return self.step(state, time + count), None

        def march(state: Populations) -> Populations:
            return lax.scan(body, state, jnp.arange(self.substeps, dtype=time.dtype))[0]

        return lax.cond(length > 0, march, lambda state: state, state)

    def stable(self, length: Scalar) -> Flag:
        """True where a step is as long as ``substeps``, and the diffusivity is above zero."""
        return (jnp.abs(length - self.substeps) < 0.01) & (self.diffusivity > 0)

    def step(self, state: Populations, time: Scalar) -> Populations:
        """One step of the lattice: links, streaming, collision."""
        domain, lattice = self.domain, self.domain.lattice
        rows = tuple(jnp.where(domain.fluid, row, 0) for row in streamed(domain, self._linked(state, time)))
        field = total(rows)
        half_odd = self.diffusivity / lattice.sound_squared
        odd, even = 1 / (half_odd + 0.5), 1 / (self.magic / half_odd + 0.5)
        after = [rows[0] - even * (rows[0] - lattice.weights[0] * field)]
        for i in lattice.pairs:
            weighted = lattice.weights[i] * field
            carried = weighted * along(lattice.velocities[i], self._velocity()) / lattice.sound_squared
            change_even = even * ((rows[i] + rows[i + 1]) / 2 - weighted)
            change_odd = odd * ((rows[i] - rows[i + 1]) / 2 - carried)
            after += [rows[i] - change_even - change_odd, rows[i + 1] - change_even + change_odd]
        return jnp.stack(after)

    def _velocity(self) -> tuple[Array, Array, Array]:
        return self.velocity[0], self.velocity[1], self.velocity[2]

    def _linked(self, state: Populations, time: Scalar) -> Populations:
        """Populations with what comes back from walls and openings in its slots."""
        domain = self.domain
        populations = wrapped(domain, state)
        if not domain.cell.size:
            return populations
        flat = populations.reshape(-1)
        leaving, coming = domain.slots[0], domain.slots[3]
        weight = jnp.asarray(domain.lattice.weights, flat.dtype)[domain.direction]
        walls = domain.links_of(WALL)
        given = jnp.zeros(walls.stop, flat.dtype) if self.wall_value is None else self.wall_value
        parts = [flat[leaving[walls]] + given if self.wall == "flux" else 2 * weight[walls] * given - flat[leaving[walls]]]
        here = None if len(self.inlets) == len(domain.patches) else self.concentration(state)
        waves = {inlet.patch: inlet.waveform for inlet in self.inlets}
        for patch in domain.patches:
            links = domain.links_of(patch)
            if patch in waves:
                outside = waves[patch].at(time + 0.5).astype(flat.dtype)
            else:
                outside = jnp.zeros((), flat.dtype) if here is None else here[domain.cell[links]]
            parts.append(2 * weight[links] * outside - flat[leaving[links]])
        return flat.at[coming].set(jnp.concatenate(parts), unique_indices=True).reshape(populations.shape)
