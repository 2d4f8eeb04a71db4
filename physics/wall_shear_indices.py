"""Indices of oscillating wall shear stress over a beat."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class ShearIndices(NamedTuple):
    """Per point of the wall.

    Attributes:
        time_averaged: Mean magnitude (TAWSS), in the unit of the stress.
        oscillatory: Oscillatory shear index (OSI), 0 where the direction stays, 0.5 where the mean vector is zero.
        residence: Relative residence time (RRT), one over the unit of the stress; infinite where the mean vector is zero.
        mean: The mean vector.
    """

    time_averaged: Float[Array, " points"]
    oscillatory: Float[Array, " points"]
    residence: Float[Array, " points"]
    mean: Float[Array, "points 3"]


def shear_indices(shear: Float[Array, "times points 3"]) -> ShearIndices:
    r"""Indices of stress vectors at equal distances over a whole beat.

    $$TAWSS=\frac1T\int|\tau|\,dt,\qquad OSI=\frac12\Bigl(1-\frac{|\int\tau\,dt|}{\int|\tau|\,dt}\Bigr),\qquad
    RRT=\frac1{(1-2\,OSI)\,TAWSS}=\frac{T}{|\int\tau\,dt|}.$$

    The mean over equal distances is exact for harmonics up to half of the number of times for the vector; the magnitude has kinks where
    the flow turns, so that its mean is of second order in the distance.

    Args:
        shear: Stress vectors; the last time is one distance before the first of the next beat.

    Source: Ku, Giddens, Zarins, Glagov 1985 (Arteriosclerosis 5:293) for OSI in the vector form of He, Ku 1996 (J Biomech Eng 118:74);
    Himburg et al 2004 (Am J Physiol 286:H1916) for RRT.
    """
    size = jnp.sqrt(jnp.sum(shear**2, axis=-1))
    average, vector = jnp.mean(size, axis=0), jnp.mean(shear, axis=0)
    net = jnp.sqrt(jnp.sum(vector**2, axis=-1))
    still = average == 0
    oscillatory = jnp.where(still, 0.0, 0.5 * (1 - net / jnp.where(still, 1, average)))
    return ShearIndices(average, jnp.clip(oscillatory, 0, 0.5), 1 / net, vector)
