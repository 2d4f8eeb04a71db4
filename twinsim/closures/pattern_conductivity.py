"""From the pattern of a tissue to what it conducts as a whole, by a small convolutional network between bounds."""

from functools import partial
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from physics.closure import Variable
from physics.mixing_laws import layer_bounds
from twinsim.closures.learned import KeptModel

CHANNELS = 4  # of a pattern: see channels_of
FLOOR = 1e-3  # of the largest conductivity: below it a face counts as closed for the logarithm


class PatternNetwork(nnx.Module):
    """Layers that halve a periodic pattern, each on four by four voxels around two by two; then means and a perceptron.

    Beside the features of the layer before, each layer sees the conductivities of the pattern halved as often by :func:`coarser`, a fixed
    renormalisation; the perceptron sees what that leaves of the whole pattern. Patches are gathered by shifts and multiplied as matrices,
    which on CPU takes a tenth of the time of a convolution of so few channels.

    Args:
        widths: Features after each halving.
        hidden: Units of the perceptron.
        rngs: Where the weights come from; the last layer is a tenth as large, so that an untrained network says nearly nothing.
    """

    def __init__(self, widths: tuple[int, ...], hidden: int, *, rngs: nnx.Rngs) -> None:
        he = jax.nn.initializers.he_normal()
        wide = [16 * (before + CHANNELS) for before in (0, *widths[:-1])]
        self.weights = nnx.List([nnx.Param(he(rngs.params(), (m, n), jnp.float32)) for m, n in zip(wide, widths, strict=True)])
        self.shifts = nnx.List([nnx.Param(jnp.zeros(n, jnp.float32)) for n in widths])
        self.first = nnx.Param(he(rngs.params(), (widths[-1] + 4 * (len(widths) + 1) + 4, hidden), jnp.float32))
        self.second = nnx.Param(he(rngs.params(), (hidden, hidden), jnp.float32))
        self.last = nnx.Param(0.1 * he(rngs.params(), (hidden, 3), jnp.float32))
        self.biases = nnx.List([nnx.Param(jnp.zeros(n, jnp.float32)) for n in (hidden, hidden, 3)])

    def __call__(self, conductivities: Float[Array, "2 x y"]) -> Float[Array, " 3"]:
        """Three numbers of a symmetric matrix, from conductivities of at most one."""
        features: Any = None
        pattern, bounds = conductivities, [jnp.concatenate(layer_bounds(conductivities))]
        for weight, shift in zip(self.weights, self.shifts, strict=True):
            seen = jnp.moveaxis(channels_of(pattern), 0, -1)
            seen = seen if features is None else jnp.concatenate([features, seen], axis=-1)
            features = jax.nn.gelu(_patches(seen) @ weight[...].astype(seen.dtype) + shift[...].astype(seen.dtype)[None, None])
            pattern = coarser(pattern)
            bounds.append(jnp.concatenate(layer_bounds(pattern)))
        while pattern.shape[1] % 2 == 0:
            pattern = coarser(pattern)
        known = jnp.concatenate([*bounds, jnp.mean(pattern, axis=(1, 2)), jnp.mean(conductivities, axis=(1, 2))])
        unit = jnp.concatenate([features.mean(axis=(0, 1)), 1 + jnp.log(known + FLOOR) / 7])
        unit = jax.nn.gelu(_dense(unit, self.first, self.biases[0]))
        unit = unit + jax.nn.gelu(_dense(unit, self.second, self.biases[1]))
        return _dense(unit, self.last, self.biases[2])


def _dense(unit: Array, weight: nnx.Param, bias: nnx.Param) -> Array:
    return unit @ weight[...].astype(unit.dtype) + bias[...].astype(unit.dtype)


def channels_of(conductivities: Float[Array, "2 x y"]) -> Float[Array, "4 x y"]:
    """Roots and logarithms: closed faces, and junctions that conduct little, differ in both."""
    return jnp.concatenate([jnp.sqrt(conductivities), 1 + jnp.log(conductivities + FLOOR) / 7])


def coarser(conductivities: Float[Array, "2 x y"]) -> Float[Array, "2 a b"]:
    """A pattern of half as many voxels: per face the mean of two lines in parallel, of two faces each in series, and of the reverse.

    Source: the two orders are the bounds of a block; Migdal (1976), Sov. Phys. JETP 42, 743, and Kadanoff (1976), Ann. Phys. 100, 359, move
    bonds likewise.
    """
    halves = []
    for axis, face in enumerate(conductivities):
        first = face if axis == 0 else face.T
        a, b = first[::2], first[1::2]
        lines = _series(a, b)
        lines = (lines[:, ::2] + lines[:, 1::2]) / 2
        planes = _series((a[:, ::2] + a[:, 1::2]) / 2, (b[:, ::2] + b[:, 1::2]) / 2)
        half = (lines + planes) / 2
        halves.append(half if axis == 0 else half.T)
    return jnp.stack(halves)


def _series(a: Array, b: Array) -> Array:
    total = a + b
    return 2 * a * b / jnp.where(total > 0, total, 1)


