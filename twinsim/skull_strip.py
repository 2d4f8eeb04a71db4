"""A plain skull strip for the case that nothing but one T1-like MR image is at hand."""

import numpy as np

from twinsim.errors import InputError
from twinsim.resampling import spacing_of

_BRIDGE_MM = 8.0  # half the width of what may connect brain and face or neck: nerves, vessels, muscle
_GROWTH_MM = 10.0  # how far the eroded core may grow back inside of tissue-like voxels
# Half the width of the gaps that are filled: ventricles, sulci, enhancing lesions at the surface.
_CLOSING_MM = 14.0
_SCALP_MM = 6.0  # scalp and skull are never thinner than this together
_BRAIN_DEPTH_MM = 140.0  # from the top of the head to the foramen magnum of a tall adult
# Of the brain's own intensity: below lie CSF, bone and air, above fat and contrast agent.
_DARK, _BRIGHT = 0.62, 1.5


def brain_mask_from_image(image: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Heuristic brain mask of a T1-like MR image of a whole head (with or without contrast agent).

    Otsu's threshold parts head from air; the median intensity deep in the head is taken for the brain's;
    voxels near it, eroded by 8 mm, leave brain, face and neck as separate pieces, of which the largest is the
    brain; it grows back inside of tissue-like voxels and is closed by 14 mm, so that enhancing lesions and
    ventricles end up inside.

    It is a HEURISTIC. It keeps ventricles, sulcal CSF and some dura; it loses the lowest cerebellum and the
    brain stem, and with thick slices the topmost gyri. It fails where scalp, fat and brain are equally bright
    (T2, FLAIR, fat-saturated T1, CT), with strong coil shading, after craniotomy, in infants, for images that
    show no air or only part of the head, and for images that are stripped already (use a brain mask then).
    Look at the result.

    Args:
        image: Intensities [x, y, z], arbitrary unit.
        affine: 4x4, voxel index -> world RAS mm; it tells which way is up.

    Returns:
        Boolean array like the image: one component, without holes.

    Raises:
        InputError: Nothing that looks like a brain (300 mL or more) is found.
    """
    from scipy import ndimage

    spacing = spacing_of(affine)
    image = np.asarray(image, np.float32)
    # Brain and scalp may be apart, with dark bone between them; specks of noise and the coil are small.
    head = _largest(image > otsu_threshold(image), share=0.1)
    upward = int(np.abs(affine[2, :3] / np.array(spacing)).argmax())
    # Plane by plane, because nasal cavity and throat open to the air in 3-D; by spans and not by filling
    # holes, because the field of view may cut the face open.
    in_plane = [axis for axis in range(3) if axis != upward]
    head = _span(head, in_plane[0]) & _span(head, in_plane[1])
    depth = _distance_mm(np.pad(head, 1, mode="edge"), spacing)[1:-1, 1:-1, 1:-1]
    level = float(np.median(image[depth >= 0.6 * depth.max()]))

    smooth = ndimage.gaussian_filter(image, [1.0 / s for s in spacing])  # 1 mm: noise, not anatomy
    tissue = (smooth > _DARK * level) & (smooth < _BRIGHT * level) & head
    core = _largest(_distance_mm(tissue, spacing) > _BRIDGE_MM)
    mask = tissue & (_distance_mm(~core, spacing) <= _GROWTH_MM) if core.any() else core
    mask = _closed(mask, spacing, _CLOSING_MM) & (depth > _SCALP_MM)
    # Last, since an erosion at this cut would take the cerebellum away.
    mask &= _depth_below_top_mm(head, affine) < _BRAIN_DEPTH_MM
    mask = ndimage.binary_fill_holes(_largest(mask))

    volume_ml = float(mask.sum() * np.prod(spacing)) / 1e3
    if volume_ml < 300.0:
        raise InputError(
            f"an image in which the skull strip finds {volume_ml:.0f} mL of brain",
            "a T1-like MR image of a whole head",
            "give a brain_mask or tissue maps instead",
        )
    return np.asarray(mask, bool)


def otsu_threshold(values: np.ndarray) -> float:
    """Otsu's threshold: the cut of the histogram (256 bins, top 0.5 % clipped) with the largest variance
    between its two parts.
    """
    low, high = np.percentile(values, [0.0, 99.5])
    if not high > low:
        raise InputError("an image of one constant value", "an MR image", "check the file")
    counts, edges = np.histogram(np.clip(values, low, high), bins=256)
    middle = 0.5 * (edges[:-1] + edges[1:])
    weight, moment = np.cumsum(counts)[:-1].astype(float), np.cumsum(counts * middle)[:-1]
    rest, rest_moment = counts.sum() - weight, (counts * middle).sum() - moment
    # Minimum and maximum lie in the first and last bin, so neither part is ever empty.
    between = weight * rest * (moment / weight - rest_moment / rest) ** 2
    return float(edges[1:-1][between.argmax()])


def _distance_mm(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Distance of each set voxel to the nearest one that is not set, in mm (infinite if there is none)."""
    from scipy import ndimage

    if mask.all():
        return np.full(mask.shape, np.inf)
    return ndimage.distance_transform_edt(mask, sampling=spacing)


def _closed(mask: np.ndarray, spacing: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    """Morphological closing with a ball."""
    pad = [int(np.ceil(radius_mm / s)) + 1 for s in spacing]
    grown = _distance_mm(~np.pad(mask, [(p, p) for p in pad]), spacing) <= radius_mm
    inner = tuple(slice(p, -p) for p in pad)
    return (_distance_mm(grown, spacing) > radius_mm)[inner]


def _largest(mask: np.ndarray, share: float = 1.0) -> np.ndarray:
    """The face-connected components that have at least this share of the largest one's voxels."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if count <= 1:
        return np.asarray(mask, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = sizes >= share * sizes.max()
    kept[0] = False
    return kept[labels]


def _depth_below_top_mm(head: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """How far each voxel lies below the highest voxel of the head, along world z, in mm."""
    i, j, k = np.ogrid[tuple(slice(0, n) for n in head.shape)]
    z = affine[2, 0] * i + affine[2, 1] * j + affine[2, 2] * k
    return float(z[head].max()) - z if head.any() else np.zeros(head.shape)


def _span(mask: np.ndarray, axis: int) -> np.ndarray:
    """Everything between the first and the last set voxel of each line along an axis."""
    from_start = np.maximum.accumulate(mask, axis)
    from_end = np.flip(np.maximum.accumulate(np.flip(mask, axis), axis), axis)
    return from_start & from_end
