r"""Diffusion tensors of a NIfTI file in world axes, and their values on another grid.

Six components per voxel, or eigenvectors and eigenvalues, do not say themselves which axes they refer to. Two conventions are known:

======== ============================ ==================================================================================================
name     components in the file       axes
======== ============================ ==================================================================================================
fsl      xx, xy, xz, yy, yz, zz       the voxel axes of the file; the first one reversed where the affine has a positive determinant
mrtrix   xx, yy, zz, xy, xz, yz       world axes (right, anterior, superior), whatever the voxel axes are
======== ============================ ==================================================================================================
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from twinsim.errors import InputError
from twinsim.volumes import Volume, read_components, require_same_grid

Convention = Literal["fsl", "mrtrix"]

_ORDER = {"fsl": (0, 1, 2, 1, 3, 4, 2, 4, 5), "mrtrix": (0, 3, 4, 3, 1, 5, 4, 5, 2)}
_UPPER = np.triu_indices(3)
MEAN_DIFFUSIVITY = (5e-5, 5e-3)
"""mm²/s; a median outside of it is another unit. Free water at body temperature has 3.0e-3, white matter about 0.7e-3."""
LARGEST_RATIO = 10.0
"""Of eigenvalues; smaller ones are raised to a tenth of the largest: noise makes them zero or negative (SimNIBS bounds them so too)."""


@dataclass(frozen=True, eq=False)
class DiffusionTensors:
    """Diffusion of water per voxel.

    Attributes:
        array: ``(x, y, z, 3, 3)`` in mm²/s, in world axes (right, anterior, superior), positive definite; zero where there is none.
        affine: Index to world mm.
        raised: Share of the voxels with a tensor whose smaller eigenvalues were raised to a tenth of the largest.
    """

    array: np.ndarray
    affine: np.ndarray
    raised: float = 0.0


def read_tensors(path: str | Path, convention: Convention) -> DiffusionTensors:
    r"""Reads ``(x, y, z, 6)`` in one of two conventions, or the eigenvectors of FSL's dtifit.

    Args:
        path: NIfTI with six components; or, with ``"fsl"``, the three of ``NAME_V1.nii.gz``, beside which ``NAME_V2``, ``NAME_V3`` and
            ``NAME_L1`` to ``NAME_L3`` lie: then :math:`D = \sum_i L_i\,v_iv_i^T`.
        convention: Of the table above. No file says which one it is; what does not fit is refused where numbers give it away.

    Voxels that are zero or not finite have no tensor. Eigenvectors are kept, eigenvalues below a tenth of the largest raised to it.

    Raises:
        InputError: Another number of components; five dimensions (the lower triangle of ITK and ANTs, another order); a file of
            eigenvectors missing, on another grid, or without length one; no tensor at all; more than a fifth of the tensors with a
            negative eigenvalue (the other order of components); a median diffusivity outside of :data:`MEAN_DIFFUSIVITY` (another unit).

    Source: FSL's documentation of dtifit and of its b-vectors, MRtrix3's of dwi2tensor. Fails: a turn of the tensors that goes with a
    change of axes, such as tensors warped without being turned, cannot be seen in the numbers: look at directions in a known tract.
    """
    path = Path(path)
    if convention not in _ORDER:
        raise InputError(f"the convention {convention!r} of tensors", "'fsl' or 'mrtrix'", "convert the file to one of them")
    found = read_components(path, (6, 3) if convention == "fsl" else (6,), "diffusion tensors, (x, y, z, 6)")
    if found.array.shape[3] == 3:
        tensor, affine = _from_eigenvectors(path, found)
    else:
        tensor, affine = found.array[..., _ORDER[convention]].astype(float).reshape(*found.array.shape[:3], 3, 3), found.affine
    known = np.isfinite(tensor).all(axis=(-2, -1)) & (np.abs(tensor) > 0).any(axis=(-2, -1))
    if not known.any():
        raise InputError(f"{path} without a single tensor", "six finite numbers in voxels of tissue", "check the fit of the tensors")
    values, vectors = np.linalg.eigh(tensor[known])
    negative, middle = float((values[:, 0] < -1e-2 * np.abs(values[:, 2])).mean()), float(np.median(values.mean(axis=1)))
    if negative > 0.2:
        raise InputError(
            f"{path} whose tensors have a negative eigenvalue in {100 * negative:.0f} % of its voxels",
            f"positive tensors, {'xx xy xz yy yz zz' if convention == 'fsl' else 'xx yy zz xy xz yz'} as {convention} writes them",
            "check the order of components: the other convention may be right",
        )
    if not MEAN_DIFFUSIVITY[0] <= middle <= MEAN_DIFFUSIVITY[1]:
        raise InputError(
            f"{path} with a median diffusivity of {middle:.3g}",
            f"{MEAN_DIFFUSIVITY[0]:g} to {MEAN_DIFFUSIVITY[1]:g} mm^2/s",
            "check the unit (1 um^2/ms is 1e-3 mm^2/s)",
        )
    sound = values[:, 2] > 0
    least = np.maximum(values[:, 2:], 0) / LARGEST_RATIO
    low = values < least * (1 - 1e-6)
    raised = float(low[sound].any(axis=1).mean()) if sound.any() else 0.0
    turn = _axes(affine) if convention == "fsl" else np.eye(3)
    vectors = turn @ vectors
    whole = np.zeros_like(tensor)
    whole[known] = np.einsum("nik,nk,njk->nij", vectors, np.where(sound[:, None], np.maximum(values, least), 0.0), vectors)
    return DiffusionTensors(whole, affine, raised)


def tensors_onto(tensors: DiffusionTensors, shape: tuple[int, int, int], affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tensors at the voxel centres of another grid, in world axes, and where there are any.

    Logarithms are interpolated linearly, so that results are positive definite and determinants do not swell between two directions.
    A place counts as known where at least half of the weight of its eight neighbours has a tensor; only these are averaged.

    Args:
        tensors: Of :func:`read_tensors`; any orientation.
        shape: Of the other grid.
        affine: Index to world mm of the other grid, of any orientation: tensors stay in world axes.

    Returns:
        ``(x, y, z, 3, 3)`` in mm²/s, the unit tensor times 1e-3 where nothing is known; and a mask.

    Source: Arsigny, Fillard, Pennec, Ayache (2006), Magn. Reson. Med. 56, 411 (Log-Euclidean interpolation).
    """
    from scipy import ndimage

    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1).reshape(-1, 3)
    places = (index @ np.asarray(affine)[:3, :3].T + np.asarray(affine)[:3, 3] - tensors.affine[:3, 3]) @ np.linalg.inv(
        tensors.affine[:3, :3]
    ).T
    low = np.clip(np.floor(places.min(axis=0)).astype(int) - 1, 0, None)
    high = np.minimum(np.ceil(places.max(axis=0)).astype(int) + 2, tensors.array.shape[:3])
    part = tensors.array[tuple(slice(max(a, 0), max(b, 0)) for a, b in zip(low, high, strict=True))]
    result = np.broadcast_to(1e-3 * np.eye(3), (*shape, 3, 3)).copy()
    if 0 in part.shape:
        return result, np.zeros(shape, bool)
    some = np.abs(part).any(axis=(-2, -1))
    logarithms = np.zeros((*part.shape[:3], 6))
    values, vectors = np.linalg.eigh(part[some])
    logarithms[some] = np.einsum("nik,nk,njk->nij", vectors, np.log(values), vectors)[:, _UPPER[0], _UPPER[1]]
    at = (places - low).T

    def sampled(field: np.ndarray) -> np.ndarray:
        return ndimage.map_coordinates(field, at, order=1, mode="constant", cval=0.0)

    weight = sampled(some.astype(float))
    known = weight >= 0.5
    flat = np.zeros((int(known.sum()), 3, 3))
    for number, (row, column) in enumerate(zip(*_UPPER, strict=True)):
        flat[:, row, column] = flat[:, column, row] = sampled(logarithms[..., number])[known] / weight[known]
    values, vectors = np.linalg.eigh(flat)
    result.reshape(-1, 3, 3)[known] = np.einsum("nik,nk,njk->nij", vectors, np.exp(values), vectors)
    return result, known.reshape(shape)


