"""An operator as a sum of products: what the whole input says, times where one looks."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from twinsim.closures.perceptron import Perceptron


class DeepOperator(nnx.Module):
    r"""$y_c(x) = \tfrac1{\sqrt p}\sum_{k\le p} b_{ck}(\text{sensors})\,t_k(x)$: DeepONet with a perceptron as branch and one as trunk.

    The sensors are means of the input over ``sensors`` by ``sensors`` blocks; whatever is finer, the operator does not see. Places are the
    voxel centres in units of the box, so that the answer can be had on any grid that the blocks divide.

    Args:
        sizes: Components in, units of the hidden layers, components out.
        layers: Hidden layers of branch and trunk.
        sensors: Blocks per axis.
        rank: $p$.
        dtype: Of the weights.
        rngs: Where the weights come from.

    Fails: on inputs whose answers do not lie near a fixed linear space of dimension $p$, travelling fronts above all.
    Source: Lu et al. (2021), Nature Machine Intelligence 3, 218, equation 2 (unstacked).
    """

    def __init__(self, sizes: tuple[int, int, int], layers: int, sensors: int, rank: int, dtype: jnp.dtype, *, rngs: nnx.Rngs) -> None:
        inputs, units, outputs = sizes
        self.sensors, self.rank = sensors, rank
        hidden = (units,) * layers
        self.branch = Perceptron((inputs * sensors**2, *hidden, outputs * rank), "gelu", dtype, rngs=rngs)
        self.trunk = Perceptron((2, *hidden, rank), "gelu", dtype, rngs=rngs)
        self.bias = nnx.Param(jnp.zeros(outputs, dtype))

    def __call__(self, fields: Float[Array, "inputs x y"]) -> Float[Array, "outputs x y"]:
        """One member; ``jax.vmap`` for more.

        Raises:
            ValueError: A grid that the sensors do not divide.
        """
        inputs, nx, ny = fields.shape
        if nx % self.sensors or ny % self.sensors:
            raise ValueError(f"got {nx} by {ny} voxels for {self.sensors} sensors per axis; expected multiples; do: resample the field")
        blocks = fields.reshape(inputs, self.sensors, nx // self.sensors, self.sensors, ny // self.sensors).mean((2, 4))
        weights = self.branch(blocks.reshape(-1)).reshape(-1, self.rank)
        x, y = ((jnp.arange(n, dtype=fields.dtype) + 0.5) / n * 2 - 1 for n in (nx, ny))
        places = jnp.stack(jnp.broadcast_arrays(x[:, None], y[None, :]))
        answer = jnp.einsum("cp,pxy->cxy", weights, self.trunk(places)) / jnp.sqrt(float(self.rank)).astype(fields.dtype)
        return answer + self.bias[...][:, None, None]
