"""Coarse images of phase contrast and the fine field that they are scored against, from HDF5 files of 4DFlowNet's layout."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from twinsim.errors import InputError

DIRECTIONS = ("u", "v", "w")


@dataclass(frozen=True)
class FlowImages:
    """One frame of velocity-encoded images.

    Attributes:
        velocity: m/s by direction, within the encoding velocity.
        magnitude: By direction, in any unit.
        encoding: m/s by direction.
        spacing: mm, edge of a coarse voxel, the same along all axes.
    """

    velocity: np.ndarray
    magnitude: np.ndarray
    encoding: np.ndarray
    spacing: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Coarse voxels."""
        x, y, z = self.velocity.shape[1:]
        return x, y, z

    def fine_shape(self) -> tuple[int, int, int]:
        """Voxels half as wide."""
        x, y, z = (2 * n for n in self.shape)
        return x, y, z

    def signal(self) -> np.ndarray:
        """Complex images."""
        return self.magnitude * np.exp(1j * np.pi * self.velocity / self.encoding[:, None, None, None])


@dataclass(frozen=True)
class FineFlow:
    """A field on fine voxels that is taken as the truth.

    Attributes:
        velocity: m/s by direction.
        mask: Share of every voxel that is fluid.
        spacing: mm.
    """

    velocity: np.ndarray
    mask: np.ndarray
    spacing: float


def read_images(path: Path, frame: int = 0) -> FlowImages:
    """Reads `u, v, w, mag_u, mag_v, mag_w, venc_u, venc_v, venc_w, dx` of one frame.

    Raises:
        InputError: A file that is missing or is no HDF5, an array that is missing, of another shape or not finite, a velocity beyond the
            encoding velocity, voxels that are not cubes.
    """
    parts = _read(path, frame, [*DIRECTIONS, *(f"mag_{d}" for d in DIRECTIONS), *(f"venc_{d}" for d in DIRECTIONS), "dx"])
    velocity, magnitude = (_stacked(path, parts, [start + d for d in DIRECTIONS]) for start in ("", "mag_"))
    if velocity.shape != magnitude.shape:
        raise InputError(f"{path.name}: magnitude of {magnitude.shape}", f"{velocity.shape} as the velocity", "check the file")
    encoding = np.array([float(np.squeeze(parts[f"venc_{d}"])) for d in DIRECTIONS])
    if (encoding <= 0).any() or (np.abs(velocity).max(axis=(1, 2, 3)) > encoding * (1 + 1e-6)).any():
        raise InputError(
            f"{path.name}: encoding velocities {encoding.tolist()} m/s", "positive and not below a velocity", "check the units"
        )
    return FlowImages(velocity, magnitude, encoding, _cube(path, parts["dx"]))


def read_fine(path: Path, frame: int = 0) -> FineFlow:
    """Reads `u, v, w, mask, dx` of one frame; see :func:`read_images`."""
    parts = _read(path, frame, [*DIRECTIONS, "mask", "dx"])
    velocity = _stacked(path, parts, list(DIRECTIONS))
    if parts["mask"].shape != velocity.shape[1:] or not (parts["mask"] > 0.5).any():
        raise InputError(f"{path.name}: a mask of {parts['mask'].shape}", f"{velocity.shape[1:]} with fluid in it", "check the file")
    return FineFlow(velocity, parts["mask"], _cube(path, parts["dx"]))


def _read(path: Path, frame: int, names: list[str]) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(f"no file {path}", "an HDF5 file of 4D flow", "check the path, or set TWINSIM_DATA")
    try:
        with h5py.File(path) as file:
            missing = [name for name in names if name not in file]
            if missing:
                raise InputError(f"{path.name} without {', '.join(missing)}", f"{', '.join(names)}", "write them under these names")
            frames = file["u"].shape[0]
            if frame >= frames:
                raise InputError(f"frame {frame} of {path.name}", f"0 to {frames - 1}", "choose another --frame")
            return {name: np.asarray(file[name][min(frame, file[name].shape[0] - 1)], float) for name in names}
    except OSError as error:
        raise InputError(f"{path.name}: {error}", "an HDF5 file", "fetch it again") from error


def _stacked(path: Path, parts: dict[str, np.ndarray], names: list[str]) -> np.ndarray:
    shapes = {parts[name].shape for name in names}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3:
        raise InputError(f"{path.name}: {', '.join(names)} of shapes {sorted(shapes)}", "one shape of three axes", "check the file")
    stacked = np.stack([parts[name] for name in names])
    if not np.isfinite(stacked).all():
        raise InputError(f"{path.name}: values that are not finite in {', '.join(names)}", "finite numbers", "repair the images")
    return stacked


def _cube(path: Path, spacing: np.ndarray) -> float:
    if not (np.isfinite(spacing) & (spacing > 0)).all() or np.ptp(spacing) > 1e-3 * spacing.max():
        raise InputError(f"{path.name}: voxels of {np.ravel(spacing).tolist()} mm", "cubes with a positive edge", "resample the images")
    return float(np.ravel(spacing)[0])
