"""What lies round the muscle of two ventricles in a segmentation: their blood, the base, and the outside."""

from typing import NamedTuple

import numpy as np

from physics.biventricular import LEFT, RIGHT
from physics.rule_fibres import Surroundings
from twinsim.errors import InputError

LEAST_BLOOD = 50  # voxels of a cavity


class Frame(NamedTuple):
    """Directions of a heart in the axes of its voxels, and its size beside that of the analytic heart.

    Attributes:
        middle: Point of the left axis at its widest place, mm, counted as the positions given.
        axes: Rows: to the right ventricle, perpendicular to the other two, to the base.
        radius: Of the left cavity, mm.
        length: From its apex to the base, mm.
    """

    middle: np.ndarray
    axes: np.ndarray
    radius: float
    length: float


def surroundings(ventricle: np.ndarray, blood: np.ndarray, positions: np.ndarray, up: np.ndarray | None) -> tuple[Surroundings, Frame]:
    """Regions round the muscle, and how the heart lies.

    Args:
        ventricle: LEFT, RIGHT or 0 ``(x, y, z)``, with at least one empty voxel round the muscle.
        blood: The same for the blood; all zero where it is not segmented: then it is what the muscle and the base enclose.
        positions: Of the voxels' centres, mm ``(x, y, z, 3)``.
        up: Unit vector to the base; None takes it from the blood: from its middle to the middle of what of it is open.

    Raises:
        InputError: Blood that is neither labelled nor enclosed, or not open at the base, or beside the other ventricle's wall; no
            direction to the base, or one that the blood contradicts.
    """
    from scipy import ndimage

    muscle = ventricle > 0
    if not blood.any():
        if up is None:
            raise InputError(
                "a heart without blood labels and without a base", "one of the two", "give left_blood and right_blood, or base"
            )
        blood = _enclosed(ventricle, positions @ up)
    else:
        _check_sides(ventricle, blood)
        if up is not None:
            _check_base(muscle, blood == LEFT, positions, up)
    if up is None:
        up = _to_the_base(muscle, blood == LEFT, positions)
    height = positions @ up
    edge = float(np.linalg.norm(positions[1, 1, 1] - positions[0, 0, 0])) / np.sqrt(3)
    top = float(height[muscle].max())
    empty = ~muscle & (blood == 0)
    # Everything that is higher than the muscle's rim; the rim itself may be a staircase of a voxel in an oblique plane.
    base = empty & (height > top - 0.75 * edge)
    outside = empty & ~base
    lowest = positions[muscle & (ventricle == LEFT)][np.argmin(height[muscle & (ventricle == LEFT)])]
    apex = outside & (np.linalg.norm(positions - lowest, axis=-1) <= max(4.0, 2.5 * edge))
    beside = ndimage.binary_dilation(muscle)
    for name, region in (
        ("left blood", blood == LEFT),
        ("right blood", blood == RIGHT),
        ("base", base),
        ("outside", outside),
        ("apex", apex),
    ):
        if not (beside & region).any():
            raise InputError(
                f"a heart whose {name} touches no muscle", "a surface of each kind", "check labels, and the direction to the base"
            )
    found = Surroundings(blood == LEFT, blood == RIGHT, base, outside, apex)
    return found, _frame(found, positions, up, edge)


def _check_sides(ventricle: np.ndarray, blood: np.ndarray) -> None:
    """Left blood lies in left muscle; right blood has the septum, which counts as left, on one side and right muscle on the other."""
    from scipy import ndimage

    share = {}
    for side in (LEFT, RIGHT):
        beside = ventricle[ndimage.binary_dilation(blood == side) & (ventricle > 0)]
        share[side] = float((beside == RIGHT).mean()) if beside.size else 0.0
    if share[LEFT] > 0.5 or (share[RIGHT] < 0.05 and (blood == RIGHT).any()):
        raise InputError(
            f"blood beside the other ventricle's wall (right wall: {share[LEFT]:.0%} of what borders on left blood, {share[RIGHT]:.0%} of "
            "what borders on right blood)",
            "left blood in the left wall, right blood between septum and right wall",
            "check whether left and right are exchanged in the labels of walls or blood",
        )


def _check_base(muscle: np.ndarray, left: np.ndarray, positions: np.ndarray, up: np.ndarray) -> None:
    """A direction that points to the apex turns every fibre of the rule over; the side on which the blood is open knows."""
    from scipy import ndimage

    if not (left & ndimage.binary_dilation(~muscle & ~left)).any():
        return
    angle = float(np.rad2deg(np.arccos(np.clip(_to_the_base(muscle, left, positions) @ up, -1, 1))))
    if angle > 90:
        raise InputError(
            f"a base {angle:.0f} degrees away from where the left blood is open", "the direction from the apex to the base", "turn it round"
        )


def _enclosed(ventricle: np.ndarray, height: np.ndarray) -> np.ndarray:
    """The two largest hollows that muscle and a lid at the base close; the one that borders on right muscle is the right one."""
    from scipy import ndimage

    muscle = ventricle > 0
    top = min(float(height[ventricle == side].max()) for side in (LEFT, RIGHT))
    hollow, count = ndimage.label(~muscle & (height <= top))
    border = np.unique(np.concatenate([np.take(hollow, (0, -1), axis=axis).ravel() for axis in range(3)]))
    sizes = np.bincount(hollow.ravel(), minlength=count + 1)
    sizes[border], sizes[0] = 0, 0
    largest = [int(number) for number in np.argsort(sizes)[::-1][:2] if sizes[number] >= LEAST_BLOOD]
    if len(largest) < 2:
        raise InputError(
            f"muscle that encloses {len(largest)} hollow(s) below the base", "two, the left and the right ventricle's", "label the blood"
        )
    right = ndimage.binary_dilation(ventricle == RIGHT)
    touching = [int((right & (hollow == number)).sum()) for number in largest]
    if touching[0] == touching[1]:
        raise InputError("hollows that touch as much of the right wall each", "a right and a left one", "label the blood")
    blood = np.zeros(ventricle.shape, int)
    blood[hollow == largest[int(np.argmin(touching))]] = LEFT
    blood[hollow == largest[int(np.argmax(touching))]] = RIGHT
    return blood


def _to_the_base(muscle: np.ndarray, left: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """From the middle of the left blood to the middle of its open side."""
    from scipy import ndimage

    open_side = left & ndimage.binary_dilation(~muscle & ~left)
    if not open_side.any():
        raise InputError("left blood that muscle closes all round", "blood that is open at the base", "cut it at the valves, or give base")
    way = positions[open_side].mean(axis=0) - positions[left].mean(axis=0)
    return way / np.linalg.norm(way)


def _frame(found: Surroundings, positions: np.ndarray, up: np.ndarray, edge: float) -> Frame:
    left = positions[found.left]
    height = left @ up
    length = float(height.max() - height.min()) + edge
    # An ellipsoid cut off 12 mm above its widest place, as the analytic heart is: its volume gives the radius there.
    upper, whole = length / 6, length
    radius = float(np.sqrt(found.left.sum() * edge**3 / (np.pi * (whole - (upper**3 + (whole - upper) ** 3) / (3 * (whole - upper) ** 2)))))
    middle = left.mean(axis=0)
    middle = middle + up * (height.max() + edge / 2 - upper - middle @ up)
    across = positions[found.right].mean(axis=0) - left.mean(axis=0)
    across = across - up * (up @ across)
    across = across / np.linalg.norm(across)
    return Frame(middle, np.stack([across, np.cross(up, across), up]), radius, length)
