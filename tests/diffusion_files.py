"""Files of one diffusion tensor, in the two conventions, on oblique grids."""

import nibabel
import numpy as np
from scipy.spatial.transform import Rotation

SHAPE = (7, 6, 5)
FSL = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
MRTRIX = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
TURN = Rotation.from_euler("zyx", [25, -15, 40], degrees=True).as_matrix()
WORLD = TURN @ np.diag([1.7e-3, 5e-4, 3e-4]) @ TURN.T
"""One tensor in world axes; none of its axes is one of the world's."""


def oblique(determinant, angles=(20, 10, -30)):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag([2.0 * determinant, 2.0, 2.5])
    affine[:3, 3] = (-4.0, 3.0, 1.0)
    return affine


def write(path, tensor, entries, affine):
    array = np.stack([np.broadcast_to(tensor, (*SHAPE, 3, 3))[..., i, j] for i, j in entries], axis=-1).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def fsl_axes(tensor, affine):
    """What dtifit would say: axes of the voxels, the first one reversed where left and right are stored in neurological order."""
    unit = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.linalg.det(affine[:3, :3]) > 0:
        unit = unit @ np.diag([-1.0, 1.0, 1.0])
    return unit.T @ tensor @ unit
