"""One time step of blood in arteries as openBF v2 takes it: to repeat its waveforms, not for accuracy."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from physics.artery_flow import ArteryFlow
from physics.artery_layout import after_faces, before_faces
from physics.artery_stepper import ArteryState, first_collapse
from solvers import StateLimited
from solvers.shapes import Flag, Scalar

PerCell = Float[Array, " cells"]
PerFace = Float[Array, " faces"]


class OpenBFStepper(StateLimited):
    r"""$\partial_t A + \partial_x Q = 0$ and $\partial_t Q + \partial_x\left(Q^2/A + \gamma A^{3/2}\right) = S$,
    $\gamma = \beta/(3\rho\sqrt{A_0})$, in the steps of openBF v2.

    1. The first and last cells of vessels are overwritten: at junctions with the state that their own invariants and the balance give, at
       an inlet with the flow, before a windkessel with the area, at a reflecting end with the flow.
    2. Heun's method with slopes limited by superbee, Lax-Friedrichs fluxes $\tfrac12(F_l+F_r-\tfrac{\Delta x}{\Delta t}(U_r-U_l))$, and
       beyond the ends the first and last cells as they were before 1.
    3. Friction and the taper's source by one step of Euler's method.

    Args:
        rate: Walls, ends and what is behind them, of :class:`physics.artery_flow.ArteryFlow`; a flat profile ($\alpha=1$) only.
        per_length: One over the length of the cells at each face, 1/m.
        first: Faces that start a vessel.
        last: Faces that end one.
        started: Speed of flow at the start of the simulation at the ends of vessels, ``(nodes, branches)``, m/s: reflecting ends know it.
        courant: Cells that the fastest wave crosses per step.

    Order one: the ends are, and the source is. On finer cells it approaches :class:`physics.artery_stepper.ArteryStepper`. It fails where
    the flow is faster than the waves, and where a windkessel relaxes in less than a step. Source: Melis, Clayton, Marzo (2017), Int. J.
    Numer. Methods Biomed. Eng. 33, e2882, and openBF, github.com/INSIGNEO/openBF, commit 0376f4d, files ``solver.jl`` and
    ``boundary_conditions.jl``; the taper's source is what the equations say (openBF's lacks a factor of $\sqrt{A_0}$).
    """

    rate: ArteryFlow
    per_length: PerFace
    first: Bool[Array, " faces"]
    last: Bool[Array, " faces"]
    started: Float[Array, "nodes branches"]
    courant: float = eqx.field(static=True, default=0.9)

    @property
    def order(self) -> int:
        """One."""
        return 1

    def advance(self, state: ArteryState, time: Scalar, length: Scalar) -> ArteryState:
        """See :class:`solvers.stepper.Stepper`."""
        area, velocity, stored = state.flow
        ghost = (area, area * velocity)
        area, flow, stored = self.ends(area, velocity, stored, time, length)
        across = self.rate.per_length * length
        gained, pushed = (across * (flux[1:] - flux[:-1]) for flux in self.fluxes((area, flow), ghost, length))
        guess = (area - gained, flow - pushed)
        gained, pushed = (across * (flux[1:] - flux[:-1]) for flux in self.fluxes(guess, guess, length))
        area, flow = lax.optimization_barrier((0.5 * (area + guess[0] - gained), 0.5 * (flow + guess[1] - pushed)))
        flow = flow - length * self.rate.friction * flow / area
        flow = flow + length * self.taper(area)
        return ArteryState((area, flow / area, stored), first_collapse(self.rate, state.collapse, area, time + length))

    def fluxes(self, here: tuple[PerCell, PerCell], ghost: tuple[PerCell, PerCell], length: Scalar) -> tuple[PerFace, PerFace]:
        """Of area and of flow at every face."""
        stiff = self.rate.cells.stiffness / (3 * self.rate.cells.density * jnp.sqrt(self.rate.cells.reference_area))

        def push(area: PerCell, flow: PerCell) -> PerCell:
            return flow * flow / area + stiff * area * jnp.sqrt(area)

        low, high = lax.optimization_barrier(tuple(zip(*(self.edges(part, beyond) for part, beyond in zip(here, ghost)))))
        held = (*ghost, push(*ghost))
        low, high, held = lax.optimization_barrier(((*low, push(*low)), (*high, push(*high)), held))
        left = [jnp.where(self.first, after_faces(beyond), before_faces(part)) for part, beyond in zip(high, held)]
        right = [jnp.where(self.last, before_faces(beyond), after_faces(part)) for part, beyond in zip(low, held)]
        speed = 1 / (self.per_length * length)
        return lax.optimization_barrier(
            (
                0.5 * (left[1] + right[1] - speed * (right[0] - left[0])),
                0.5 * (left[2] + right[2] - speed * (right[1] - left[1])),
            )
        )

    def edges(self, part: PerCell, ghost: PerCell) -> tuple[PerCell, PerCell]:
        """Values at the low and at the high edge of each cell."""
        first, last = self.first[:-1], self.last[1:]
        before = part - jnp.where(first, ghost, before_faces(part)[:-1])
        after = jnp.where(last, ghost, after_faces(part)[1:]) - part
        small, large = jnp.minimum(jnp.abs(before), jnp.abs(after)), jnp.maximum(jnp.abs(before), jnp.abs(after))
        rise = jnp.where(before * after > 0, jnp.sign(before) * jnp.minimum(2 * small, large), 0)  # superbee
        return part - 0.5 * rise, part + 0.5 * rise

    def ends(
        self, area: PerCell, velocity: PerCell, stored: Float[Array, " nodes"], time: Scalar, length: Scalar
    ) -> tuple[PerCell, PerCell, Float[Array, " nodes"]]:
        """Area and flow of the cells with those at the ends of vessels overwritten, and the windkessels' pressure after the step."""
        rate, sign = self.rate, self.rate.end_sign
        outlets, junction = rate.outlets, (jnp.sum(sign != 0, axis=1) > 1)[:, None]
        cell = jnp.where(sign > 0, rate.end_face - 1, rate.end_face)
        within = jnp.minimum(cell, area.size - 1)
        inner = jnp.clip(within - sign.astype(within.dtype), 0, area.size - 1)
        here, speed = jnp.where(sign == 0, rate.ends.reference_area, area[within]), jnp.where(sign == 0, 0, velocity[within])
        reached = rate.ends.pressure(here)
        _, distal = rate.resistances(reached[:, 0])
        filling = (here * speed * sign)[:, 0] - (stored - outlets.downstream) / distal
        stored = stored + length * jnp.where(outlets.windkessel, filling / jnp.where(outlets.windkessel, outlets.compliance, 1), 0)
        node, _, _ = rate.at_ends(reached, speed, stored, time)
        resting = 4 * rate.ends.resting_speed
        outgoing, behind = (sign * u + 4 * c for u, c in ((speed, rate.ends.wave_speed(here)), (velocity[inner], self._speed(area, inner))))
        outgoing = outgoing + (behind - outgoing) * (sign * speed + rate.ends.wave_speed(here)) * length * rate.per_length[within]
        coming = sign * self.started - resting - outlets.reflection[:, None] * (outgoing - sign * self.started - resting)
        given = jnp.zeros_like(stored).at[rate.inlets.node].add(rate.inlets.at(time))[:, None]
        single = jnp.where(outlets.reflecting[:, None], sign * here * 0.5 * (outgoing + coming), jnp.where(sign > 0, here * speed, given))
        kept = ~junction & ~outlets.windkessel[:, None]
        new_area = jnp.where(kept, here, rate.ends.area(node.pressure))
        new_flow = jnp.where(junction, node.flow, single)
        flow = area * velocity
        return area.at[cell].set(new_area, mode="drop"), flow.at[cell].set(new_flow, mode="drop"), stored

    def _speed(self, area: PerCell, inner: Array) -> Float[Array, "nodes branches"]:
        return self.rate.cells.wave_speed(area)[inner]

    def taper(self, area: PerCell) -> PerCell:
        r"""$A^{3/2}\partial_x\gamma - \tfrac A\rho\left(\sqrt A\,\partial_x\tfrac{\beta}{\sqrt{A_0}} - \partial_x\beta\right)$, m³/s²; zero
        in a cylinder.
        """
        faces = self.rate.faces
        stiff = faces.stiffness / jnp.sqrt(faces.reference_area)
        change, rise = ((part[1:] - part[:-1]) * self.rate.per_length for part in (stiff, faces.stiffness))
        return area / faces.density * (rise - 2 / 3 * jnp.sqrt(area) * change)

    def longest_step(self, state: ArteryState) -> Scalar:
        """See :class:`solvers.StateLimited`; openBF counts waves that run with the vessel only."""
        area, velocity, _ = state.flow
        return self.courant / jnp.max(jnp.abs(velocity + self.rate.cells.wave_speed(area)) * self.rate.per_length)

    def stable(self, length: Scalar) -> Flag:
        """Inside the limit of waves at rest."""
        return length * jnp.max(self.rate.cells.resting_speed * self.rate.per_length) <= 1
