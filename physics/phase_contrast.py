r"""Phase-contrast magnetic resonance: what a scanner makes of a field of velocity, one image per direction of encoding."""

from functools import lru_cache

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Complex, Float

Volumes = Float[Array, "direction x y z"]
Images = Complex[Array, "direction i j k"]


class PhaseContrast(eqx.Module):
    r"""$y_c = T\,\big(a\,e^{i\pi v_c/V_c}\big)$: magnitude $a$, velocity $v$, encoding velocity $V$; $T$ keeps the centre of k-space.

    With $n$ fine and $m$ coarse voxels along an axis, $T$ is there the discrete Fourier transform of length $n$, of which the $m$ lowest
    frequencies $-\lfloor m/2\rfloor \dots$ are transformed back, over $n/m$ so that what is constant stays so. Coarse voxel $i$ lies at
    fine voxel $in/m$. It is applied as one complex matrix per axis, differentiable in both modes; the adjoint is that of ``jax.vjp``.

    **To first order** in the spread of the phase within a voxel the velocity seen is $\Re T(av_c)/\Re T(a)$, the mean weighted by the
    magnitude (:meth:`weighted_mean`); the next term is of third order (of second for even numbers of coarse
    voxels in what is at their highest frequency, which they have on one side only), below the noise for encoding velocities
    above about twice the spread.

    Fails: the box is taken as periodic. A vessel that is cut by a face of the box rings across to the opposite face: leave out the
    outermost coarse voxels of a real scan. Motion during the readout, relaxation and eddy currents are not in it.

    Args:
        encoding: $V_c>0$, in the unit of velocity, one number or one per direction.
        shape: Fine voxels.
        coarse: Coarse voxels, along no axis more than fine ones.

    Raises:
        ValueError: An encoding velocity that is not positive, or more coarse than fine voxels.

    Source: Pelc et al. (1991), Magn. Reson. Q. 7, 229 (encoding); truncation of k-space as model of resolution: Ferdian et al. (2020),
    Front. Phys. 8, 138.
    """

    encoding: Float[Array, "3"]
    shape: tuple[int, int, int] = eqx.field(static=True)
    coarse: tuple[int, int, int] = eqx.field(static=True)

    def __init__(self, encoding: ArrayLike, shape: tuple[int, int, int], coarse: tuple[int, int, int]) -> None:
        given = np.asarray(encoding, float)
        if not (np.isfinite(given) & (given > 0)).all():
            raise ValueError(f"got encoding velocity {encoding}; expected positive numbers; do: read venc from the header, in m/s")
        if any(m > n or m < 1 for m, n in zip(coarse, shape, strict=True)):
            raise ValueError(f"got {coarse} coarse voxels for {shape} fine ones; expected no more of them; do: swap the two")
        self.encoding = jnp.broadcast_to(jnp.asarray(given), (3,))
        self.shape, self.coarse = shape, coarse

    def truncated(self, field: Complex[Array, "*batch x y z"]) -> Complex[Array, "*batch i j k"]:
        """$T$ applied to the last three axes."""
        for axis, (n, m) in enumerate(zip(self.shape, self.coarse, strict=True)):
            matrix = jnp.asarray(truncation(n, m), field.dtype)
            moved = jnp.tensordot(matrix, field, (1, axis + field.ndim - 3), precision=lax.Precision.HIGHEST)
            field = jnp.moveaxis(moved, 0, axis + field.ndim - 3)
        return field

    def images(self, magnitude: Float[Array, "x y z"], velocity: Volumes) -> Images:
        """Complex coarse images without noise."""
        phase = jnp.pi * velocity / self.encoding[:, None, None, None]
        return self.truncated(magnitude[None] * jnp.exp(1j * phase))

    def velocity(self, images: Images) -> Float[Array, "direction i j k"]:
        r"""$V\arg(y)/\pi$, within $\pm V$."""
        return self.encoding[:, None, None, None] / jnp.pi * jnp.angle(images)

    def weighted_mean(self, magnitude: Float[Array, "x y z"], velocity: Volumes) -> Float[Array, "direction i j k"]:
        r"""$\Re T(av)/\Re T(a)$; not finite where no magnitude is."""
        seen = self.truncated((magnitude[None] * velocity).astype(jnp.result_type(velocity, jnp.complex64))).real
        return seen / self.truncated(magnitude.astype(jnp.result_type(magnitude, jnp.complex64))).real[None]

    def filled(self, images: Images) -> Complex[Array, "direction x y z"]:
        """Images on the fine voxels with zeros for the frequencies that were not measured: the interpolation that adds nothing."""
        field = images
        for axis, (n, m) in enumerate(zip(self.shape, self.coarse, strict=True)):
            matrix = jnp.asarray(truncation(n, m).conj().T * (n / m), field.dtype)
            field = jnp.moveaxis(jnp.tensordot(matrix, field, (1, axis + 1), precision=lax.Precision.HIGHEST), 0, axis + 1)
        return field


@lru_cache(maxsize=16)
def truncation(fine: int, coarse: int) -> np.ndarray:
    """The matrix of one axis, coarse by fine; see :class:`PhaseContrast`."""
    waves = np.fft.fftfreq(coarse, 1 / coarse)
    back = np.exp(2j * np.pi * np.outer(np.arange(coarse), waves) / coarse)
    return back @ np.exp(-2j * np.pi * np.outer(waves, np.arange(fine)) / fine) / fine


def phase_noise(encoding: ArrayLike, ratio: ArrayLike, images: int = 2) -> Array:
    r"""$\sigma_v = \sqrt{n}\,V/(\pi\,\mathrm{SNR})$, standard deviation of a velocity from $n$ phases, in the unit of $V$.

    Args:
        encoding: $V$.
        ratio: Magnitude over the standard deviation of the real (or imaginary) part; good above about 3, below it phases wrap.
        images: 2 for a reference and an encoded image ($\sqrt2\,V/(\pi\,\mathrm{SNR})$); 1 for a single image with a known zero.

    Source: Gudbjartsson, Patz (1995), Magn. Reson. Med. 34, 910; Pelc et al. (1991), Magn. Reson. Q. 7, 229.
    """
    return jnp.asarray(encoding) * np.sqrt(images) / (jnp.pi * jnp.asarray(ratio))


def wrapped(velocity: ArrayLike, encoding: ArrayLike) -> Array:
    r"""What a velocity beyond $\pm V$ looks like: $v$ less the multiple of $2V$ that leaves it in $[-V, V)$."""
    velocity, encoding = jnp.asarray(velocity), jnp.asarray(encoding)
    return (velocity + encoding) % (2 * encoding) - encoding


def image_noise(images: Complex[Array, "direction i j k"] | np.ndarray) -> float:
    """Standard deviation of the real part, from the corners of k-space, where a vessel of several voxels has next to nothing.

    Corners: more than three quarters of the highest frequency along all axes. Too high for vessels thinner than about three voxels;
    with fewer than about twelve coarse voxels an axis a handful of values is left and the estimate is off by tens of percent.
    """
    given = np.asarray(images)
    shape = given.shape[1:]
    high = [np.abs(np.fft.fftfreq(n)) * 2 > 0.75 for n in shape]
    corner = high[0][:, None, None] & high[1][:, None] & high[2]
    power = np.abs(np.fft.fftn(given, axes=(1, 2, 3))[:, corner]) ** 2
    return float(np.sqrt(power.mean() / np.prod(shape) / 2))
