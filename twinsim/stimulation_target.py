"""Where stimulation of the subthalamic nucleus aims and what lies beside it, in MNI152 space."""

from dataclasses import dataclass

import numpy as np

EFFECTIVE_SITE_MNI = (12.58, -13.41, -5.87)
"""Mean place of effective contacts, mm, right side; the left one has -x. Caire et al. (2013), Acta Neurochir. 155, 1647 (a review, in
coordinates of the commissures), brought to MNI space by Horn et al. (2017), NeuroImage 150, 395."""

_NORMAL = np.array([0.87, 0.5, 0.0]) / np.hypot(0.87, 0.5)  # lateral and anterior: from the nucleus to the capsule beside it


@dataclass(frozen=True)
class Ellipsoid:
    """A region; lengths in mm.

    Attributes:
        centre: World coordinates.
        axes: Rows are unit vectors.
        radii: Half lengths along them.
    """

    centre: np.ndarray
    axes: np.ndarray
    radii: np.ndarray

    def share(self, points: np.ndarray, spacing: float, subvoxels: int = 4) -> np.ndarray:
        """Part of each voxel that lies inside, 0 to 1, by ``subvoxels`` to the third points in each.

        Args:
            points: Centres of the voxels, ``(x, y, z, 3)``.
            spacing: Edge of a voxel.
            subvoxels: Points per edge.
        """
        offsets = ((np.arange(subvoxels) + 0.5) / subvoxels - 0.5) * spacing
        away = (points - self.centre) @ self.axes.T
        near = (np.abs(away) <= self.radii + spacing).all(axis=-1)
        inside, total = away[near], np.zeros(int(near.sum()))
        for x in offsets:
            for y in offsets:
                for z in offsets:
                    shifted = inside + np.array([x, y, z]) @ self.axes.T
                    total += ((shifted / self.radii) ** 2).sum(axis=-1) <= 1
        found = np.zeros(points.shape[:-1])
        found[near] = total / subvoxels**3
        return found


def subthalamic_target(sign: float) -> Ellipsoid:
    """An ellipsoid of the nucleus' size round the mean effective site.

    Length 7.7 and width 6 mm in the axial plane: Mavridis, Boviatsis, Anagnostopoulou (2013), Anat. Res. Int. 2013, 319710; its height of
    5 mm and its turn are drawn by hand. 121 mm³; the nucleus itself reaches further medially and down.

    Args:
        sign: 1 for the right side, -1 for the left.
    """
    return _placed(sign, (0.0, 0.0, 0.0), (3.0, 3.85, 2.5))


def internal_capsule(sign: float) -> Ellipsoid:
    """A plate of the internal capsule beside the nucleus, lateral and anterior of it, whose activation contracts muscles.

    Drawn by hand where atlases of white matter have the posterior limb (ICBM-DTI-81: Mori et al. 2008, NeuroImage 40, 570): 4 mm
    thick, its middle 5.5 mm from the effective site; not measured.

    Args:
        sign: 1 for the right side, -1 for the left.
    """
    return _placed(sign, tuple(5.5 * _NORMAL), (2.0, 7.0, 8.0))


def capsule_direction(sign: float) -> np.ndarray:
    """Of its fibres: from the cortex down, medially and back."""
    direction = np.array([-0.3 * sign, -0.2, -0.93])
    return direction / np.linalg.norm(direction)


def effective_site(sign: float) -> np.ndarray:
    """World coordinates of the site on one side, mm."""
    return np.asarray(EFFECTIVE_SITE_MNI) * np.array([sign, 1.0, 1.0])


def _placed(sign: float, shift: tuple[float, ...], radii: tuple[float, float, float]) -> Ellipsoid:
    mirror = np.array([sign, 1.0, 1.0])
    along = np.array([_NORMAL[1], -_NORMAL[0], 0.0])
    axes = np.stack([_NORMAL, along, np.array([0.0, 0.0, 1.0])]) * mirror
    return Ellipsoid(effective_site(sign) + np.asarray(shift) * mirror, axes, np.asarray(radii))
