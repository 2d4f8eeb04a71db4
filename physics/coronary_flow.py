r"""Steady flow in a tree with losses that are not linear, by Newton's method on a convex potential."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.coronary_tree import CoronaryTree
from solvers import Status
from solvers.shapes import Index

ITERATIONS = 60
CLOSE = 1e-12


class TreeFlow(eqx.Module):
    """Steady pressures and flows.

    Attributes:
        pressure: mmHg at the end of every segment.
        flow: mL/s in every segment.
        status: A :class:`solvers.status.Status` code.
    """

    pressure: Float[Array, " segments"]
    flow: Float[Array, " segments"]
    status: Index | Array


def steady_tree_flow(tree: CoronaryTree, beds: Float[Array, " outlets"], aortic: ArrayLike, venous: ArrayLike) -> TreeFlow:
    r"""$P_a - \sum_{s\in\text{path}_i}(R_sQ_s + S_s|Q_s|Q_s) - B_iq_i - P_v = 0$ for the flows $q$ of the outlets, $Q = Tq$.

    The left sides are the gradient of a strictly concave function of $q$, so that there is one solution, and Newton's matrix
    $T^\top\mathrm{diag}(R+2S|Q|)\,T+\mathrm{diag}(B)$ is symmetric and positive. Iterations are not differentiated: one more step with the
    matrix held has the derivative of the implicit function, in either mode. Fails, with status NOT_CONVERGED or NOT_FINITE, where numbers
    given are no numbers.

    Args:
        tree: The arteries.
        beds: mmHg s/mL, resistance at every outlet, above 0.
        aortic: mmHg, mean.
        venous: mmHg.
    """
    passed = jnp.asarray(tree.passed())
    table = passed[:, jnp.asarray(tree.outlets)]
    resistance, jet = tree.losses()
    aortic, venous = jnp.asarray(aortic, float), jnp.asarray(venous, float)

    def residual(parts: tuple[Array, ...], q: Array) -> Array:
        r, s, b, up, down = parts
        flow = table @ q
        return table.T @ ((r + s * jnp.abs(flow)) * flow) + b * q + down - up

    def matrix(parts: tuple[Array, ...], q: Array) -> Array:
        r, s, b, *_ = parts
        slope = r + 2 * s * jnp.abs(table @ q)
        return (table.T * slope[None]) @ table + jnp.diag(b)

    parts = (resistance, jet, beds, aortic, venous)
    held = lax.stop_gradient(parts)
    size = jnp.abs(held[3] - held[4]) + 1e-9

    def goes_on(carry: tuple[Array, Array, Array]) -> Array:
        _, error, count = carry
        return (error > CLOSE) & (count < ITERATIONS)

    def iterate(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        q, _, count = carry
        q = q - jnp.linalg.solve(matrix(held, q), residual(held, q))
        return q, jnp.max(jnp.abs(residual(held, q))) / size, count + 1

    start = jnp.zeros_like(held[2])
    q, error, _ = lax.while_loop(goes_on, iterate, (start, jnp.asarray(jnp.inf, start.dtype), jnp.asarray(0)))
    q = lax.stop_gradient(q)
    q = q - jnp.linalg.solve(lax.stop_gradient(matrix(held, q)), residual(parts, q))
    flow = table @ q
    drop = (resistance + jet * jnp.abs(flow)) * flow
    status = jnp.where(jnp.isfinite(error), jnp.where(error <= 1e3 * CLOSE, Status.SUCCESS, Status.NOT_CONVERGED), Status.NOT_FINITE)
    return TreeFlow(aortic - passed.T @ drop, flow, status)


def fractional_flow_reserve(
    tree: CoronaryTree, beds: Float[Array, " outlets"], aortic: ArrayLike, venous: ArrayLike
) -> Float[Array, " segments"]:
    """Pressure at the end of every segment over the aorta's; see :func:`steady_tree_flow`."""
    return steady_tree_flow(tree, beds, aortic, venous).pressure / jnp.asarray(aortic, float)


def reserve_slopes(
    tree: CoronaryTree, beds: Float[Array, " outlets"], aortic: ArrayLike, venous: ArrayLike
) -> Float[Array, "segments 3 segments"]:
    """Of every segment's reserve to every diameter, 1/mm, beds held; exact, by the implicit function."""

    def reserve(diameters: Array) -> Array:
        return fractional_flow_reserve(eqx.tree_at(lambda t: t.diameters, tree, diameters), beds, aortic, venous)

    return jax.jacfwd(reserve)(tree.diameters)
