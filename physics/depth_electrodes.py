"""What contacts of depth electrodes see of the regions of a brain."""

import numpy as np
from jaxtyping import Float


def depth_electrode_gain(
    contacts_mm: Float[np.ndarray, "contacts 3"], regions_mm: Float[np.ndarray, "regions 3"], extent_mm: float = 10.0
) -> Float[np.ndarray, "contacts regions"]:
    r"""$g_{cr} = \left(1 + |x_c - x_r|^2/\ell^2\right)^{-1}$: the inverse square of the distance, held finite within a region.

    Args:
        contacts_mm: Where contacts are.
        regions_mm: Centres of regions.
        extent_mm: $\ell$, half the width of a region; 5 to 15 mm.

    The square stands for sources that are sheets of dipoles in every direction, as in the Virtual Epileptic Patient (Jirsa et al. 2017,
    NeuroImage 145, 377); direction, tissue and the folds of the cortex are left out. A scale, which is free, is not part of it.

    Raises:
        ValueError: Arrays that are not lists of points, places that are not finite, or an extent that is not above zero.
    """
    for name, points in (("contacts", contacts_mm), ("regions", regions_mm)):
        if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
            raise ValueError(
                f"got {name} of shape {points.shape}; expected x, y, z per row, finite; do: leave out contacts without a place"
            )
    if not extent_mm > 0:
        raise ValueError(f"got an extent of {extent_mm} mm; expected above 0; do: use 10")
    square = ((contacts_mm[:, None] - regions_mm[None]) ** 2).sum(axis=-1)
    return 1 / (1 + square / extent_mm**2)
