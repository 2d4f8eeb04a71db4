"""States that a map returns to itself: periodic states of driven systems, with gradients by the implicit function theorem."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PyTree

from solvers.shapes import Index, Scalar, State


class FixedPoint(NamedTuple):
    """What was found.

    Attributes:
        state: $x$ with $x = \\Phi(x, \\theta)$ up to ``residual``.
        residual: Root mean square of $\\Phi(x)-x$, each leaf over its own root mean square at the start of the search.
        evaluations: Of $\\Phi$.
    """

    state: State
    residual: Scalar
    evaluations: Index


class _Search(NamedTuple):
    evaluations: Index
    point: Float[Array, " n"]
    images: Float[Array, "memory n"]
    residuals: Float[Array, "memory n"]
    size: Scalar


def fixed_point(
    function: Callable[[PyTree, State], State], parameters: PyTree, start: State, tolerance: float, limit: int = 50, memory: int = 6
) -> FixedPoint:
    r"""$x = \Phi(x,\theta)$ by Anderson's acceleration: $x_{k+1} = \sum_i\alpha_i\Phi(x_i)$ with $\sum\alpha_i = 1$ that minimise
    $|\sum_i\alpha_i(\Phi(x_i)-x_i)|$ over the last ``memory`` evaluations; one is the plain iteration.

    The derivative with respect to $\theta$ is that of the fixed point, whatever the iterates were:
    $\bar\theta = \left(\partial_\theta\Phi\right)^T w$ with $w = \bar x + \left(\partial_x\Phi\right)^T w$, solved in the same way to the
    same tolerance. Reverse mode only.

    Args:
        function: $\Phi(\theta, x)$, of the shapes of $x$; with a reverse mode where gradients are wanted.
        parameters: $\theta$, floating-point arrays.
        start: Where the search begins; no gradient.
        tolerance: Residual at which it ends.
        limit: Most evaluations.
        memory: Evaluations kept.

    It fails, and says so by the residual, where $\Phi$ has no fixed point near the start or the limit is low. Source: Walker, Ni (2011),
    SIAM J. Numer. Anal. 49, 1715; Bai, Kolter, Koltun (2019), NeurIPS 32 (the adjoint of a fixed point by another fixed point).
    """
    return _fixed_point(function, tolerance, limit, memory, parameters, start)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _fixed_point(function: Callable, tolerance: float, limit: int, memory: int, parameters: PyTree, start: State) -> FixedPoint:
    flat, restore = ravel_pytree(start)
    scale = _scales(start)

    def scaled(point: Float[Array, " n"]) -> Float[Array, " n"]:
        return ravel_pytree(function(parameters, restore(point * scale)))[0] / scale

    found = _anderson(scaled, flat / scale, tolerance, limit, memory)
    return FixedPoint(restore(found.point * scale), found.size, found.evaluations)


def _forward(
    function: Callable, tolerance: float, limit: int, memory: int, parameters: PyTree, start: State
) -> tuple[FixedPoint, tuple[PyTree, State, State]]:
    found = _fixed_point(function, tolerance, limit, memory, parameters, start)
    return found, (parameters, found.state, start)


def _backward(
    function: Callable, tolerance: float, limit: int, memory: int, kept: tuple[PyTree, State, State], bar: FixedPoint
) -> tuple[PyTree, State]:
    parameters, state, start = kept
    _, transposed = jax.vjp(function, parameters, state)
    flat, restore = ravel_pytree(bar.state)
    scale = _scales(start)

    def adjoint(point: Float[Array, " n"]) -> Float[Array, " n"]:
        return (flat + ravel_pytree(transposed(restore(point / scale))[1])[0]) * scale

    size = jnp.maximum(jnp.sqrt(jnp.mean((flat * scale) ** 2)), jnp.finfo(flat.dtype).tiny)
    found = _anderson(lambda point: adjoint(point * size) / size, flat * scale / size, tolerance, limit, memory)
    return transposed(restore(found.point * size / scale))[0], jax.tree.map(jnp.zeros_like, start)


_fixed_point.defvjp(_forward, _backward)


def _scales(state: State) -> Float[Array, " n"]:
    """The size of each leaf, one number per entry; one where a leaf is zero."""

    def size(leaf: Array) -> Array:
        found = jnp.sqrt(jnp.mean(leaf * leaf))
        return jnp.full(leaf.shape, jnp.where(found > 0, found, 1))

    return lax.stop_gradient(ravel_pytree(jax.tree.map(size, state))[0])


def _anderson(
    function: Callable[[Float[Array, " n"]], Float[Array, " n"]], start: Float[Array, " n"], tolerance: float, limit: int, memory: int
) -> _Search:
    def mix(search: _Search) -> Float[Array, " n"]:
        return _mixed(search.images, search.residuals, jnp.arange(memory) <= search.evaluations)

    def body(search: _Search) -> _Search:
        image = function(search.point)
        residual = image - search.point
        slot = jnp.mod(search.evaluations, memory)
        size = jnp.sqrt(jnp.mean(residual * residual))
        search = search._replace(images=search.images.at[slot].set(image), residuals=search.residuals.at[slot].set(residual), size=size)
        done = size <= tolerance
        return search._replace(point=jnp.where(done, image, mix(search)), evaluations=search.evaluations + 1)

    def going(search: _Search) -> Array:
        return (search.evaluations < limit) & (search.size > tolerance)

    empty = jnp.zeros((memory, start.size), start.dtype)
    return lax.while_loop(going, body, _Search(jnp.asarray(0), start, empty, empty, jnp.asarray(jnp.inf, start.dtype)))


def _mixed(images: Float[Array, "memory n"], residuals: Float[Array, "memory n"], known: Bool[Array, " memory"]) -> Float[Array, " n"]:
    """The images weighted so that the residuals, weighted alike, are smallest; of those known."""
    products = residuals @ residuals.T
    weight = jnp.max(jnp.where(known, jnp.diag(products), 0))
    products = products / jnp.where(weight > 0, weight, 1) + 1e-14 * jnp.eye(len(products), dtype=products.dtype)
    products = jnp.where(known[:, None] & known[None], products, jnp.eye(len(products), dtype=products.dtype))
    share = jnp.linalg.solve(products, known.astype(products.dtype))
    return (share / jnp.sum(share)) @ images


def anderson_step(points: Sequence[State], images: Sequence[State]) -> State:
    r"""The next point of Anderson's acceleration, $\sum_i\alpha_i\Phi(x_i)$ as in :func:`fixed_point`, for a map that is evaluated
    elsewhere: a program of its own, or a laboratory.

    Args:
        points: $x_i$ of the last evaluations, the newest last; one or more.
        images: $\Phi(x_i)$.

    Each leaf counts over its own root mean square in the newest image. One evaluation gives the plain iteration. It keeps linear
    invariants of the images and no signs: the caller checks what has to be positive. Source: Walker, Ni (2011), SIAM J. Numer. Anal. 49,
    1715.
    """
    _, restore = ravel_pytree(images[-1])
    scale = _scales(images[-1])
    values = jnp.stack([ravel_pytree(image)[0] for image in images]) / scale[None]
    residuals = values - jnp.stack([ravel_pytree(point)[0] for point in points]) / scale[None]
    return restore(_mixed(values, residuals, jnp.ones(len(images), bool)) * scale)
