"""A neural operator on boxes whose walls let nothing through: Fourier's, with cosines in place of waves."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from solvers.linear.transforms import basis


class CosineConvolution(nnx.Module):
    r"""$y = T^{-1}\,W\,T x$ with the cosine transform $T$ along both axes, cut off, and one matrix of channels per pair of modes.

    Cosines at voxel centres are even round every wall, so the output obeys $\partial_n y = 0$ as the fields of no-flux problems do,
    where waves would carry what leaves on one side in on the other. The weights do not know the grid: the same layer works on
    any number of voxels above ``modes`` per axis. A multiplier of cosines is an even kernel: mirrored fields give mirrored answers.

    Args:
        channels: In and out.
        modes: Kept per axis.
        dtype: Of the weights.
        rngs: Weights are normal with variance 1 / channels.
    """

    def __init__(self, channels: int, modes: int, dtype: jnp.dtype, *, rngs: nnx.Rngs) -> None:
        normal = jax.random.normal(rngs.params(), (modes, modes, channels, channels), dtype)
        self.weights = nnx.Param(normal / np.sqrt(channels))

    def __call__(self, field: Float[Array, "channels x y"]) -> Float[Array, "channels x y"]:
        modes = self.weights.shape[0]
        first, second = (jnp.asarray(basis(n, "no flux")[0][:modes], field.dtype) for n in field.shape[1:])
        amplitudes = jnp.einsum("kx,cxy,ly->klc", first, field, second, optimize=True)
        mixed = jnp.einsum("kldc,klc->kld", self.weights[...], amplitudes)
        return jnp.einsum("kx,klc,ly->cxy", first, mixed, second, optimize=True)


class CosineOperator(nnx.Module):
    r"""$v_0 = P x$; $v_{j+1} = a(C_j v_j + W_j v_j + b_j)$; $y = Q\,a(R v_n)$, with :class:`CosineConvolution` $C_j$ and $a$ = gelu.

    Args:
        sizes: Components in, channels, components out.
        layers: $n$.
        modes: Kept per axis.
        dtype: Of the weights.
        rngs: Where the weights come from; the last layer is a tenth of normal, so that an untrained operator says nearly nothing.

    Source: Li et al. (2021), ICLR, arXiv 2010.08895, equations 2 to 5; with cosines as transform.
    """

    def __init__(self, sizes: tuple[int, int, int], layers: int, modes: int, dtype: jnp.dtype, *, rngs: nnx.Rngs) -> None:
        inputs, channels, outputs = sizes

        def dense(given: int, wanted: int, factor: float = 1.0) -> nnx.Param:
            return nnx.Param(factor * jax.random.normal(rngs.params(), (wanted, given), dtype) / np.sqrt(given))

        self.lift = dense(inputs, channels)
        self.convolutions = nnx.List([CosineConvolution(channels, modes, dtype, rngs=rngs) for _ in range(layers)])
        self.local = nnx.List([dense(channels, channels) for _ in range(layers)])
        self.biases = nnx.List([nnx.Param(jnp.zeros(channels, dtype)) for _ in range(layers)])
        self.hidden = dense(channels, 2 * channels)
        self.project = dense(2 * channels, outputs, 0.1)

    def __call__(self, fields: Float[Array, "inputs x y"]) -> Float[Array, "outputs x y"]:
        """One member; ``jax.vmap`` for more."""
        state = jnp.tensordot(self.lift[...], fields, axes=1)
        for convolution, local, bias in zip(self.convolutions, self.local, self.biases, strict=True):
            near = jnp.tensordot(local[...], state, axes=1) + bias[...][:, None, None]
            state = jax.nn.gelu((convolution(state) + near) / np.sqrt(2))
        return jnp.tensordot(self.project[...], jax.nn.gelu(jnp.tensordot(self.hidden[...], state, axes=1)), axes=1)
