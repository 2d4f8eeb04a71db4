"""Arteries whose walls are viscous as well as elastic."""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.artery_layout import after_faces, before_faces
from physics.artery_stepper import ArteryState, ArteryStepper
from solvers import StateLimited, solve_chains
from solvers.shapes import Flag, Scalar

VISCOSITY_2019 = (0.6, 0.0015)
"""b0 (kg/s) and b1 (kg m/s) of the wall's viscosity."""

PerCell = Float[Array, " cells"]
PerFace = Float[Array, " faces"]


def wall_viscosity(radius: ArrayLike) -> Array:
    r"""$\Gamma = b_1/(2R) + b_0$, kg/s, of a systemic artery from its radius at rest, m.

    Good values: 0.65 in the aorta, 1.4 in a digital artery. Source: Charlton, Mariscal Harana, Vennin, Li, Chowienczyk, Alastruey (2019),
    Am. J. Physiol. Heart Circ. Physiol. 317, H1062 (b0 600 g/s, b1 150 g cm/s, of young adults), the numbers as in openBF.
    """
    b0, b1 = VISCOSITY_2019
    return b0 + b1 / (2 * jnp.asarray(radius))


class ViscousWall(eqx.Module):
    r"""The viscous part of the pressure of a Kelvin-Voigt wall, $p_v = \tfrac{\Gamma}{A_0\sqrt A}\,\partial_t A$ with
    $\partial_t A = -\partial_x Q$.

    Args:
        stiffness: $\Gamma/A_0$ at the faces inside vessels, kg/(s m²); zero at their ends, where there is no viscous pressure.
        per_length: One over the length of the cells on both sides of a face, 1/m.
        cell_per_length: That of each cell; zero for spare ones.
        density: Of blood, kg/m³.
        longest: Cells of the longest vessel.
    """

    stiffness: PerFace
    per_length: PerFace
    cell_per_length: PerCell
    density: Scalar
    longest: int = eqx.field(static=True)

    def weights(self, area: PerCell) -> PerFace:
        r"""$\Gamma/(A_0\sqrt A\,\Delta x)$ at every face."""
        middle = 0.5 * (before_faces(area) + after_faces(area))
        return self.stiffness * self.per_length / jnp.sqrt(middle)

    def pressure(self, area: PerCell, velocity: PerCell) -> PerCell:
        """Viscous pressure in every cell, Pa: the mean of its two faces."""
        at_faces = -self.weights(area) * _jumps(area * velocity)
        return 0.5 * (at_faces[1:] + at_faces[:-1])

    def relax(self, area: PerCell, velocity: PerCell, length: Scalar) -> PerCell:
        r"""Velocity after a time of $\partial_t Q = \tfrac A\rho\,\partial_x\left(\tfrac{\Gamma}{A_0\sqrt A}\,\partial_xQ\right)$
        at a given area, by the trapezoidal rule.
        """
        weights, flow = self.weights(area), area * velocity
        rate = 0.5 * length * area * self.cell_per_length / self.density
        lower, upper = rate * weights[:-1], rate * weights[1:]
        through = weights * _jumps(flow)
        change = solve_chains(-lower, 1 + lower + upper, -upper, 2 * rate * (through[1:] - through[:-1]), self.longest)
        return velocity + change / area


class ViscoelasticStepper(StateLimited):
    r"""A step of elastic vessels between two half steps of the walls' viscosity (Strang), order two and without a limit from viscosity.

    Args:
        elastic: The step of elastic vessels.
        wall: What the viscosity adds.

    A wave of number $k$ along a uniform vessel at rest has $s^2 + \nu k^2 s + c^2k^2 = 0$, $\nu = \Gamma/(\rho\sqrt{A_0})$: damped, and
    above $k = 2c/\nu$ no wave any more. Waves of a few cells are damped less than that where $\nu\Delta t/\Delta x^2$ is far above one (the
    trapezoidal rule only keeps them bounded). At the ends of vessels the viscous pressure is zero and junctions see the elastic part, as in
    openBF: it fails where the viscosity is many times that of arteries, because the cells at the ends then take up what the others do not.
    Source: Alastruey, Khir, Matthys, Segers, Sherwin, Verdonck, Parker, Peiro (2011), J. Biomech. 44, 2250; Formaggia, Lamponi,
    Quarteroni (2003), J. Eng. Math. 47, 251 (the splitting).
    """

    elastic: ArteryStepper
    wall: ViscousWall

    @property
    def order(self) -> int:
        """Two."""
        return 2

    def advance(self, state: ArteryState, time: Scalar, length: Scalar) -> ArteryState:
        """See :class:`solvers.stepper.Stepper`."""
        after = self.elastic.advance(relaxed(self.wall, state, 0.5 * length), time, length)
        return relaxed(self.wall, after, 0.5 * length)

    def longest_step(self, state: ArteryState) -> Scalar:
        """See :class:`solvers.StateLimited`."""
        return self.elastic.longest_step(state)

    def stable(self, length: Scalar) -> Flag:
        """As the elastic step: viscosity sets no limit."""
        return self.elastic.stable(length)


def relaxed(wall: ViscousWall | None, state: ArteryState, length: Scalar) -> ArteryState:
    """The state after a time of viscosity alone; the same where there is none."""
    if wall is None:
        return state
    area, velocity, stored = state.flow
    return ArteryState((area, wall.relax(area, velocity, length), stored), state.collapse)


def _jumps(part: PerCell) -> PerFace:
    """Difference of the cells on both sides of each face; zero at the two outermost."""
    return after_faces(part) - before_faces(part)
