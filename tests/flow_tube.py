"""A tube of laminar flow as images of phase contrast, with its truth."""

from typing import NamedTuple

import h5py
import jax.numpy as jnp
import numpy as np

from physics.phase_contrast import PhaseContrast
from twinsim.flow_images import FlowImages

ENCODING = 1.5


class Tube(NamedTuple):
    images: FlowImages
    velocity: np.ndarray
    share: np.ndarray


def tube(seed: int, ratio: float = 40.0, plug: bool = False, shape=(24, 24, 24), radius: float = 6.0) -> Tube:
    """Flow along z in a straight tube, periodic along it; parabola or plug; noise of the images 1 over ``ratio`` of the magnitude."""
    x, y, _ = np.meshgrid(*[np.arange(n) - n / 2 + 0.3 for n in shape], indexing="ij")
    distance = np.hypot(x, y)
    share = np.clip(radius - distance + 0.5, 0, 1)
    along = 0.6 * (share > 0) if plug else 0.9 * np.maximum(1 - (distance / (radius + 0.5)) ** 2, 0)
    velocity = np.stack([0 * along, 0 * along, along])
    coarse = tuple(n // 2 for n in shape)
    clean = np.asarray(PhaseContrast(ENCODING, shape, coarse).images(jnp.asarray(share), jnp.asarray(velocity)))
    noise = np.random.default_rng(seed).normal(size=(2, *clean.shape)) / ratio
    seen = clean + noise[0] + 1j * noise[1]
    images = FlowImages(ENCODING / np.pi * np.angle(seen), np.abs(seen), np.full(3, ENCODING), 2.0)
    return Tube(images, velocity, share)


def written(folder, given: Tube):
    """Paths of the images and of the truth, as files."""
    low, high = folder / "low.h5", folder / "high.h5"
    with h5py.File(low, "w") as file:
        for i, name in enumerate("uvw"):
            file[name], file[f"mag_{name}"] = given.images.velocity[i][None], given.images.magnitude[i][None]
            file[f"venc_{name}"] = np.full(1, ENCODING)
        file["dx"] = np.full((1, 3), given.images.spacing)
    with h5py.File(high, "w") as file:
        for i, name in enumerate("uvw"):
            file[name] = given.velocity[i][None]
        file["mask"] = given.share[None]
        file["dx"] = np.full((1, 3), given.images.spacing / 2)
    return low, high
