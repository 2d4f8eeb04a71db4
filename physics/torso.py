r"""An analytic torso of voxels round a heart: elliptic cross-section, lungs, blood in the chambers, electrodes on the skin.

Axes are those of the body: right, anterior, superior, in mm.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics.lead_field import solve_torso
from physics.spline import spline_coefficients, spline_values
from physics.torso_electrodes import RIGHT_LEG
from solvers import Diffusion, EllipticSolution, VoxelGrid


class TorsoShape(NamedTuple):
    """Lengths in mm; positions are counted from the middle of the heart.

    Attributes:
        half_width: Of the elliptic cross-section, to the side.
        half_depth: To the front.
        middle: Of the ellipse, right and anterior of the heart.
        bottom: Height of the lower end.
        top: Of the upper one.
        lungs: Middle and half axes of two ellipsoids, right lung first; where they meet the heart they give way.
        round_heart: Width of what is neither lung nor heart round the heart.
    """

    half_width: float = 160.0
    half_depth: float = 108.0
    middle: tuple[float, float] = (25.0, -25.0)
    bottom: float = -345.0
    top: float = 205.0
    lungs: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = (
        ((102.0, -25.0, 30.0), (55.0, 82.0, 120.0)),
        ((-62.0, -35.0, 30.0), (50.0, 80.0, 120.0)),
    )
    round_heart: float = 5.0


class TorsoConductivities(NamedTuple):
    """In S/m, isotropic.

    Attributes:
        body: Muscle, fat and bone together.
        lungs: Inflated.
        blood: In the chambers.
        heart: Inside and outside of the cells together: the geometric mean over the three axes of 0.17 + 0.62 along and 0.019 + 0.24
            across the fibres (Niederer 2011).
    """

    body: float = 0.22
    lungs: float = 0.05
    blood: float = 0.67
    heart: float = 0.376


class Torso(NamedTuple):
    """A torso on its own voxels.

    Attributes:
        grid: The voxels.
        origin: Centre of the first one, mm in the axes of the body.
        conductivity: S/m, ``(x, y, z)``, zero outside.
        electrodes: Flat indices of the skin's voxels under the electrodes given.
        reference: That of the ground on the right leg.
        moved: How far the electrodes given lay from these voxels, mm.
    """

    grid: VoxelGrid
    origin: np.ndarray
    conductivity: np.ndarray
    electrodes: np.ndarray
    reference: int
    moved: np.ndarray


def analytic_torso(
    spacing_mm: float,
    middle: np.ndarray,
    muscle: np.ndarray,
    blood: np.ndarray,
    voxel_volume: float,
    electrodes: np.ndarray,
    shape: TorsoShape | None = None,
    conductivities: TorsoConductivities | None = None,
) -> Torso:
    """An elliptic cylinder with two lungs round a heart.

    A voxel that muscle or blood fill in part has the mean of the conductivities by volume.

    Args:
        spacing_mm: Edge of a torso's voxel; 5 is a good value, 4 to see what it changes.
        middle: Of the heart in the axes of the body, mm.
        muscle: Centres of the heart's muscle voxels there, ``(voxels, 3)``.
        blood: Centres of those of its cavities.
        voxel_volume: Of one of these, mm³.
        electrodes: Positions, ``(electrodes, 3)``; each is moved to the nearest voxel of the skin.
        shape: None for an adult's.
        conductivities: None for those of the literature.

    Raises:
        ValueError: A spacing beyond 2 to 12 mm, a conductivity that is not positive, a heart or an electrode that does not fit.

    Sizes are drawn round the electrodes of :func:`physics.standard_electrodes`: 320 x 216 mm, lungs of 2.3 + 1.7 L before they give way
    to the heart. No arms, neck, bones, fat or direction of muscle. Sources of conductivities: blood: Geddes, Baker (1967), Med. Biol.
    Eng. 5, 271 (second-hand); lungs about a fifth of the body's mean, within the range of Gabriel et al. (1996), Phys. Med. Biol. 41, 2271,
    and that mean as torso models take it (recalled).
    """
    shape = TorsoShape() if shape is None else shape
    values = TorsoConductivities() if conductivities is None else conductivities
    if not 2 <= spacing_mm <= 12:
        raise ValueError(f"got torso voxels of {spacing_mm:g} mm; expected 2 to 12; do: use 5")
    if not all(np.isfinite(value) and value > 0 for value in values):
        raise ValueError(f"got conductivities {tuple(values)}; expected all above zero, S/m; do: check them")
    low = np.array([shape.middle[0] - shape.half_width, shape.middle[1] - shape.half_depth, shape.bottom])
    high = np.array([shape.middle[0] + shape.half_width, shape.middle[1] + shape.half_depth, shape.top])
    counts = np.ceil((high - low) / spacing_mm).astype(int)
    origin = (low + high - (counts - 1) * spacing_mm) / 2
    points = origin + np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), axis=-1) * spacing_mm
    plane = (points[..., 0] - shape.middle[0]) ** 2 / shape.half_width**2 + (points[..., 1] - shape.middle[1]) ** 2 / shape.half_depth**2
    mask = plane <= 1
    sigma = np.where(mask, values.body, 0.0)
    parts = [_filled(where - middle, origin, spacing_mm, counts, voxel_volume) for where in (muscle, blood)]
    heart = parts[0] + parts[1]
    if (heart * ~mask).sum() > 1e-3 * heart.sum() or heart.sum() * spacing_mm**3 < 0.99 * (len(muscle) + len(blood)) * voxel_volume:
        raise ValueError("got a heart that reaches out of the torso; expected it inside; do: enlarge TorsoShape or move its middle")
    lungs = np.zeros(mask.shape, bool)
    for centre, axes in shape.lungs:
        lungs |= np.sum(((points - np.asarray(centre)) / np.asarray(axes)) ** 2, axis=-1) <= 1
    sigma = np.where(mask & lungs & ~_grown(heart > 0, shape.round_heart / spacing_mm), values.lungs, sigma)
    total = np.maximum(heart, 1.0)
    sigma = np.where(mask, sigma * (1 - heart / total) + (parts[0] * values.heart + parts[1] * values.blood) / total, 0.0)
    skin = np.argwhere(mask & _grown(~np.pad(mask, 1), 1.0)[1:-1, 1:-1, 1:-1])
    given = np.concatenate([np.asarray(electrodes, float) - middle, [RIGHT_LEG]])
    distance = np.linalg.norm(given[:, None, :] - (origin + skin * spacing_mm)[None], axis=-1)
    moved = distance.min(axis=1)
    if moved.max() > 60:
        raise ValueError(f"got an electrode {moved.max():.3g} mm from the skin; expected 60 at most; do: check positions and TorsoShape")
    index = np.asarray(np.ravel_multi_index(tuple(skin[distance.argmin(axis=1)].T), mask.shape))
    return Torso(VoxelGrid(mask, spacing_mm), origin + middle, sigma, index[:-1], int(index[-1]), moved[:-1])


def torso_solution(torso: Torso) -> EllipticSolution:
    """The potentials of a unit current (1 mA) from each electrode to the ground; see :func:`physics.lead_field.solve_torso`."""
    operator = Diffusion(torso.grid, jnp.asarray(torso.conductivity))
    return solve_torso(operator, torso.electrodes.tolist(), torso.reference, torso.grid.voxel_volume)


def torso_sources_at(torso: Torso, solution: EllipticSolution, points: Float[np.ndarray, "points 3"]) -> Float[Array, "electrodes points"]:
    """Those potentials at points in the axes of the body, mm, by cubic splines."""
    fields = np.asarray(solution.field).reshape(-1, *torso.grid.shape)
    coefficients = spline_coefficients(fields, np.asarray(torso.grid.mask))
    return spline_values(jnp.asarray(coefficients), jnp.asarray((points - torso.origin) / torso.grid.spacing[0], coefficients.dtype))


def _filled(points: np.ndarray, origin: np.ndarray, spacing: float, counts: np.ndarray, voxel_volume: float) -> np.ndarray:
    """Share of each torso voxel that these voxels fill, each spread linearly over the eight that are nearest: no beat between the grids."""
    place = (points - origin) / spacing
    first = np.floor(place).astype(int)
    part = place - first
    share = np.zeros(tuple(int(n) for n in counts))
    for corner in np.ndindex(2, 2, 2):
        index = first + corner
        weight = np.prod(np.where(corner, part, 1 - part), axis=1)
        inside = ((index >= 0) & (index < counts)).all(axis=1)
        np.add.at(share, tuple(index[inside].T), weight[inside] * voxel_volume / spacing**3)
    return share


def _grown(region: np.ndarray, voxels: float) -> np.ndarray:
    from scipy import ndimage

    return ndimage.distance_transform_edt(~region) <= max(1.0, voxels)
