"""A smooth perceptron that gives its derivatives with its values."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from twinsim.informed.jet import Jet


class SmoothPerceptron(eqx.Module):
    r"""Layers of $\tanh(Wa+b)$ and a last one that is linear, of inputs brought to $[-1, 1]$.

    Why not the perceptron of closures: an equation asks for derivatives with respect to inputs, which here go through the layers
    together with the values, and least squares ask for one flat vector of few hundred parameters.

    Args:
        low: Lower ends of the inputs.
        high: Upper ends.
        widths: Units of the hidden layers.
        outputs: Numbers at a point.
        steepness: Factor of the first weights of each input; one, or 3 to 5 along an axis where fronts are expected.
        key: Random key; Glorot's normal weights, first biases of the standard normal times ``spread``.
        spread: Standard deviation of the first biases, so that units bend in different places.

    Raises:
        ValueError: Ends that are not in order, or no hidden layer.

    Source of the weights: Glorot and Bengio (2010), AISTATS 9:249, equation 12.
    """

    weights: tuple[Float[Array, "units inputs"], ...]
    biases: tuple[Float[Array, " units"], ...]
    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)

    def __init__(
        self,
        low: tuple[float, ...],
        high: tuple[float, ...],
        widths: tuple[int, ...],
        outputs: int = 1,
        *,
        key: PRNGKeyArray,
        steepness: tuple[float, ...] | None = None,
        spread: float = 1.0,
    ) -> None:
        if len(low) != len(high) or not all(a < b for a, b in zip(low, high, strict=False)):
            raise ValueError(f"got inputs from {low} to {high}; expected lower ends below upper ends; do: give one pair per input")
        if not widths or min(*widths, outputs) < 1:
            raise ValueError(f"got hidden layers {widths} and {outputs} outputs; expected units in each; do: use (20, 20, 20)")
        sizes = (len(low), *widths, outputs)
        keys = jax.random.split(key, len(sizes))
        matrices = [
            jax.random.normal(k, (after, before)) * (2 / (before + after)) ** 0.5
            for k, before, after in zip(keys[1:], sizes[:-1], sizes[1:], strict=True)
        ]
        if steepness is not None:
            matrices[0] = matrices[0] * jnp.asarray(steepness)[None, :]
        self.weights = tuple(matrices)
        first = spread * jax.random.normal(keys[0], (sizes[1],))
        self.biases = (first, *(jnp.zeros(size) for size in sizes[2:]))
        self.low, self.high = low, high

    def _scaled(self, point: Float[Array, " inputs"]) -> tuple[Float[Array, " inputs"], Float[Array, " inputs"]]:
        low, high = (jnp.asarray(ends, point.dtype) for ends in (self.low, self.high))
        return (2 * point - low - high) / (high - low), 2 / (high - low)

    def __call__(self, point: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        """Values alone."""
        state, _ = self._scaled(point)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            state = jnp.tanh(weight @ state + bias)
        return self.weights[-1] @ state + self.biases[-1]

    def jet(self, point: Float[Array, " inputs"], bent: tuple[int, ...]) -> Jet:
        """Values with slopes along all inputs, and bends along those of ``bent``; the axes are the inputs."""
        axes = len(self.low)
        return self.of(Jet(point, jnp.eye(axes, dtype=point.dtype), jnp.zeros((len(bent), axes), point.dtype), bent))

    def partials(self, point: Float[Array, " inputs"], orders: tuple[tuple[int, ...], ...]) -> Float[Array, "orders outputs"]:
        """Derivatives of any order, mixed ones too, each by its order along every input; by nested forward mode."""
        return jnp.stack([_partial(self, order)(point) for order in orders])

    def of(self, inputs: Jet) -> Jet:
        r"""Values of inputs that are functions of a point, e.g. $\cos\pi x$ where a field is periodic; one jet of shape (inputs,)."""
        state, scale = self._scaled(inputs.value)
        axes, bends = inputs.first.shape[0], jnp.array(inputs.bent, int)
        # Rows: the value, slopes, bends: one matrix product per layer for all of them.
        rows = jnp.concatenate([state[None], inputs.first * scale[None], inputs.second * scale[None]]) @ self.weights[0].T
        rows = rows.at[0].add(self.biases[0])
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            a = jnp.tanh(rows[0])
            d = 1 - a * a
            first = rows[1 : 1 + axes]
            second = d[None] * rows[1 + axes :] - (2 * a * d)[None] * first[bends] ** 2
            rows = jnp.concatenate([a[None], d[None] * first, second]) @ weight.T
            rows = rows.at[0].add(bias)
        return Jet(rows[0], rows[1 : 1 + axes], rows[1 + axes :], inputs.bent)


def _partial(function: Callable[[Array], Array], order: tuple[int, ...]) -> Callable[[Array], Array]:
    axis = next((i for i, times in enumerate(order) if times), None)
    if axis is None:
        return function
    less = tuple(times - (i == axis) for i, times in enumerate(order))
    inner = _partial(function, less)
    return lambda point: jax.jvp(inner, (point,), (jnp.zeros_like(point).at[axis].set(1.0),))[1]
