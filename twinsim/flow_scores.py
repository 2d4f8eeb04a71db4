"""How far a field of velocity is from the truth, and the interpolations that a reconstruction is judged against."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from physics.phase_contrast import PhaseContrast
from solvers.space.face_velocity import FaceGrid
from twinsim.flow_images import FlowImages
from twinsim.flow_reconstruction import project

SLOW = 0.05


class FlowScore(NamedTuple):
    """Errors over a mask.

    Attributes:
        vector: vNRMSE: root mean square length of the difference over the largest true speed.
        speed: Root mean square difference of the speeds over the same.
        direction: Mean angle in degrees where the true speed is above a twentieth of the largest.
        divergence: Root mean square of the divergence by faces (of the mean of both voxels where only centres are known), 1/s.
    """

    vector: float
    speed: float
    direction: float
    divergence: float


def score(velocity: np.ndarray, truth: np.ndarray, mask: np.ndarray, divergence: float) -> FlowScore:
    """Errors of a velocity, by direction first, in the voxels of the mask; see :class:`FlowScore`."""
    given, true = velocity[:, mask], truth[:, mask]
    fast = np.linalg.norm(true, axis=0)
    largest = float(fast.max())
    size = np.linalg.norm(given, axis=0)
    moving = fast > SLOW * largest
    cosine = np.sum(given * true, axis=0)[moving] / np.maximum(size[moving] * fast[moving], 1e-12)
    return FlowScore(
        float(np.sqrt(np.mean(np.sum((given - true) ** 2, axis=0))) / largest),
        float(np.sqrt(np.mean((size - fast) ** 2)) / largest),
        float(np.degrees(np.mean(np.arccos(np.clip(cosine, -1, 1))))),
        divergence,
    )


def interpolations(images: FlowImages, space: FaceGrid) -> dict[str, tuple[np.ndarray, float]]:
    """Fine velocities by name, each with its divergence in the lumen (root mean square, 1/s).

    `trilinear_velocity` takes velocities, noise of the tissue included; `trilinear` and `cubic` the complex images, which weights by the
    magnitude; `zero_filled` the frequencies measured; `divergence_free` projects `trilinear`. Coarse voxel i is fine voxel 2i.
    """
    fine = images.fine_shape()
    signal = images.signal()
    scanner = PhaseContrast(images.encoding, fine, images.shape)
    found = {"trilinear_velocity": _resampled(images.velocity, fine, 1)}
    for name, order in (("trilinear", 1), ("cubic", 3)):
        resampled = _resampled(np.real(signal), fine, order) + 1j * _resampled(np.imag(signal), fine, order)
        found[name] = np.asarray(scanner.velocity(jnp.asarray(resampled)))
    found["zero_filled"] = np.asarray(scanner.velocity(scanner.filled(jnp.asarray(signal))))
    with_divergence = {name: (field, divergence_of(field, space)) for name, field in found.items()}
    projected = project(space, space.faces_of(jnp.asarray(found["trilinear"])), found["trilinear"])
    return with_divergence | {"divergence_free": (projected.centred, projected.divergence)}


def divergence_of(centred: np.ndarray, space: FaceGrid) -> float:
    """Root mean square over the lumen of the divergence of a field known at centres, by its mean on faces, 1/s."""
    divergence = np.asarray(space.divergence(space.faces_of(jnp.asarray(centred))))
    return float(np.sqrt(np.mean(divergence[np.asarray(space.grid.mask)] ** 2)))


def _resampled(field: np.ndarray, fine: tuple[int, int, int], order: int) -> np.ndarray:
    places = np.meshgrid(*[np.arange(n) / 2 for n in fine], indexing="ij")
    return np.stack([ndimage.map_coordinates(part, places, order=order, mode="nearest") for part in field])
