"""The fixed point of a map of few unknowns, such as the cycle of a periodic system, by Newton's method, with derivatives in both modes."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from solvers.shapes import Index, Scalar

Point = Float[Array, " size"]
PointMap = Callable[[PyTree, Point], Point]
Functional = Callable[[PyTree, Point], Scalar]


class NewtonFixedPoint(eqx.Module):
    """What :func:`newton_fixed_point` found.

    Attributes:
        point: The fixed point, with its derivative.
        change: How far the map moves it, over the scales.
        steps: Newton steps taken.
    """

    point: Point
    change: Scalar
    steps: Index


def newton_fixed_point(
    function: PointMap,
    parameters: PyTree,
    start: Point,
    scales: Callable[[Point], Point],
    kept: Functional | None = None,
    settle: int = 3,
    iterations: int = 12,
    tolerance: ArrayLike = 1e-9,
) -> NewtonFixedPoint:
    r"""$\Phi(p, s) = s$; with a quantity $V$ that the map keeps, the fixed point with the $V$ of the start.

    Args:
        function: $\Phi$.
        parameters: $p$, any pytree.
        start: Where to look. Its derivative matters only through $V$.
        scales: How large a change of each component is large, at a point.
        kept: $V(p, s)$. Then $I - \Phi'$ is singular in its direction, and $s - \Phi(s) + e\,(V(s)-V_0) = 0$ is solved, $e$ along the
            gradient of $V$.
        settle: Applications of the map before Newton's method begins.
        iterations: Newton steps at most: one application and one forward derivative per component each. A step after which the
            change has grown is replaced by an application.
        tolerance: For the change over the scales.

    The derivative with respect to parameters and $V_0$ is that of the implicit function: one more Newton step from the solution with
    the matrix held, in either mode; the number of iterations has no part in it. Fails where there is no fixed point or another one is
    nearer; ``change`` then is not small. For many unknowns see :func:`solvers.fixed_point`, which needs no Jacobian.
    Source: Aprille and Trick (1972), Proc. IEEE 60, 108.
    """
    held, held_start = lax.stop_gradient((parameters, start))
    target = jnp.zeros(()) if kept is None else kept(parameters, start)
    held_target = lax.stop_gradient(target)
    ahead = jnp.zeros_like(held_start)
    if kept is not None:
        ahead = jax.grad(kept, argnums=1)(held, held_start)
        ahead = ahead / jnp.maximum(jnp.sum(ahead**2), jnp.finfo(ahead.dtype).tiny)

    def residual(parameters: PyTree, s: Point, target: Scalar) -> Point:
        change = s - function(parameters, s)
        return change if kept is None else change + ahead * (kept(parameters, s) - target)

    def pulled(s: Point) -> tuple[Point, Array]:
        """Residual and Jacobian in one go."""
        push = jax.vmap(lambda t: jax.jvp(lambda s: residual(held, s, held_target), (s,), (t,)), out_axes=(None, 1))
        return push(jnp.eye(s.size, dtype=s.dtype))

    def goes_on(carry: tuple[Point, Scalar, Index, Array]) -> Array:
        _, before, count, _ = carry
        return (count < iterations) & (before > tolerance)

    def iterate(carry: tuple[Point, Scalar, Index, Array]) -> tuple[Point, Scalar, Index, Array]:
        s, before, count, _ = carry
        change, matrix = pulled(s)
        now = jnp.max(jnp.abs(change) / scales(s))
        newton = s - jnp.linalg.solve(matrix, change)
        better = jnp.isfinite(newton).all() & (now <= before)
        return jnp.where(better, newton, s - change), now, count + 1, matrix

    first = lax.fori_loop(0, settle, lambda _, s: function(held, s), held_start)
    unit = jnp.eye(first.size, dtype=first.dtype)
    s, now, count, matrix = lax.while_loop(goes_on, iterate, (first, jnp.asarray(jnp.inf, first.dtype), jnp.asarray(0), unit))
    s, matrix = lax.stop_gradient((s, matrix))
    last = residual(parameters, s, target)
    return NewtonFixedPoint(
        s - jnp.linalg.solve(matrix, last), lax.stop_gradient(jnp.minimum(jnp.max(jnp.abs(last) / scales(s)), now)), count
    )