def _axes(affine: np.ndarray) -> np.ndarray:
    """Columns: the axes of FSL's vectors in the world. FSL reverses the first axis of files whose determinant is positive."""
    unit = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return unit * np.array([-1.0 if np.linalg.det(unit) > 0 else 1.0, 1.0, 1.0])


def _from_eigenvectors(path: Path, first: Volume) -> tuple[np.ndarray, np.ndarray]:
    name, mark, ending = path.name.rpartition("_V1.nii")
    if not mark:
        raise InputError(
            f"{path.name} with three components", "six, or NAME_V1.nii.gz of dtifit", "give the tensor (dtifit --save_tensor) or V1"
        )
    tensor = np.zeros((*first.array.shape[:3], 3, 3))
    for number in (1, 2, 3):
        vector = first if number == 1 else read_components(path.with_name(f"{name}_V{number}.nii{ending}"), (3,), "eigenvectors")
        value = read_components(path.with_name(f"{name}_L{number}.nii{ending}"), (1,), "eigenvalues")
        for volume, kind in ((vector, "V"), (value, "L")):
            one = Volume(volume.array[..., 0], volume.affine)
            require_same_grid(one, f"{name}_{kind}{number}", Volume(first.array[..., 0], first.affine), path.name)
        length = np.linalg.norm(vector.array, axis=-1)
        odd = (length > 1e-6) & (np.abs(length - 1) > 0.02)
        if odd.mean() > 0.01:
            raise InputError(
                f"{name}_V{number} with vectors of length {length[odd][0]:.3g}", "unit vectors", "give eigenvectors as dtifit does"
            )
        tensor += value.array[..., None] * vector.array[..., :, None] * vector.array[..., None, :]
    return tensor, first.affine