def _patches(field: Float[Array, "x y channels"]) -> Float[Array, "a b patch"]:
    """The four by four voxels around each two by two."""
    padded = jnp.pad(field, [(1, 1), (1, 1), (0, 0)], mode="wrap")
    x, y, channels = padded.shape
    blocks = padded.reshape(x // 2, 2, y // 2, 2, channels).transpose(0, 2, 1, 3, 4).reshape(x // 2, y // 2, 4 * channels)
    return jnp.concatenate([blocks[:-1, :-1], blocks[1:, :-1], blocks[:-1, 1:], blocks[1:, 1:]], axis=-1)


class PatternConductivity(KeptModel):
    r"""$D = \mathrm{diag}\,l + \mathrm{diag}(u-l)^{1/2}\,S\,\mathrm{diag}(u-l)^{1/2}$ with $0\le S\le1$ from a network.

    $l, u$ are the bounds of :func:`physics.mixing_laws.layer_bounds`, between which the tensor of every pattern lies, so $D$ is symmetric
    positive semidefinite and a pattern of layers is exact, trained or not. $S$ is the mean of what the network says of the eight images of
    the pattern under turns by 90° and mirrors, each turned back: $D$ turns with the pattern, exactly. Conductivities may have any unit and
    size, $D(c\,\sigma) = c\,D(\sigma)$.

    Args:
        network: Any function of conductivities (the largest one) that returns three numbers; :class:`PatternNetwork`.
    """

    network: PatternNetwork
    # Any unit will do: the tensor has that of the pattern.
    inputs: tuple[Variable, ...] = eqx.field(
        static=True, default=(Variable("conductivity_along_x", "1"), Variable("conductivity_along_y", "1"))
    )
    outputs: tuple[Variable, ...] = eqx.field(static=True, default=(Variable("effective_conductivity", "1"),))
    kind: ClassVar[str] = "pattern_conductivity"

    @classmethod
    def create(cls, seed: int, widths: tuple[int, ...] = (12, 16, 24), hidden: int = 64) -> "PatternConductivity":
        """An untrained one."""
        return cls(network=PatternNetwork(widths, hidden, rngs=nnx.Rngs(seed)))

    def architecture(self) -> dict[str, Any]:
        """See :class:`twinsim.closures.learned.KeptModel`."""
        return {"widths": [shift[...].shape[0] for shift in self.network.shifts], "hidden": self.network.second[...].shape[0]}

    @classmethod
    def skeleton(cls, architecture: dict[str, Any], inputs: tuple[Variable, ...], outputs: tuple[Variable, ...]) -> "PatternConductivity":
        """A model of the same structure with arrays that are to be replaced."""
        del inputs, outputs
        return cls.create(0, tuple(architecture["widths"]), architecture["hidden"])

    def __call__(self, conductivities: Float[Array, "2 x y"]) -> Float[Array, "2 2"]:
        """The tensor, in the unit of the conductivities (of :func:`solvers.homogenise`); ``jax.vmap`` for many."""
        side = 2 ** len(self.network.weights)
        if conductivities.shape[1] != conductivities.shape[2] or conductivities.shape[1] % side:
            raise ValueError(
                f"got a pattern of {conductivities.shape[1:]} voxels; expected a square of a multiple of {side}; do: cut squares out of it"
            )
        views = jnp.stack([image(conductivities, number) for number in range(8)])
        back = jnp.stack([turned_back(share, number) for number, share in enumerate(jax.vmap(self.share)(views))])
        return between(conductivities, jnp.mean(back, axis=0))

    def once(self, conductivities: Float[Array, "2 x y"]) -> Float[Array, "2 2"]:
        """The tensor from the pattern as it stands alone: an eighth of the cost, for training on turned patterns."""
        return between(conductivities, self.share(conductivities))

    def share(self, conductivities: Float[Array, "2 x y"]) -> Float[Array, "2 2"]:
        """S of one view of the pattern."""
        size = jnp.max(conductivities)
        return squashed(self.network(conductivities / jnp.where(size > 0, size, 1)))


def squashed(entries: Float[Array, " 3"]) -> Float[Array, "2 2"]:
    r"""The logistic function of the symmetric matrix $\begin{pmatrix}a&c\\c&b\end{pmatrix}$: eigenvalues between zero and one."""
    a, b, c = entries
    middle, half = (a + b) / 2, (a - b) / 2
    radius = jnp.sqrt(half**2 + c**2 + 1e-12)
    above, below = jax.nn.sigmoid(middle + radius), jax.nn.sigmoid(middle - radius)
    slope = (above - below) / (2 * radius)
    mean = (above + below) / 2
    return jnp.stack([jnp.stack([mean + slope * half, slope * c]), jnp.stack([slope * c, mean - slope * half])])


def between(conductivities: Float[Array, "2 x y"], share: Float[Array, "2 2"]) -> Float[Array, "2 2"]:
    """From the share of the way between the bounds to the tensor."""
    low, high = layer_bounds(conductivities)
    gap = high - low
    root = jnp.where(gap > 0, jnp.sqrt(jnp.where(gap > 0, gap, 1)), 0)
    return jnp.diag(low) + root[:, None] * share * root[None, :]


@partial(jax.jit, static_argnames="number")
def image(conductivities: Float[Array, "2 x y"], number: int) -> Float[Array, "2 x y"]:
    """One of the eight images of a pattern: bit 0 mirrors x, bit 1 mirrors y, then bit 2 exchanges the axes."""
    along, across = conductivities
    for axis in (0, 1):
        if number >> axis & 1:
            along, across = jnp.flip(along, axis), jnp.flip(across, axis)
            # The face above a voxel is that below its image.
            along, across = (jnp.roll(along, -1, 0), across) if axis == 0 else (along, jnp.roll(across, -1, 1))
    return jnp.stack([across.T, along.T]) if number >> 2 & 1 else jnp.stack([along, across])


def turned_back(tensor: Float[Array, "2 2"], number: int) -> Float[Array, "2 2"]:
    """The tensor of a pattern from that of its image."""
    tensor = tensor[::-1, ::-1] if number >> 2 & 1 else tensor
    sign = jnp.asarray([-1.0 if number & 1 else 1.0, -1.0 if number >> 1 & 1 else 1.0], tensor.dtype)
    return tensor * sign[:, None] * sign[None, :]
