"""The cross-section of an eccentric plaque with a pool under a cap, on a mesh that follows lumen, cap, pool and outer wall."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics.section_stress import SectionStress, section_stress
from solvers.shapes import Scalar
from solvers.space.plane_elasticity import PlaneElasticity
from solvers.space.quadratic_mesh import QuadraticMesh

BLUNT = 0.08
"""Part of the rounding at which the pool's ends are cut off: its sides end at 157 degrees to the cut, far from the lumen."""
MARGIN = 0.05
"""Least thickness of tissue behind the pool (mm)."""


class PlaqueShape(eqx.Module):
    r"""Lengths of the section; lumen and outer wall are circles, and the plaque is thickest at angle zero.

    The pool lies under a cap of constant thickness, with ends rounded by half of its depth, as wide at the cap as the arc says.

    Args:
        lumen_radius: mm.
        outer_radius: Of the external elastic membrane, mm.
        wall: Thickness opposite of the plaque, where the wall is healthy, mm.
        cap: Thickness of the cap, mm.
        arc: Half of the angle that the pool spans, seen from the middle of the lumen, rad.
        depth: Thickness of the pool, mm.
    """

    lumen_radius: Scalar
    outer_radius: Scalar
    wall: Scalar
    cap: Scalar
    arc: Scalar
    depth: Scalar

    def thickness(self, angle: Float[Array, "*at"]) -> Float[Array, "*at"]:
        """Of the whole wall at angles, mm."""
        offset = self.outer_radius - self.lumen_radius - self.wall
        chord = self.outer_radius**2 - (offset * jnp.sin(angle)) ** 2
        return offset * jnp.cos(angle) + jnp.sqrt(chord) - self.lumen_radius

    def margins(self) -> Float[Array, "4"]:
        """What has to be positive: healthy wall less than the plaque, tissue behind the pool, room for both rounded ends in the arc, and
        tissue beside the cap on the healthy side; mm."""
        offset = self.outer_radius - self.lumen_radius - self.wall
        behind = self.thickness(self.arc) - self.cap - self.depth - MARGIN
        return jnp.stack([offset, behind, (self.arc - self.rounding()) * (self.lumen_radius + self.cap), jnp.pi - 0.3 - self.arc])

    def rounding(self) -> Scalar:
        """Angle that a rounded end takes, rad."""
        return self.depth / 2 / (self.lumen_radius + self.cap)


class PlaqueTissues(eqx.Module):
    """Young's moduli for small volume changes, and the bulk modulus that all tissues share; kPa.

    Args:
        fibrous: Cap and wall.
        pool: What is in the pool: lipid or calcium.
        bulk: Far above the others; tissue hardly changes its volume.
        support: Of what lies round the vessel, kPa/mm.
    """

    fibrous: Scalar
    pool: Scalar
    bulk: Scalar
    support: Scalar

    def shear(self, modulus: Float[Array, "*at"]) -> Float[Array, "*at"]:
        """Shear modulus with the bulk modulus given: $G=3KE/(9K-E)$."""
        return 3 * self.bulk * modulus / (9 * self.bulk - modulus)


class SectionCounts(NamedTuple):
    """Elements: along the flat part of half of the cap, along a rounded end, from there to the opposite wall; across cap, pool and back.

    The defaults give the peak stress of caps from 65 µm up within three per cent of that with all doubled.
    """

    flat: int = 8
    end: int = 5
    beside: int = 10
    cap: int = 3
    pool: int = 5
    back: int = 4

    def refined(self, factor: int) -> "SectionCounts":
        """All counts times a whole number."""
        return SectionCounts(*(factor * count for count in self))


COUNTS = SectionCounts()


def plaque_mesh(shape: PlaqueShape, counts: SectionCounts = COUNTS) -> QuadraticMesh:
    """A ring of lines through cap, pool and back, whose sides lie on their borders; every node moves smoothly with the lengths."""
    half = _angles(shape, counts)
    angle = jnp.concatenate([half, 2 * jnp.pi - half[-2:0:-1]])
    mirrored = jnp.concatenate([half, half[-2:0:-1]])
    place = jnp.concatenate([jnp.arange(len(half)), jnp.arange(len(half) - 2, 0, -1)])
    corner = 2 * (counts.flat + counts.end)
    inner, outer, whole = _borders(shape, mirrored, place, corner, half[-1] - half[corner])
    parts = [jnp.linspace(0, 1, 2 * count + 1)[None] for count in (counts.cap, counts.pool, counts.back)]
    depth = jnp.concatenate(
        [
            inner[:, None] * parts[0],
            inner[:, None] + (outer - inner)[:, None] * parts[1][:, 1:],
            outer[:, None] + (whole - outer)[:, None] * (0.5 * parts[2] + 0.5 * parts[2] ** 2)[:, 1:],
        ],
        axis=1,
    )
    radius = shape.lumen_radius + depth
    return QuadraticMesh(jnp.stack([jnp.cos(angle)[:, None] * radius, jnp.sin(angle)[:, None] * radius], axis=-1))


