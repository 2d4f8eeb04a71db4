"""Leads for stimulation of the deep brain: a cylinder with a rounded tip, rings and segments of metal on it."""

from typing import NamedTuple

import equinox as eqx
import numpy as np

from physics.electrode_voxels import Electrode


class Contact(NamedTuple):
    """A patch of metal on the cylinder.

    Attributes:
        low: Its lower edge, mm from the tip along the lead.
        high: Its upper edge.
        middle_degrees: Where its middle points, from the lead's marker.
        width_degrees: How far it reaches round; 360 is a ring.
    """

    low: float
    high: float
    middle_degrees: float = 0.0
    width_degrees: float = 360.0


class LeadShape(NamedTuple):
    """A model of lead; contacts are counted from the tip.

    Attributes:
        radius: mm.
        contacts: On it.
        names: Of the contacts.
        source: Where the lengths come from.
    """

    radius: float
    contacts: tuple[Contact, ...]
    names: tuple[str, ...]
    source: str


def rings(first: float, length: float, gap: float, count: int) -> tuple[Contact, ...]:
    """Rings of one length at equal distances, the first one beginning at ``first`` mm from the tip."""
    return tuple(Contact(first + number * (length + gap), first + number * (length + gap) + length) for number in range(count))


def _segmented() -> tuple[Contact, ...]:
    low, first, second, high = rings(1.5, 1.5, 0.5, 4)
    parts = [Contact(ring.low, ring.high, turn, 90.0) for ring in (first, second) for turn in (0.0, 120.0, 240.0)]
    return low, *parts, high


STIMULATION_LEADS = {
    "medtronic_3389": LeadShape(
        0.635, rings(1.5, 1.5, 0.5, 4), ("0", "1", "2", "3"), "Medtronic: diameter 1.27 mm, contacts 1.5 mm, gaps 0.5 mm, tip 1.5 mm"
    ),
    "medtronic_3387": LeadShape(
        0.635, rings(1.5, 1.5, 1.5, 4), ("0", "1", "2", "3"), "Medtronic: as 3389, gaps of 1.5 mm"
    ),
    "segmented_1331": LeadShape(
        0.65, _segmented(), ("1", "2A", "2B", "2C", "3A", "3B", "3C", "4"),
        "Rings and levels of 1.5 mm, gaps of 0.5 mm as on directional leads of 1.3 mm; segments of 90 degrees, drawn",
    ),
}  # fmt: skip
"""Lengths are those of the makers' data sheets, from memory; the segments' width is drawn by hand."""


class Lead(Electrode):
    r"""A lead where it lies: the axis goes from the tip up the shaft, without end.

    Args:
        shape: Of :data:`STIMULATION_LEADS`, or one's own.
        tip: Lowest point, mm.
        direction: Up the shaft, any length but zero.
        roll_degrees: Where the marker points, counted about the axis from the direction nearest to the second axis (anterior).

    Raises:
        ValueError: A direction of length zero, a position that is not finite, contacts that overlap along and round the lead.
    """

    shape: LeadShape = eqx.field(static=True)
    tip: tuple[float, float, float] = eqx.field(static=True)
    direction: tuple[float, float, float] = eqx.field(static=True)
    roll_degrees: float = eqx.field(static=True)

    def __init__(
        self, shape: LeadShape, tip: tuple[float, float, float], direction: tuple[float, float, float], roll_degrees: float = 0.0
    ) -> None:
        size = float(np.linalg.norm(direction))
        if not (np.isfinite(size) and size > 1e-9 and np.isfinite(tip).all() and np.isfinite(roll_degrees)):
            raise ValueError(
                f"got a lead at {tip} along {direction}; expected finite numbers, not all zero; do: give a vector up the shaft"
            )
        for number, one in enumerate(shape.contacts):
            for other in shape.contacts[:number]:
                turn = abs((one.middle_degrees - other.middle_degrees + 180) % 360 - 180)
                if one.low < other.high and other.low < one.high and turn < (one.width_degrees + other.width_degrees) / 2:
                    raise ValueError(f"got contacts {one} and {other} on top of each other; expected them apart; do: correct the shape")
        self.shape, self.roll_degrees = shape, float(roll_degrees)
        self.tip = (float(tip[0]), float(tip[1]), float(tip[2]))
        self.direction = (float(direction[0] / size), float(direction[1] / size), float(direction[2] / size))

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """See :class:`Electrode`."""
        along, out = self._polar(points)[:2]
        radius = self.shape.radius
        return np.where(along < radius, np.hypot(out, along - radius), out) - radius

    def contact_at(self, points: np.ndarray) -> np.ndarray:
        """See :class:`Electrode`."""
        along, _, turn = self._polar(points)
        found = np.full(along.shape, -1)
        for number, contact in enumerate(self.shape.contacts):
            away = np.abs((turn - contact.middle_degrees + 180) % 360 - 180)
            found[(along >= contact.low) & (along <= contact.high) & (away <= contact.width_degrees / 2)] = number
        return found

    def areas(self) -> np.ndarray:
        """See :class:`Electrode`; by Archimedes the rounded tip has the area of the cylinder round it."""
        return np.array([2 * np.pi * self.shape.radius * (one.high - one.low) * one.width_degrees / 360 for one in self.shape.contacts])

    def middles(self) -> np.ndarray:
        """Middle of each contact on the axis of the lead, mm, ``(contacts, 3)``."""
        heights = np.array([(one.low + one.high) / 2 for one in self.shape.contacts])
        return np.asarray(self.tip) + heights[:, None] * np.asarray(self.direction)

    def _polar(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Place along the axis from the tip, distance from the axis, degrees from the marker."""
        axis = np.asarray(self.direction)
        reference = np.array([0.0, 1.0, 0.0]) if abs(axis[1]) < 0.99 else np.array([1.0, 0.0, 0.0])
        first = reference - (reference @ axis) * axis
        first /= np.linalg.norm(first)
        second = np.cross(axis, first)
        away = points - np.asarray(self.tip)
        one, other = away @ first, away @ second
        return away @ axis, np.hypot(one, other), np.degrees(np.arctan2(other, one)) - self.roll_degrees


def lead_through(
    shape: LeadShape,
    point: tuple[float, float, float],
    direction: tuple[float, float, float],
    contact: int = 0,
    roll_degrees: float = 0.0,
) -> Lead:
    """A lead whose axis has the middle of a contact at a point, mm."""
    if not 0 <= contact < len(shape.contacts):
        raise ValueError(f"got contact {contact}; expected 0 to {len(shape.contacts) - 1}; do: choose one of the lead")
    height = (shape.contacts[contact].low + shape.contacts[contact].high) / 2
    start = Lead(shape, point, direction, roll_degrees)
    tip = np.asarray(point) - height * np.asarray(start.direction)
    return Lead(shape, (float(tip[0]), float(tip[1]), float(tip[2])), direction, roll_degrees)
