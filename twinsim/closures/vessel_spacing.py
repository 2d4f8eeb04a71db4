"""How capillaries lie in a voxel, as a learned law sees it; shared by oxygen and drugs."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from physics import Variable
from twinsim.errors import InputError

SPACING = tuple(
    Variable(name, "1") for name in ("logarithm_of_density", "logarithm_of_mean_distance", "logarithm_of_root_mean_square_distance")
)
FEWEST = 1.0  # capillaries per mm²: below it a network is asked for this many


def spacing_features(
    density: Float[Array, " voxels"], mean_distance: Float[Array, " voxels"], square_distance: Float[Array, " voxels"]
) -> tuple[Array, Array, Array]:
    r"""Logarithms of density and of distances to the next capillary over those of capillaries at random, $1/2\sqrt n$, $1/\sqrt{\pi n}$."""
    n = jnp.maximum(density, FEWEST)
    return jnp.log(n), jnp.log(2 * jnp.sqrt(n) * mean_distance), jnp.log(jnp.sqrt(jnp.pi * n) * square_distance)


def check_columns(columns: Any, zero: tuple[str, ...]) -> None:
    """Refuses what would be a silent NaN; traced values pass.

    Args:
        columns: A named tuple of one array per quantity, ``density`` first.
        zero: Names of those that may be zero.

    Raises:
        InputError: Columns of different lengths, numbers that are not finite or negative, or zero where a logarithm is taken.
    """
    shape = jnp.shape(columns[0])
    for name, values in zip(columns._fields, columns, strict=True):
        if len(shape) != 1 or jnp.shape(values) != shape:
            raise InputError(
                f"{name} of shape {jnp.shape(values)} with density of shape {shape}", "one number per voxel", f"flatten all {len(columns)}"
            )
        if isinstance(values, Tracer):
            continue
        numbers = np.asarray(values)
        fine = np.isfinite(numbers) & ((numbers >= 0) if name in zero else (numbers > 0))
        if not fine.all():
            number = int(np.argmin(fine))
            raise InputError(
                f"{name} {numbers[number]:g} in voxel {number}",
                f"a finite number {'not below' if name in zero else 'above'} 0",
                "check its sign and unit, leave out voxels without tissue",
            )
