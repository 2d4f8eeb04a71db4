"""How much tissue a field activates: the part of each voxel in which it exceeds a threshold."""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

SUBVOXELS = 4  # per edge


def activated_share(
    strength: Float[Array, "x y z"], threshold: ArrayLike, mask: Bool[Array, "x y z"], subvoxels: int = SUBVOXELS
) -> Float[Array, "x y z"]:
    r"""Share of each voxel in which the strength exceeds the threshold, 0 to 1; zero outside of the mask.

    In a voxel $f = \ln(s/s_0)$ is continued linearly with the differences to its neighbours, and the part with $f>0$ is
    taken on $n^3$ smaller cubes, each cut by a plane: $\mathrm{clip}(\tfrac12 + f/w)$ with $w=|\nabla f|_1\,h/n$. Continuous, and
    differentiable but where a plane just touches a cube. Logarithms, since fields of electrodes fall as powers of the distance.

    Args:
        strength: $s \ge 0$, of :func:`physics.strength` or any other measure of one sign, such as a second difference.
        threshold: $s_0$, in its unit; 0.2 V/mm is in common use for axons of some 3 µm and pulses of 60 µs.
        mask: Where strength means something.
        subvoxels: $n$.

    Source of the threshold: Alonso, Latorre, Göransson, Zsigmond, Wårdell (2016), Brain Sci. 6, 39 (0.2 V/mm from models of neurons).
    """
    f = jnp.log(jnp.maximum(strength, 1e-12)) - jnp.log(jnp.asarray(threshold))
    slopes = []
    for axis in range(3):
        ahead, behind = _difference(f, mask, axis)
        slopes.append((ahead[0] + behind[0]) / jnp.maximum(ahead[1] + behind[1], 1))
    width = sum(jnp.abs(slope) for slope in slopes) / subvoxels + 1e-9
    places = (np.arange(subvoxels) + 0.5) / subvoxels - 0.5
    total = jnp.zeros_like(f)
    for x in places:
        for y in places:
            for z in places:
                total = total + jnp.clip(0.5 + (f + x * slopes[0] + y * slopes[1] + z * slopes[2]) / width, 0, 1)
    return jnp.where(mask, total / subvoxels**3, 0)


def activated_volume(strength: Float[Array, "x y z"], threshold: ArrayLike, mask: Bool[Array, "x y z"], voxel_volume: float) -> Array:
    """Of :func:`activated_share`, mm³."""
    return voxel_volume * activated_share(strength, threshold, mask).sum()


def _difference(f: Array, mask: Array, axis: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """To the next and from the last voxel along an axis, and one where there is such a neighbour."""
    inner = np.ones(f.shape, bool)
    last = [slice(None)] * 3
    last[axis] = slice(-1, None)
    inner[tuple(last)] = False
    joined = mask & jnp.roll(mask, -1, axis) & inner
    step = jnp.where(joined, jnp.roll(f, -1, axis) - f, 0)
    number = joined.astype(f.dtype)
    return (step, number), (jnp.roll(step, 1, axis), jnp.roll(number, 1, axis))
