"""A labelled image of a vessel's cross-section as an elastic body: smooth borders of lumen and wall, tissues by shares of labels."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.ndimage import gaussian_filter, label, map_coordinates

from physics.plaque_section import BLUNT, PlaqueShape, PlaqueTissues
from solvers.space.plane_elasticity import PlaneElasticity
from solvers.space.quadratic_mesh import GAUSS, QuadraticMesh

OUTSIDE, LUMEN, WALL, LIPID, CALCIUM = range(5)
"""Labels of pixels."""
SMOOTHING = 0.7
"""Width of the Gaussian, in pixels, under which borders are sought where a label's share is one half."""
FINE = 0.05
"""Distance, in pixels, at which rays are sampled to find a border."""


def labelled_section(
    labels: Int[np.ndarray, "x y"],
    pixel: float,
    tissues: PlaqueTissues,
    calcium: Float[Array, ""],
    columns: int = 64,
    rows: int = 16,
    harmonics: int = 12,
) -> PlaneElasticity:
    r"""The wall between lumen and outside on a ring of elements about the middle of the lumen.

    Borders are where the share of their label under a Gaussian of 0.7 pixels is one half, along rays, and are smoothed to ``harmonics``
    of the angle: no steps of pixels stay on the lumen. Inside, the shear modulus at each point of the quadrature is the mean of those of
    the tissues by their shares there. Elements are closer to each other near the lumen.

    Args:
        labels: 0 outside, 1 lumen, 2 wall, 3 lipid, 4 calcium.
        pixel: Side, mm.
        tissues: Moduli; the pool's is that of lipid.
        calcium: Young's modulus, kPa.
        columns: Elements round the lumen.
        rows: Elements across the wall.
        harmonics: Of the borders; below a third of the pixels round the lumen.

    Raises:
        ValueError: Other labels, a lumen of several parts or open to the outside, or a border that a ray from the middle of the lumen meets
            more than once.

    Good values: pixels of a third of the cap's thickness or less; what is lost at larger ones is in docs/theory/plaque.md.
    """
    labels = np.asarray(labels)
    parts = label(labels == LUMEN)[1]
    if labels.ndim != 2 or not np.isin(labels, range(5)).all() or parts != 1 or not pixel > 0:
        got = f"labels {np.unique(labels)[:8].tolist()} of shape {labels.shape} with {parts} lumens and pixels of {pixel} mm"
        raise ValueError(f"got {got}; expected 0 to 4 with one lumen (1) and pixels above 0; do: relabel the image, one vessel at a time")
    padded = np.pad(labels, 3)
    centre = np.argwhere(padded == LUMEN).mean(axis=0)
    angle = np.arange(2 * columns) * np.pi / columns
    lumen = _border(padded == LUMEN, centre, angle, harmonics, "lumen")
    outer = _border(padded != OUTSIDE, centre, angle, harmonics, "outer wall")
    if (outer - lumen).min() < 1:
        raise ValueError(
            f"got a wall of {(outer - lumen).min():.2g} pixels at its thinnest; expected 1; do: close the wall, or use finer pixels"
        )
    across = np.linspace(0, 1, 2 * rows + 1)
    radius = lumen[:, None] + (outer - lumen)[:, None] * (0.3 * across + 0.7 * across**2)
    ray = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    mesh = QuadraticMesh(jnp.asarray(pixel * radius[..., None] * ray[:, None]))
    place = np.asarray(mesh.places(tuple(GAUSS), tuple(GAUSS))) / pixel + centre
    solid = np.isin(padded, (WALL, LIPID, CALCIUM))
    whole = _at(solid, place)
    shares = [np.clip(_at(padded == one, place) / np.maximum(whole, 0.05), 0, 1) for one in (LIPID, CALCIUM)]
    moduli = [tissues.shear(jnp.asarray(modulus)) for modulus in (tissues.fibrous, tissues.pool, calcium)]
    shear = moduli[0] + shares[0] * (moduli[1] - moduli[0]) + shares[1] * (moduli[2] - moduli[0])
    return PlaneElasticity(mesh, shear, jnp.full_like(shear, tissues.bulk), tissues.support)


def _at(mask: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Share of a label at places in pixels."""
    return map_coordinates(gaussian_filter(mask.astype(float), SMOOTHING), np.moveaxis(place, -1, 0), order=1)


def _border(mask: np.ndarray, centre: np.ndarray, angle: np.ndarray, harmonics: int, name: str) -> np.ndarray:
    """Distance in pixels, along rays, of where a mask ends."""
    fine = np.arange(8 * len(angle)) * 2 * np.pi / (8 * len(angle))
    steps = np.arange(0, np.hypot(*mask.shape), FINE)
    places = centre + steps[:, None, None] * np.stack([np.cos(fine), np.sin(fine)], axis=-1)
    inside = _at(mask, places) > 0.5
    if not inside[0].all() or (np.diff(inside.astype(int), axis=0) != 0).sum(axis=0).max() != 1:
        raise ValueError(
            f"got a border of the {name} that a ray from the middle of the lumen meets more than once, or never; expected once; "
            "do: cut off side branches, and keep the whole wall in the image"
        )
    found = np.fft.rfft(inside.sum(axis=0) * FINE - FINE / 2)
    found[harmonics + 1 :] = 0
    return np.fft.irfft(found, len(fine))[::8]


def cap_of(section: PlaneElasticity, pool: Float[Array, ""]) -> Bool[np.ndarray, "columns rows"]:
    """Elements between the lumen and those that are mostly pool on the same ray, softer than twice its modulus or half of the way there."""
    soft = np.asarray(section.shear.mean(axis=2) < (section.shear.max() + pool) / 2)
    return np.asarray(soft.any(axis=1)[:, None] & (np.cumsum(soft, axis=1) == 0))


def plaque_labels(shape: PlaqueShape, pixel: float, shift: tuple[float, float] = (0.0, 0.0)) -> Int[np.ndarray, "x y"]:
    """The image that pixels of a given side (mm) would give of a plaque, its lumen's middle ``shift`` pixels off a pixel's."""
    reach = float(2 * shape.outer_radius - shape.lumen_radius - shape.wall) + 3 * pixel
    half = int(np.ceil(reach / pixel))
    x, y = np.meshgrid(*[(np.arange(-half, half + 1) + off) * pixel for off in shift], indexing="ij")
    angle, depth = np.abs(np.arctan2(y, x)), np.hypot(x, y) - float(shape.lumen_radius)
    arc, rounding, cap, deep = (float(part) for part in (shape.arc, shape.rounding(), shape.cap, shape.depth))
    sunk = deep / 2 * (1 - np.sqrt(1 - np.clip((angle - arc + rounding) / rounding, 0, 1 - BLUNT) ** 2))
    pool = (depth > cap + sunk) & (depth < cap + deep - sunk) & (angle < arc - BLUNT * rounding)
    found = np.where(depth < np.asarray(shape.thickness(jnp.asarray(angle))), np.where(pool, LIPID, WALL), OUTSIDE)
    return np.where(depth < 0, LUMEN, found)
