"""Exact Gaussian-process regression: posterior mean and variance, and the marginal likelihood that finds the hyperparameters."""

from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float

from twinsim.closures.scaling import SeenInputs, Standardisation

Kernel = Literal["squared_exponential", "matern_5_2", "matern_3_2"]
KERNELS: tuple[Kernel, ...] = get_args(Kernel)


class Hyperparameters(eqx.Module):
    r"""Of one output, or of several along the first axis, in logarithms.

    Attributes:
        lengths: $\log\ell_i$ of every input.
        amplitude: $\log a$, the standard deviation of the function a priori.
        noise: $\log\sigma$, that of the errors of the samples.
    """

    lengths: Float[Array, "*outputs inputs"]
    amplitude: Float[Array, "*outputs"]
    noise: Float[Array, "*outputs"]


def covariance(
    kernel: Kernel, hyper: Hyperparameters, one: Float[Array, "first inputs"], other: Float[Array, "second inputs"]
) -> Float[Array, "first second"]:
    r"""$k(x,x')$ with $r^2=\sum_i(x_i-x_i')^2/\ell_i^2$.

    ``squared_exponential`` $a^2e^{-r^2/2}$, smooth without end; ``matern_5_2`` $a^2(1+\sqrt5r+\tfrac53r^2)e^{-\sqrt5r}$, twice
    differentiable; ``matern_3_2`` $a^2(1+\sqrt3r)e^{-\sqrt3r}$, once. Source: Rasmussen and Williams (2006), equations 4.9 and 4.17.
    """
    scale = jnp.exp(-hyper.lengths)
    square = jnp.sum(((one[:, None] - other[None]) * scale[None, None]) ** 2, axis=-1)
    variance = jnp.exp(2 * hyper.amplitude)
    if kernel == "squared_exponential":
        return variance * jnp.exp(-0.5 * square)
    # The root has no slope at zero distance, where these kernels are flat all the same.
    apart = square > 0
    root = jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0) * (5.0 if kernel == "matern_5_2" else 3.0) ** 0.5
    series = 1 + root + (root**2 / 3 if kernel == "matern_5_2" else 0.0)
    return variance * series * jnp.exp(-root)


def _factor(kernel: Kernel, hyper: Hyperparameters, given: Float[Array, "samples inputs"]) -> Float[Array, "samples samples"]:
    """Lower Cholesky factor of the covariance of the samples; round-off of the amplitude is added to the noise, so that it exists."""
    tiny = 10 * given.shape[0] * jnp.finfo(given.dtype).eps * jnp.exp(2 * hyper.amplitude)
    noisy = covariance(kernel, hyper, given, given) + (jnp.exp(2 * hyper.noise) + tiny) * jnp.eye(given.shape[0], dtype=given.dtype)
    return jnp.linalg.cholesky(noisy)


def log_marginal_likelihood(
    kernel: Kernel, hyper: Hyperparameters, given: Float[Array, "samples inputs"], wanted: Float[Array, " samples"]
) -> Float[Array, ""]:
    r"""$-\tfrac12y^TK^{-1}y-\tfrac12\log|K|-\tfrac n2\log2\pi$ with $K=k(X,X)+\sigma^2I$; differentiable, work $O(n^3)$."""
    factor = _factor(kernel, hyper, given)
    half = solve_triangular(factor, wanted, lower=True)
    return -0.5 * half @ half - jnp.sum(jnp.log(jnp.diagonal(factor))) - 0.5 * wanted.size * jnp.log(2 * jnp.pi)


class GaussianProcess(eqx.Module):
    r"""Posteriors of functions without mean, one per output, from samples with errors.

    With $K=LL^T$, $\alpha=K^{-1}y$ the mean at $x$ is $k(x,X)\alpha$ and the variance $k(x,x)-|L^{-1}k(X,x)|^2$. Work per place: $O(n)$
    for the mean, $O(n^2)$ for the variance. Good: up to about two thousand samples. Source: Rasmussen and Williams (2006), *Gaussian
    Processes for Machine Learning*, algorithm 2.1; leave-one-out equation 5.12.

    Attributes:
        hyper: One per output, stacked along the first axis.
        given: $X$.
        weights: $\alpha$.
        factor: $L$.
        limit: Standard deviation per output up to which a place counts as seen; see :meth:`of`.
        kernel: Which.
    """

    hyper: Hyperparameters
    given: Float[Array, "samples inputs"]
    weights: Float[Array, "outputs samples"]
    factor: Float[Array, "outputs samples samples"]
    limit: Float[Array, " outputs"]
    kernel: Kernel = eqx.field(static=True)

    @classmethod
    @eqx.filter_jit
    def of(
        cls, kernel: Kernel, hyper: Hyperparameters, given: Float[Array, "samples inputs"], wanted: Float[Array, "samples outputs"]
    ) -> "GaussianProcess":
        r"""The posterior.

        The limit is the largest deviation that any sample's place would have without that sample, $\sqrt{1/(K^{-1})_{ii}-\sigma^2}$, and
        never more than $a/\sqrt2$, where samples explain less than half of the variance.
        """

        def one(hyper: Hyperparameters, y: Array) -> tuple[Array, Array, Array]:
            factor = _factor(kernel, hyper, given)
            inverse = solve_triangular(factor, jnp.eye(given.shape[0], dtype=given.dtype), lower=True)
            left_out = 1 / jnp.sum(inverse**2, axis=0) - jnp.exp(2 * hyper.noise)
            tiny = jnp.finfo(given.dtype).eps ** 0.5 * jnp.exp(2 * hyper.amplitude)
            largest = jnp.clip(jnp.max(left_out), tiny, 0.5 * jnp.exp(2 * hyper.amplitude))
            return cho_solve((factor, True), y), factor, jnp.sqrt(largest)

        weights, factor, limit = jax.vmap(one, in_axes=(0, 1))(hyper, wanted)
        return cls(hyper, given, weights, factor, limit, kernel)

    def _each(self, places: Float[Array, "places inputs"]) -> Float[Array, "outputs places samples"]:
        return jax.vmap(lambda hyper: covariance(self.kernel, hyper, places, self.given))(self.hyper)

    def mean(self, places: Float[Array, "places inputs"]) -> Float[Array, "outputs places"]:
        """Of the function."""
        return jnp.einsum("ops,os->op", self._each(places), self.weights)

    def variance(self, places: Float[Array, "places inputs"]) -> Float[Array, "outputs places"]:
        """Of the function, without the errors of a new sample; never below zero."""

        def one(factor: Array, cross: Array) -> Array:
            return jnp.sum(solve_triangular(factor, cross.T, lower=True) ** 2, axis=0)

        explained = jax.vmap(one)(self.factor, self._each(places))
        return jnp.maximum(jnp.exp(2 * self.hyper.amplitude)[:, None] - explained, 0.0)


class PredictiveRange(SeenInputs):
    """Where samples say something: the posterior's own deviation, in place of a box of inputs.

    Attributes:
        process: The posterior.
        scale: From the units of the inputs to those of the process.
    """

    process: GaussianProcess
    scale: Standardisation

    def distance(self, values: Float[Array, "inputs *places"]) -> Float[Array, "*places"]:
        """The largest deviation over its limit, among outputs."""
        flat = self.scale.apply(values).reshape(values.shape[0], -1).T
        ratio = jnp.sqrt(self.process.variance(flat)) / self.process.limit[:, None]
        return jnp.max(ratio, axis=0).reshape(values.shape[1:])
