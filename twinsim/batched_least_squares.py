"""Levenberg-Marquardt with a fixed number of iterations, for whole batches of small problems in one program."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Point = Float[Array, " parameters"]
Residuals = Callable[[Point], Float[Array, " residuals"]]

LONGEST = 1.5  # of a step, in standard-normal coordinates
LEAST, MOST = 1e-8, 1e8


class Fit(eqx.Module):
    """Where it ended; fields of a batch have leading axes.

    Attributes:
        z: The coordinates.
        value: Half the sum of squared residuals.
        gradient: $J^Tr$ there.
        curvature: $J^TJ$ there.
        distance: Norm of the gradient in the metric of the curvature: how many standard deviations of the posterior are left.
        finite: Whether all of it is.
    """

    z: Float[Array, "*batch parameters"]
    value: Float[Array, "*batch"]
    gradient: Float[Array, "*batch parameters"]
    curvature: Float[Array, "*batch parameters parameters"]
    distance: Float[Array, "*batch"]
    finite: Bool[Array, "*batch"]


def least_squares(residuals: Residuals, start: Point, iterations: int = 20, damping: float = 1.0) -> Fit:
    r"""Minimise $\tfrac12|r(z)|^2$ by $(J^TJ + \mu I)p = -J^Tr$ with Nielsen's rule for $\mu$.

    After a step whose gain is $\rho$ times the predicted one, $\mu$ is multiplied by $\max(\tfrac13, 1-(2\rho-1)^3)$; after a failure
    by 2, after one more by 4, then 8: it grows as fast as it must, where a constant factor would waste many iterations of a few.

    Args:
        residuals: Whitened residuals of the data, followed by those of the prior, which are $z - m$ in its metric.
        start: First point.
        iterations: How many; always all of them, so that patients of a `vmap` don't wait for a test of convergence.
        damping: First $\mu$; the prior alone has a curvature of one.

    One evaluation with its forward derivative per iteration. A failed trial, NaN included, costs an iteration and nothing else.
    Source: Madsen, Nielsen and Tingleff (2004), *Methods for Non-Linear Least Squares Problems*, algorithm 3.16.
    """
    size = start.size

    def evaluate(z: Point) -> tuple[Array, Array, Array]:
        # Pushed forward along with the residuals: linearising first would store every intermediate of a model's time loop.
        push = jax.vmap(lambda tangent: jax.jvp(residuals, (z,), (tangent,)), out_axes=(None, 0))
        found, jacobian = push(jnp.eye(size, dtype=z.dtype))
        return 0.5 * jnp.sum(found**2), jacobian @ found, jacobian @ jacobian.T

    def iterate(_: Array | int, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        z, value, gradient, curvature, mu, grows = carry
        step = -jnp.linalg.solve(curvature + mu * jnp.eye(size, dtype=z.dtype), gradient)
        step = step * jnp.minimum(1.0, LONGEST / (jnp.linalg.norm(step) + 1e-30))
        new = evaluate(z + step)
        finite = jnp.isfinite(new[0]) & jnp.isfinite(new[1]).all() & jnp.isfinite(new[2]).all()
        better = finite & (new[0] < value)
        kept = [jnp.where(better, after, before) for after, before in zip((z + step, *new), (z, value, gradient, curvature), strict=True)]
        gain = (value - new[0]) / jnp.maximum(-step @ (gradient + 0.5 * curvature @ step), jnp.finfo(z.dtype).tiny)
        mu = mu * jnp.where(better, jnp.clip(1 - (2 * gain - 1) ** 3, 1 / 3, 2.0), grows)
        return *kept, jnp.clip(mu, LEAST, MOST), jnp.where(better, 2.0, 2 * grows)

    first = (start, *evaluate(start), jnp.asarray(damping, start.dtype), jnp.asarray(2.0, start.dtype))
    z, value, gradient, curvature, _, _ = jax.lax.fori_loop(0, iterations, iterate, first)
    distance = jnp.sqrt(jnp.maximum(gradient @ jnp.linalg.solve(curvature, gradient), 0.0))
    return Fit(z, value, gradient, curvature, distance, jnp.isfinite(value) & jnp.isfinite(distance))