def outlines(shape: PlaqueShape, counts: SectionCounts = COUNTS) -> list[Float[np.ndarray, "places 2"]]:
    """Closed lines of the lumen, the outer wall and the pool, mm, to draw."""
    nodes = np.asarray(plaque_mesh(shape, counts).nodes)
    width, inner, outer = 2 * (counts.flat + counts.end), 2 * counts.cap, 2 * (counts.cap + counts.pool)
    ring = np.r_[len(nodes) - width : len(nodes), 0 : width + 1]
    return [nodes[:, 0], nodes[:, -1], np.concatenate([nodes[ring, inner], nodes[ring[::-1], outer]])]


def plaque_section(shape: PlaqueShape, tissues: PlaqueTissues, counts: SectionCounts = COUNTS) -> PlaneElasticity:
    """The section as an elastic body, moduli constant in each element."""
    mesh = plaque_mesh(shape, counts)
    along = counts.flat + counts.end
    inside = np.zeros((mesh.columns, mesh.rows, 9), bool)
    rows = slice(counts.cap, counts.cap + counts.pool)
    inside[:along, rows] = inside[-along:, rows] = True
    modulus = jnp.where(inside, tissues.pool, tissues.fibrous)
    return PlaneElasticity(mesh, tissues.shear(modulus), jnp.full_like(modulus, tissues.bulk), tissues.support)


def plaque_stress(shape: PlaqueShape, tissues: PlaqueTissues, pressure: Scalar, counts: SectionCounts = COUNTS) -> SectionStress:
    r"""Stresses of the wall when the pressure in the lumen is that above the outside, in the geometry as it was imaged.

    Equilibrium is written in the shape that the pressure has already made, so that stresses that follow from equilibrium alone are those of
    the loaded wall; those that depend on the share of load that cap, pool and back take come from moduli for small strains.

    Args:
        shape: Of the section.
        tissues: Moduli.
        pressure: kPa; 16 is 120 mmHg.
        counts: Elements.

    Fails: lengths that do not fit each other (see :meth:`PlaqueShape.margins`) turn elements inside out: status NOT_FINITE.
    """
    section = plaque_section(shape, tissues, counts)
    width = counts.flat + counts.end
    cap = np.zeros((section.mesh.columns, section.mesh.rows), bool)
    cap[:width, : counts.cap] = cap[-width:, : counts.cap] = True
    return section_stress(section, pressure, jnp.asarray(cap))


def _angles(shape: PlaqueShape, counts: SectionCounts) -> Float[Array, " lines"]:
    """Of the lines of half a ring: even along the flat cap, closer towards the ends of the pool, and wider again beside it."""
    turn = shape.arc - shape.rounding()
    flat = turn * jnp.linspace(0, 1, 2 * counts.flat + 1)
    toward = jnp.linspace(0, 1, 2 * counts.end + 1)
    end = turn + shape.rounding() * (1 - BLUNT) * (1 - (1 - toward) ** 1.5)
    beside = jnp.linspace(0, 1, 2 * counts.beside + 1)
    after = end[-1] + (jnp.pi - end[-1]) * (0.25 * beside + 0.75 * beside**2)
    return jnp.concatenate([flat, end[1:], after[1:]])


def _borders(shape: PlaqueShape, angle: Float[Array, " lines"], place: Array, corner: int, rest: Scalar) -> tuple[Array, Array, Array]:
    """Depths of cap and pool, and of the wall, at the angles of all lines; beside the pool both go over to parts of the wall."""
    bend = jnp.clip((angle - shape.arc + shape.rounding()) / shape.rounding(), 0, 1 - BLUNT)
    sunk = shape.depth / 2 * (1 - jnp.sqrt(1 - bend**2))
    whole = shape.thickness(angle)
    inner, outer = shape.cap + sunk, shape.cap + shape.depth - sunk
    share = jnp.where(place > corner, jnp.clip((angle - jnp.pi + rest) / rest, 0, 1), 0)
    share = share**2 * (3 - 2 * share)
    return inner + share * (whole / 3 - inner), outer + share * (0.65 * whole - outer), whole
