"""Derivatives of any order of a perceptron of one variable, by truncated power series."""

from math import factorial

import jax.numpy as jnp
from jaxtyping import Array, Float

from twinsim.informed.network import SmoothPerceptron


def perceptron_series(network: SmoothPerceptron, inputs: Float[Array, "terms inputs"]) -> Float[Array, "terms outputs"]:
    r"""Power series of a perceptron's outputs from those of its inputs: row $k$ is $u^{(k)}/k!$.

    With $a=\tanh z$ and $b=1-a^2$ the series obey $k\,a_k=\sum_{j=1}^k j\,z_jb_{k-j}$ and $b_k=-\sum_ja_ja_{k-j}$, so that any order costs
    one matrix product per layer and some $k^2/2$ products per unit.

    Source: Griewank and Walther (2008), *Evaluating Derivatives*, chapter 13 (the univariate recurrences).
    """
    low, high = (jnp.asarray(ends, inputs.dtype) for ends in (network.low, network.high))
    # Term zero alone is moved to [-1, 1]; all others are only scaled.
    series = (inputs * (2 / (high - low))[None]).at[0].add(-(low + high) / (high - low))
    series = (series @ network.weights[0].T).at[0].add(network.biases[0])
    for weight, bias in zip(network.weights[1:], network.biases[1:], strict=True):
        series = (_tanh(series) @ weight.T).at[0].add(bias)
    return series


def cosine_series(phase: Float[Array, " points"], rate: float, terms: int) -> Float[Array, "terms points"]:
    r"""That of $\cos(\phi+\omega h)$ in $h$; a phase less by $\pi/2$ gives the sine."""
    c, s = jnp.cos(phase), jnp.sin(phase)
    return jnp.stack([(c, -s, -c, s)[k % 4] * (rate**k / factorial(k)) for k in range(terms)])


def _tanh(z: Float[Array, "terms units"]) -> Float[Array, "terms units"]:
    a = [jnp.tanh(z[0])]
    b = [1 - a[0] * a[0]]
    for k in range(1, z.shape[0]):
        a.append(sum((j * z[j] * b[k - j] for j in range(1, k + 1)), start=jnp.zeros_like(z[0])) / k)
        b.append(-sum((a[j] * a[k - j] for j in range(k + 1)), start=jnp.zeros_like(z[0])))
    return jnp.stack(a)
