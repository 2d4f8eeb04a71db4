"""Tissue at the scale of single cells: brick-like myocytes, gap junctions at their ends and sides, fibrosis, septa of collagen."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from physics.cell_model import Scalar


class Microstructure(eqx.Module):
    r"""What a layer of tissue is made of, in numbers; :meth:`drawn` makes a pattern of it. Fibres lie along the first axis.

    Attributes:
        fibrosis: Fraction of voxels that do not conduct, 0 to 1.
        patch_long: Correlation length of fibrosis along its own longer axis, voxels; 0 for independent voxels.
        patch_wide: The same across.
        patch_angle: Of that axis to the first axis of the grid, radians.
        septa: Fraction of side faces that are blocked by collagen, 0 to 1.
        septum_length: Correlation length of septa along the fibre, voxels.
        cell_length: Length of a myocyte, voxels; a divisor of the length of the pattern, or bricks do not close around its ends.
        end_junctions: Conductance of the face between two cells end to end, over that of a face inside of a cell; 0 to 1.
        side_junctions: Of a face between two cells side by side, likewise.

    Good values, with voxels of 25 um: cells of 4 voxels (100 um), one wide; ends 0.2 to 1, sides 0.05 to 0.3 of the inside. Cells are one
    voxel wide, all of one length, rows shifted at random, so nothing is said of what happens inside of one. Source of the picture: bricks
    of Spach, Heidlage (1995), Circ. Res. 76, 366; strands of collagen of Spach, Dolber (1986), Circ. Res. 58, 356.
    """

    fibrosis: Float[Array, "*members"]
    patch_long: Float[Array, "*members"]
    patch_wide: Float[Array, "*members"]
    patch_angle: Float[Array, "*members"]
    septa: Float[Array, "*members"]
    septum_length: Float[Array, "*members"]
    cell_length: Float[Array, "*members"]
    end_junctions: Float[Array, "*members"]
    side_junctions: Float[Array, "*members"]

    def drawn(self, shape: tuple[int, int], key: Array) -> tuple[Float[Array, "2 x y"], Bool[Array, "x y"]]:
        """Conductances of the faces to the next voxel along x and y, over that inside of a cell, and which voxels are muscle.

        Args:
            shape: Voxels; the pattern goes on around its ends.
            key: Of the random numbers; the same key gives nested fibrosis and nested septa for rising fractions.

        Traceable: ``jax.vmap`` over modules and keys makes many.
        """
        scattered, lined, shifted = jax.random.split(key, 3)
        patches = oblique_texture(shape, self.patch_long, self.patch_wide, self.patch_angle, scattered)
        muscle = ~highest_fraction(patches, self.fibrosis)
        septa = highest_fraction(oblique_texture(shape, self.septum_length, 0.0, 0.0, lined), self.septa)
        offset = jax.random.randint(shifted, (1, shape[1]), 0, 1 << 16)
        length = jnp.maximum(jnp.round(self.cell_length), 1).astype(int)
        ends = (jnp.arange(shape[0])[:, None] + offset) % length == length - 1
        along = jnp.where(ends, self.end_junctions, 1.0) * (muscle & jnp.roll(muscle, -1, 0))
        across = self.side_junctions * (muscle & jnp.roll(muscle, -1, 1) & ~septa)
        return jnp.stack([along, across]), muscle

    def healthy(self) -> Float[Array, "2 2"]:
        r"""The tensor without fibrosis and septa, of cells with sides that conduct little: $L/(L-1+1/g_e)$ along, $g_s$ across.

        Along is the lower bound of lines on their own; sides that conduct let current step around an end, and it rises.
        """
        length = jnp.maximum(jnp.round(self.cell_length), 1)
        return jnp.diag(jnp.stack([length / (length - 1 + 1 / self.end_junctions), jnp.asarray(self.side_junctions, float)]))


def oblique_texture(
    shape: tuple[int, int], long: Scalar | float, wide: Scalar | float, angle: Scalar | float, key: Array
) -> Float[Array, "x y"]:
    r"""A periodic normal field of variance near one with correlation $e^{-r^2/2\ell^2}$ along and across an oblique axis.

    :func:`physics.texture` for axes at any angle to the grid, lengths $\ell$ in voxels. White noise through the root of the
    spectrum; normalised by its own standard deviation.
    """
    kx, ky = 2 * jnp.pi * jnp.fft.fftfreq(shape[0])[:, None], 2 * jnp.pi * jnp.fft.fftfreq(shape[1])[None, :]
    along, across = kx * jnp.cos(angle) + ky * jnp.sin(angle), ky * jnp.cos(angle) - kx * jnp.sin(angle)
    factor = jnp.exp(-((along * long) ** 2 + (across * wide) ** 2) / 4)
    field = jnp.fft.ifft2(jnp.fft.fft2(jax.random.normal(key, shape)) * factor).real
    return field / jnp.std(field)


def highest_fraction(field: Float[Array, "x y"], fraction: Scalar | float) -> Bool[Array, "x y"]:
    """The places of the highest values, as many as the fraction says, to one voxel."""
    order = jnp.argsort(jnp.argsort(-field.reshape(-1)))
    return (order < jnp.round(jnp.asarray(fraction) * field.size)).reshape(field.shape)
