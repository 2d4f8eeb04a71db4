"""From the pattern of a tissue to what it conducts as a whole: cell problems that are left early, and a small network for the rest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics import Variable
from physics.mixing_laws import layer_bounds
from solvers import truncated_tensors
from twinsim.closures.checkpoint import load_closure, read_about, save_closure
from twinsim.closures.perceptron import PerceptronClosure
from twinsim.errors import InputError

SHIPPED = Path(__file__).parent.parent / "checkpoints" / "pattern_conductivity"
FLOOR = 1e-6  # of the last upper bound's trace: below it logarithms of eigenvalues stop
STEEPEST = 6.0  # logarithm of the largest share of what the last iteration took that may still be missing
ENTRIES = ("xx", "yy", "xy")


class Truncated(NamedTuple):
    """A pattern in a few numbers; leading axes for many.

    Attributes:
        uppers: $U_0\\dots U_n$ of :func:`solvers.truncated_tensors`.
        lows: Lower bounds of layers per axis, $l$ of :func:`physics.layer_bounds`.
        highs: The upper ones, for scales.
    """

    uppers: Float[Array, "*patterns tensors 2 2"]
    lows: Float[Array, "*patterns 2"]
    highs: Float[Array, "*patterns 2"]


class PatternConductivity(eqx.Module):
    r"""$D = l + G^{1/2}\,(1+W^{1/2}e^{M}W^{1/2})^{-1}\,G^{1/2}$ with $G=U_n-l$, $W=G^{-1/2}(U_{n-1}-U_n)G^{-1/2}$ and $M$ from a network.

    $U_n$ is the tensor after $n$ iterations of the cell problem, an upper bound, $l=\mathrm{diag}\,l_a$ the lower bound of layers. So
    $l\le D\le U_n$ as matrices whatever the network says, and where the iterations have converged, $U_{n-1}=U_n$, it says nothing: to first
    order $D=U_n-\Delta^{1/2}e^M\Delta^{1/2}$, the network tells how much of the last decrease $\Delta$ is still to come, from the decreases
    so far and the bounds. $M$ is the mean over the eight images of these tensors under turns by 90° and mirrors, each turned back, hence
    $D$ turns with the pattern to round-off where every halving of its sizes is even, else to what the iterations leave.
    $D(c\,\sigma)=c\,D(\sigma)$. Derivatives are exact for what is returned. Any size is accepted; sizes other than those trained on are
    unproven (the shipped one: 32 x 32 voxels).

    Attributes:
        law: From a few normalised entries of those tensors to the three entries of $M$.
        iterations: $n\ge1$.
    """

    law: PerceptronClosure
    iterations: int = eqx.field(static=True)

    @classmethod
    def create(
        cls, seed: int, iterations: int = 3, hidden: tuple[int, ...] = (32, 32), samples: Truncated | None = None
    ) -> "PatternConductivity":
        """An untrained one.

        Args:
            seed: Of the weights.
            iterations: Of the cell problem.
            hidden: Units of each hidden layer.
            samples: Many patterns, from which scales and the training range are taken.
        """
        inputs = tuple(
            Variable(f"{kind}_{number}_{entry}", "1")
            for number in range(iterations + 3)
            for kind in ("part", "logarithm")
            for entry in ENTRIES
        )
        outputs = tuple(Variable(f"logarithm_of_what_is_left_{entry}", "1") for entry in ENTRIES)
        seen = None
        if samples is not None:
            views = jax.vmap(lambda one: _views(one, iterations))(samples)
            flat = jnp.moveaxis(views, 1, 0).reshape(views.shape[1], -1).astype(jnp.float32)
            seen = (flat, jnp.zeros((3, flat.shape[1]), jnp.float32))
        return cls(
            PerceptronClosure.create(seed, inputs, outputs, samples=seen, hidden=hidden, activation="gelu", dtype=jnp.float32), iterations
        )

    def __call__(self, conductivities: Float[Array, "2 x y"]) -> Float[Array, "2 2"]:
        """The tensor, in the unit of the conductivities (of :func:`solvers.homogenise`); ``jax.vmap`` for many."""
        return self.of(truncated(conductivities, self.iterations))

    def of(self, pattern: Truncated) -> Float[Array, "2 2"]:
        """The tensor from bounds that are known already: training needs no pattern."""
        said = self.law(_views(pattern, self.iterations))
        matrices = jnp.moveaxis(jnp.stack([jnp.stack([said[0], said[2]]), jnp.stack([said[2], said[1]])]), -1, 0)
        missing = jnp.mean(jnp.stack([turned_back(matrix, number) for number, matrix in enumerate(matrices)]), axis=0)
        last, before = pattern.uppers[self.iterations], pattern.uppers[self.iterations - 1]
        low = jnp.diag(pattern.lows)
        gap = last - low
        nothing = FLOOR * jnp.trace(gap) + jnp.finfo(gap.dtype).tiny
        root = of_matrix(gap, _root)
        inverse = of_matrix(gap, lambda v: jnp.where(v > nothing, 1 / _root(jnp.maximum(v, nothing)), 0))
        weight = of_matrix(inverse @ (before - last) @ inverse, _root)
        left = weight @ of_matrix(missing, lambda v: jnp.exp(STEEPEST * jnp.tanh(v / STEEPEST))) @ weight
        share = of_matrix(jnp.eye(2, dtype=left.dtype) + left, lambda v: 1 / v)
        return low + jnp.where(jnp.trace(gap) > 0, root @ share @ root, 0)


def truncated(conductivities: Float[Array, "2 x y"], iterations: int) -> Truncated:
    """What the closure looks at."""
    lows, highs = layer_bounds(conductivities)
    return Truncated(truncated_tensors(conductivities, iterations), lows, highs)


def _views(pattern: Truncated, iterations: int) -> Float[Array, "inputs 8"]:
    """Entries of the last upper bound, the decreases and the bounds of layers over its trace, and of their logarithms, of eight images."""
    uppers = pattern.uppers
    scale = jnp.trace(uppers[iterations])
    scale = jnp.where(scale > 0, scale, 1)
    parts = jnp.stack(
        [uppers[iterations], *(uppers[n] - uppers[n + 1] for n in range(iterations)), jnp.diag(pattern.lows), jnp.diag(pattern.highs)]
    )
    parts = parts / scale
    logs = jax.vmap(lambda part: of_matrix(part, lambda v: jnp.log(jnp.maximum(v, FLOOR)) / 5))(parts)
    both = jnp.stack([parts, logs], axis=1).reshape(-1, 2, 2)
    images = jnp.stack([_turned(both, number) for number in range(8)], axis=-1)
    return jnp.stack([images[:, 0, 0], images[:, 1, 1], images[:, 0, 1]], axis=1).reshape(-1, 8)


def of_matrix(matrix: Float[Array, "2 2"], function: Callable[[Array], Array]) -> Float[Array, "2 2"]:
    """A function of a symmetric matrix, on eigenvalues that are kept apart by a cube root of round-off, so that derivatives exist."""
    a, b, c = matrix[0, 0], matrix[1, 1], (matrix[0, 1] + matrix[1, 0]) / 2
    middle, half = (a + b) / 2, (a - b) / 2
    info = jnp.finfo(matrix.dtype)
    radius = jnp.sqrt(half**2 + c**2 + (info.eps ** (1 / 3) * middle) ** 2 + info.tiny)
    above, below = function(middle + radius), function(middle - radius)
    slope, mean = (above - below) / (2 * radius), (above + below) / 2
    return jnp.stack([jnp.stack([mean + slope * half, slope * c]), jnp.stack([slope * c, mean - slope * half])])


def _root(values: Array) -> Array:
    positive = values > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, values, 1)), 0)


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


def _turned(tensors: Float[Array, "many 2 2"], number: int) -> Float[Array, "many 2 2"]:
    """Of the image, from those of the pattern."""
    sign = jnp.asarray([-1.0 if number & 1 else 1.0, -1.0 if number >> 1 & 1 else 1.0], tensors.dtype)
    tensors = tensors * (sign[:, None] * sign[None, :])[None]
    return tensors[:, ::-1, ::-1] if number >> 2 & 1 else tensors


def pattern_conductivity(folder: str | Path | None = None) -> PatternConductivity:
    """The closure that :func:`save_pattern_conductivity` wrote; the shipped one, of ``cardiac/microstructure``, where left out.

    Raises:
        InputError: There is no checkpoint, or one of another closure.
    """
    folder = SHIPPED if folder is None else Path(folder)
    iterations = read_about(folder)["provenance"].get("iterations")
    law = load_closure(folder)
    if not isinstance(iterations, int) or not isinstance(law, PerceptronClosure) or len(law.inputs) != 6 * (iterations + 3):
        raise InputError(f"{folder}, which holds another closure", "one of patterns", "write it by save_pattern_conductivity")
    return PatternConductivity(law, iterations)


def save_pattern_conductivity(folder: str | Path, closure: PatternConductivity, provenance: dict[str, Any]) -> Path:
    """Writes a closure; errors of :func:`twinsim.closures.save_closure`."""
    return save_closure(folder, closure.law, {**provenance, "iterations": closure.iterations})
