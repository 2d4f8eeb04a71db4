"""Where the electrodes of a standard electrocardiogram sit, seen from the heart."""

from typing import NamedTuple

import numpy as np

from physics.lead_field import ELECTRODES

_FROM_THE_HEART = {
    "RA": (165.0, 0.0, 190.0),
    "LA": (-125.0, 0.0, 190.0),
    "LL": (-80.0, 20.0, -330.0),
    "V1": (45.0, 80.0, 20.0),
    "V2": (0.0, 85.0, 20.0),
    "V3": (-32.0, 82.0, 0.0),
    "V4": (-65.0, 70.0, -20.0),
    "V5": (-95.0, 35.0, -22.0),
    "V6": (-110.0, -10.0, -24.0),
}
RIGHT_LEG = (80.0, 20.0, -330.0)  # the ground


class Pose(NamedTuple):
    """How a heart lies in the body; axes of the body are right, anterior, superior.

    Attributes:
        apex: Direction from base to apex.
        right_ventricle: Direction from the left to the right ventricle; its part along the axis is taken out.
        centre: Middle of the heart's frame, mm from the point that electrodes are counted from.
    """

    apex: tuple[float, float, float] = (-0.65, 0.45, -0.61)
    right_ventricle: tuple[float, float, float] = (0.75, 0.65, 0.1)
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def axes(self) -> np.ndarray:
        """Rows: the heart's x (towards the right ventricle), y and z (towards the base) in the axes of the body."""
        up = -np.asarray(self.apex) / np.linalg.norm(self.apex)
        right = np.asarray(self.right_ventricle) - up * (up @ np.asarray(self.right_ventricle))
        size = np.linalg.norm(right)
        if size < 1e-6:
            raise ValueError(f"got a right ventricle along the axis, {self.right_ventricle}; expected beside it; do: turn it")
        right = right / size
        return np.stack([right, np.cross(up, right), up])


def standard_electrodes(pose: Pose | None = None, body: dict[str, tuple[float, float, float]] | None = None) -> np.ndarray:
    """Positions in mm in the heart's frame, one row per name of :data:`physics.ELECTRODES`.

    Args:
        pose: How the heart lies; None for a usual one.
        body: Positions in the body in mm from about the heart's middle, by name; None for an adult chest 330 mm wide: arms at the
            shoulders, V1 and V2 beside the sternum in the fourth intercostal space, V4 in the fifth on the midclavicular line, V6 below
            the armpit. These are drawn by hand after the anatomical definition, not measured.

    Raises:
        ValueError: A position is missing.
    """
    pose, body = Pose() if pose is None else pose, _FROM_THE_HEART if body is None else body
    missing = [name for name in ELECTRODES if name not in body]
    if missing:
        raise ValueError(f"got electrodes without {', '.join(missing)}; expected all of {', '.join(ELECTRODES)}; do: add them")
    return (np.array([body[name] for name in ELECTRODES]) - np.asarray(pose.centre)) @ pose.axes().T
