"""Signed distance to the wall of a straight vessel with a narrowing, at any angle to the voxels."""

from typing import NamedTuple

import numpy as np


class VesselShape(NamedTuple):
    """A vessel on voxels; lengths in voxels, places in the box without padding.

    Attributes:
        distance: Signed distance of the padded box, positive inside; right to first order in the slope of the narrowing.
        along: Distance along the axis from the middle of the box, of the padded box.
        axis: Unit vector along the flow.
        centre: A point of the axis, in the middle of the box.
        radius: Of the healthy part.
    """

    distance: np.ndarray
    along: np.ndarray
    axis: np.ndarray
    centre: np.ndarray
    radius: float

    def entering(self, place: np.ndarray) -> np.ndarray:
        """Velocity of a parabola with a mean speed of one at places ``(points, 3)`` of a healthy section, ``(points, 3)``."""
        offset = place - self.centre
        beside = offset - np.outer(offset @ self.axis, self.axis)
        return 2 * np.maximum(1 - (beside**2).sum(axis=1) / self.radius**2, 0)[:, None] * self.axis


def straight_vessel(
    radius: float, length: float, degrees: float = 0.0, narrowing: float = 0.0, span: float = 0.0, eccentric: float = 0.0
) -> VesselShape:
    r"""A tube whose axis turns from x towards y, with the radius $R(1-\frac s2(1+\cos(2\pi a/S)))$ over the span $S$ in its middle.

    Args:
        radius: Voxels; 10 and more for shear at the wall within two per cent.
        length: Of the box along x, voxels.
        degrees: Of the axis to x, 0 to 45.
        narrowing: $s$, part of the diameter that is lost, 0 to 0.9.
        span: $S$, voxels.
        eccentric: From 0, where the narrowing is the same all round, to 1, where all of it lies on the side to which the axis turns
            (+y at 0 degrees) and the wall opposite is straight.

    Raises:
        ValueError: Numbers outside of these, a narrowing without a span, or a narrowest radius below two voxels.
    """
    if not (radius >= 2 and length >= 2 * radius and 0 <= degrees <= 45 and 0 <= narrowing <= 0.9 and span >= 0 and 0 <= eccentric <= 1):
        got = f"radius {radius:g}, length {length:g}, {degrees:g} degrees, narrowing {narrowing:g}, span {span:g}, eccentric {eccentric:g}"
        raise ValueError(f"got {got}; expected radius from 2, length from two radii, 0 to 45, 0 to 0.9, 0 to 1; do: correct them")
    if narrowing and (span <= 0 or radius * (1 - narrowing) < 2):
        got = f"a narrowest radius of {radius * (1 - narrowing):.2g} voxels over {span:g}"
        raise ValueError(f"got {got}; expected at least 2 over more than 0; do: use smaller voxels or narrow less")
    angle = np.radians(degrees)
    axis = np.array([np.cos(angle), np.sin(angle), 0.0])
    wide = 2 * radius
    shape = (round(length), int(np.ceil(length * np.tan(angle) + wide / np.cos(angle))) + 2, int(np.ceil(wide)) + 2)
    centre = (np.array(shape) - 1) / 2 + np.array([0.0, 0.17, -0.23])  # off the voxels' symmetry, as vessels are
    places = np.stack(np.meshgrid(*[np.arange(-1, n + 1.0) for n in shape], indexing="ij"))
    offset = places - centre[:, None, None, None]
    along = np.tensordot(axis, offset, 1)
    far = np.sqrt(((offset - axis[:, None, None, None] * along) ** 2).sum(axis=0))
    if not narrowing:
        return VesselShape(radius - far, along, axis, centre, radius)
    inside = np.abs(along) < span / 2
    turn = 2 * np.pi * along / span
    local = radius * (1 - np.where(inside, narrowing / 2 * (1 + np.cos(turn)), 0))
    if eccentric:
        beside = np.array([-np.sin(angle), np.cos(angle), 0.0])
        moved = offset - axis[:, None, None, None] * along + eccentric * (radius - local) * beside[:, None, None, None]
        level = local - np.sqrt((moved**2).sum(axis=0))
        return VesselShape(level / np.sqrt(sum(part**2 for part in np.gradient(level))), along, axis, centre, radius)
    steep = np.where(inside, radius * narrowing / 2 * np.sin(turn) * 2 * np.pi / span, 0)
    return VesselShape((local - far) / np.sqrt(1 + steep**2), along, axis, centre, radius)
