"""Classical laws of what a mixture conducts, from its composition alone: bounds, effective media, percolation."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float


def layer_bounds(conductivities: Float[Array, "axes *cell"]) -> tuple[Float[Array, " axes"], Float[Array, " axes"]]:
    r"""Lower and upper bounds of a periodic lattice's effective tensor: $\mathrm{diag}\,l\le D\le\mathrm{diag}\,u$ as matrices.

    $l_a$: lines along $a$ that exchange nothing, each its harmonic mean, in parallel. $u_a$: planes across $a$ of one potential each, their
    arithmetic means in series. They are Thomson's and Dirichlet's principles for fields that depend on one coordinate, hence hold for the
    whole matrix, and are closer than Wiener's means of all faces.

    Args:
        conductivities: As of :func:`solvers.homogenise`.

    Returns:
        $l$ and $u$ per axis, in the unit of what was given; $l$ is zero where every line has a closed face.

    Source: Rayleigh (1899), Scientific Papers IV (cut and held); Wiener (1912), Abh. Math.-Phys. Kl. Königl. Sächs.
    Ges. 32, 509, of all faces.
    """
    low, high = [], []
    for axis, face in enumerate(conductivities):
        others = tuple(a for a in range(face.ndim) if a != axis)
        low.append(jnp.mean(_harmonic(face, axis)))
        high.append(_harmonic(jnp.mean(face, axis=others), 0))
    return jnp.stack(low), jnp.stack(high)


def hashin_shtrikman(fraction: ArrayLike, inclusion: ArrayLike, matrix: ArrayLike, dimensions: int = 2) -> tuple[Array, Array]:
    r"""Bounds of any isotropic mixture: $\sigma_m + f\big/\big(\tfrac1{\sigma_i-\sigma_m}+\tfrac{1-f}{d\sigma_m}\big)$ and its mirror.

    Args:
        fraction: $f$ of the inclusions, 0 to 1.
        inclusion: $\sigma_i$, not negative.
        matrix: $\sigma_m$, positive.
        dimensions: $d$, 2 or 3.

    Returns:
        The lower and the upper one, in the unit of the conductivities; zero for the lower where one of them is zero.

    Source: Hashin, Shtrikman (1962), J. Appl. Phys. 33, 3125, equations 3.21 and 3.22.
    """
    f, a, b = jnp.asarray(fraction), jnp.asarray(inclusion), jnp.asarray(matrix)
    of_matrix, of_inclusion = _coated(f, a, b, dimensions), _coated(1 - f, b, a, dimensions)
    return jnp.minimum(of_matrix, of_inclusion), jnp.maximum(of_matrix, of_inclusion)


def maxwell(fraction: ArrayLike, inclusion: ArrayLike, matrix: ArrayLike, dimensions: int = 2) -> Array:
    """Round inclusions far apart in a matrix: one side of :func:`hashin_shtrikman`. Maxwell (1873), *Treatise*, article 314."""
    return _coated(jnp.asarray(fraction), jnp.asarray(inclusion), jnp.asarray(matrix), dimensions)


def dilute(fraction: ArrayLike, slope: ArrayLike) -> Array:
    r"""$\max(0, 1 - s f)$ of the matrix: what few blocks take, each alone.

    Args:
        fraction: $f$ of blocked faces or voxels.
        slope: $s$; on a square lattice 2 for faces and $\\pi$ for voxels (:func:`physics.effective_conductivity`), 2 for discs.
    """
    return jnp.maximum(0, 1 - jnp.asarray(slope) * jnp.asarray(fraction))


def bruggeman(fraction: ArrayLike, inclusion: ArrayLike, matrix: ArrayLike, dimensions: int = 2) -> Array:
    r"""The effective medium in which grains of both disturb nothing on average: $\sum_k f_k\,(\sigma_k-\sigma)/(\sigma_k+(d-1)\sigma) = 0$.

    Arguments as of :func:`hashin_shtrikman`. With $\sigma_i = 0$ it is $1 - f d/(d-1)$ of the matrix: it percolates at $1 - f = 1/d$,
    wherever the true threshold is. Source: Bruggeman (1935), Ann. Phys. 416, 636; Kirkpatrick (1973), Rev. Mod. Phys. 45, 574.
    """
    f, a, b = jnp.asarray(fraction), jnp.asarray(inclusion), jnp.asarray(matrix)
    others = dimensions - 1
    linear = (f * dimensions - 1) * a + ((1 - f) * dimensions - 1) * b
    return (linear + jnp.sqrt(linear**2 + 4 * others * a * b)) / (2 * others)


def percolation(fraction: ArrayLike, threshold: ArrayLike, exponent: ArrayLike = 1.3) -> Array:
    r"""$(1 - f/f_c)^t$ of the matrix below the threshold $f_c$, zero above.

    Args:
        fraction: $f$ that does not conduct.
        threshold: $f_c$: 0.407 for independent voxels of a square lattice, 0.5 for faces, 0.688 and 0.751 for a cubic one.
        exponent: $t$, near the threshold about 1.3 in two and 2.0 in three dimensions.

    Right only near the threshold of large pieces: far below it the slope at $f = 0$ is that of :func:`dilute`. Source: Stauffer, Aharony
    (1994), *Introduction to Percolation Theory*, section 5.1.
    """
    left = jnp.maximum(0, 1 - jnp.asarray(fraction) / jnp.asarray(threshold))
    return jnp.where(left > 0, jnp.where(left > 0, left, 1) ** jnp.asarray(exponent), 0)


def _harmonic(values: Array, axis: int) -> Array:
    open_ = jnp.min(values, axis=axis) > 0
    safe = jnp.where(jnp.expand_dims(open_, axis), values, 1)
    return jnp.where(open_, 1 / jnp.mean(1 / safe, axis=axis), 0)


def _coated(f: Array, inclusion: Array, matrix: Array, dimensions: int) -> Array:
    """Inclusions with coats of the matrix: written without a division by the difference, which may be zero."""
    contrast = inclusion - matrix
    below = dimensions * matrix + (1 - f) * contrast
    return matrix + jnp.where(below > 0, dimensions * f * matrix * contrast / jnp.where(below > 0, below, 1), 0)
