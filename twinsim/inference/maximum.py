r"""The maximum a posteriori: Levenberg-Marquardt on whitened residuals, or L-BFGS; several starts at once."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Bool, Float, Int

from twinsim.errors import InputError
from twinsim.inference.problem import Problem

HUGE = 1e6  # a residual that is not finite: a place to come back from, without a slope
CLOSE = 0.1


class Maximum(eqx.Module):
    """Where a search ended; the fields of a batch have a leading axis.

    Attributes:
        z: The coordinates.
        log_posterior: Unnormalised log density there.
        distance: Norm of the gradient in the metric of the prior, over the number of parameters.
        steps: Steps of the best start.
        converged: Whether the search stopped by its tolerance at a finite density.
    """

    z: Float[Array, "*batch parameters"]
    log_posterior: Float[Array, "*batch"]
    distance: Float[Array, "*batch"]
    steps: Int[Array, "*batch"]
    converged: Bool[Array, "*batch"]


@eqx.filter_jit
def maximise(
    problem: Problem,
    start: Float[Array, "starts parameters"] | None = None,
    key: Array | None = None,
    starts: int = 1,
    method: Literal["auto", "least_squares", "lbfgs"] = "auto",
    steps: int = 200,
    tolerance: float = 1e-6,
) -> Maximum:
    r"""$\arg\max_z \log p(z\mid y)$; may be vmapped over patients (:func:`maximise_each`).

    Args:
        problem: What to fit.
        start: Points to start from; None takes the prior's centre and, with a key, `starts - 1` draws of the prior.
        key: For further starts.
        starts: How many starts; the best end is kept.
        method: ``auto`` takes Levenberg-Marquardt where the posterior is a sum of squares, else L-BFGS.
        steps: Most steps per start.
        tolerance: Relative and absolute, of the coordinates and of the objective.

    One program, compiled at the first call and again only for other shapes, another model or other settings. Levenberg-Marquardt needs the
    forward derivative of the model and nothing else (with Diffrax: ``diffrax.ForwardMode``, which compiles much faster than
    ``DirectAdjoint``); L-BFGS needs the reverse one. Either finds a local maximum; several starts make it likely, not certain, that it is
    the best.
    Source: Nocedal and Wright (2006), *Numerical Optimization*, sections 7.2 and 10.3; the solvers are Optimistix's.

    Raises:
        InputError: Several starts without a key to draw them.
    """
    if start is None:
        if starts > 1 and key is None:
            raise InputError(f"{starts} starts without a key", "a key to draw the others", "give key=jax.random.key(0)")
        start = problem.unwhiten(jnp.zeros(problem.size))[None]
        if starts > 1 and key is not None:
            start = jnp.concatenate([start, problem.prior_draws(key, starts - 1)])
    squares = problem.has_residuals if method == "auto" else method == "least_squares"

    def objective(z: Array, problem: Problem) -> Array:
        value = -problem.log_posterior(z)
        return jnp.where(jnp.isfinite(value), value, HUGE)

    def residuals(z: Array, problem: Problem) -> Array:
        found = problem.residuals(z)
        return jnp.where(jnp.isfinite(found), found, HUGE)

    def from_one(z: Array) -> Maximum:
        if squares:
            solver = optx.LevenbergMarquardt(tolerance, tolerance)
            end = optx.least_squares(residuals, solver, z, args=problem, max_steps=steps, throw=False)
        else:
            end = optx.minimise(objective, optx.LBFGS(tolerance, tolerance), z, args=problem, max_steps=steps, throw=False)
        value = problem.log_posterior(end.value)
        slope = (jax.jacfwd if squares else jax.grad)(problem.log_posterior)(end.value)
        distance = jnp.sqrt(jnp.mean(slope**2))
        stopped = end.result == optx.RESULTS.successful
        return Maximum(end.value, value, distance, end.stats["num_steps"], stopped & jnp.isfinite(value))

    if start.shape[0] == 1:  # a batch of one only adds to what is compiled
        return from_one(start[0])
    found = jax.vmap(from_one)(start)
    best = jnp.argmax(jnp.where(jnp.isfinite(found.log_posterior), found.log_posterior, -jnp.inf))
    return jax.tree.map(lambda leaf: leaf[best], found)


@eqx.filter_jit
def maximise_each(batch: Problem, start: Float[Array, "patients starts parameters"], steps: int = 200) -> Maximum:
    """:func:`maximise` for every patient of a batch from its own starts, as one program."""
    return eqx.filter_vmap(lambda problem, z: maximise(problem, z, steps=steps), in_axes=(eqx.if_array(0), 0))(batch, start)
