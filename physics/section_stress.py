"""Stresses of a vessel's cross-section under pressure, and the largest of its cap."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from solvers.shapes import Scalar
from solvers.space.plane_elasticity import PlaneElasticity, principal
from solvers.space.quadratic_mesh import GAUSS

ALONG, ACROSS = tuple(GAUSS), (-1.0, *GAUSS, 1.0)
"""Local places in every element at which stresses are read: both sides of layers belong to them."""


class SectionStress(NamedTuple):
    """Stresses under a pressure in the lumen.

    Attributes:
        peak_cap: Largest principal stress in the cap, kPa.
        peak_place: Where it is, mm from the middle of the lumen.
        lumen_angle: Places on the lumen, rad.
        lumen_hoop: Stress along the wall there, kPa.
        place: Of 3 points along times 5 across in all elements, sides included, mm.
        principal: Largest principal stress there, kPa.
        status: Of the solve.
        residual: Of the solve.
    """

    peak_cap: Scalar
    peak_place: Float[Array, "2"]
    lumen_angle: Float[Array, " points"]
    lumen_hoop: Float[Array, " points"]
    place: Float[Array, "columns rows 15 2"]
    principal: Float[Array, "columns rows 15"]
    status: Array
    residual: Scalar


def section_stress(section: PlaneElasticity, pressure: Scalar, cap: Bool[Array, "columns rows"]) -> SectionStress:
    """Solves for the pressure and reads stresses off.

    The derivative of the peak is that of the stress at the point where it is: exact wherever the point doesn't jump.

    Args:
        section: A ring about the middle of the lumen, mm and kPa.
        pressure: Above that outside, kPa; 16 is 120 mmHg.
        cap: Elements that belong to the cap.
    """
    found = section.solve(section.mesh.pressure_load(pressure))
    stress, place = section.stress(found.displacement, ALONG, ACROSS), section.mesh.places(ALONG, ACROSS)
    largest = principal(stress)
    at = jnp.argmax(jnp.where(cap[:, :, None], largest, -jnp.inf))
    lumen, there = (part[:, 0, :: len(ACROSS)].reshape(-1, part.shape[-1]) for part in (place, stress))
    angle = jnp.arctan2(lumen[:, 1], lumen[:, 0])
    s, c = jnp.sin(angle), jnp.cos(angle)
    hoop = there[:, 0] * s**2 + there[:, 1] * c**2 - 2 * there[:, 3] * s * c
    return SectionStress(largest.reshape(-1)[at], place.reshape(-1, 2)[at], angle, hoop, place, largest, found.status, found.residual)
