"""The Laplace approximation: a normal distribution with the curvature of the posterior at its maximum."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from twinsim.inference.draws import Draws, check_draws, normal_draws
from twinsim.inference.maximum import Maximum, maximise
from twinsim.inference.problem import Problem

FLOOR = 0.1
FEW = 8  # parameters up to which two forward derivatives cost less than a forward over a reverse one
type Curvature = Literal["hessian", "forward_hessian", "gauss_newton"]


class Laplace(eqx.Module):
    r"""$N(\hat z, H^{-1})$; the fields of a batch have a leading axis.

    Attributes:
        mean: The maximum a posteriori.
        covariance: Inverse curvature there.
        log_evidence: $\log p(y)\approx\log p(y,\hat z)+\tfrac n2\log 2\pi-\tfrac12\log\det H$.
        condition: Condition number of the curvature, in coordinates where the prior is standard normal.
        proper: Whether the curvature was positive in every direction; where it was not, that direction has its prior's width and more.
    """

    mean: Float[Array, "*batch parameters"]
    covariance: Float[Array, "*batch parameters parameters"]
    log_evidence: Float[Array, "*batch"]
    condition: Float[Array, "*batch"]
    proper: Bool[Array, "*batch"]


def laplace(problem: Problem, z: Float[Array, " parameters"], curvature: Curvature = "hessian") -> Laplace:
    r"""Normal approximation about a maximum; may be vmapped over patients.

    Args:
        problem: What was fitted.
        z: Its maximum.
        curvature: The exact Hessian, or $J^TJ$ of the whitened residuals, which needs one forward derivative only, is never negative,
            and leaves out the curvature of the model. ``hessian`` takes two forward derivatives where least squares fit at most eight
            parameters, else a forward over a reverse one; ``forward_hessian`` always takes two forward ones, for models without a
            reverse derivative (Diffrax with ``ForwardMode``).

    Exact for linear models with normal errors. It fails for skewed posteriors (few data, parameters near a bound) and sees one mode
    only; :mod:`twinsim.inference.nuts` and :mod:`twinsim.inference.tempered` do not. Eigenvalues below a tenth of the prior's are
    raised to it, so that a saddle gives wide intervals and not NaN.
    Source: Tierney and Kadane (1986), *JASA* 81, 82.
    """
    white = problem.whiten(z)
    if curvature != "gauss_newton":
        forward = curvature == "forward_hessian" or (problem.has_residuals and problem.size <= FEW)
        slope = jax.jacfwd if forward else jax.jacrev
        hessian = jax.jacfwd(slope(lambda w: -problem.log_posterior(problem.unwhiten(w))))(white)
    else:
        jacobian = jax.jacfwd(lambda w: problem.residuals(problem.unwhiten(w)))(white)
        hessian = jacobian.T @ jacobian
    finite = jnp.isfinite(hessian).all()
    eigenvalues, vectors = jnp.linalg.eigh(jnp.where(finite, hessian, jnp.eye(problem.size)))
    raised = jnp.maximum(eigenvalues, FLOOR)
    root = vectors / jnp.sqrt(raised)[None]
    if problem.root is not None:
        root = problem.root @ root
    n = problem.size
    scale = 0.0 if problem.root is None else jnp.sum(jnp.log(jnp.abs(jnp.diagonal(problem.root))))
    evidence = problem.log_posterior(z) + scale + 0.5 * n * jnp.log(2 * jnp.pi) - 0.5 * jnp.sum(jnp.log(raised))
    return Laplace(z, root @ root.T, evidence, raised[-1] / raised[0], finite & (eigenvalues[0] > 0))


@eqx.filter_jit
def laplace_each(batch: Problem, start: Float[Array, "patients starts parameters"], steps: int = 200) -> tuple[Maximum, Laplace]:
    """Maximum and Laplace approximation of every patient of a batch, as one program."""

    def one(problem: Problem, z: Array) -> tuple[Maximum, Laplace]:
        found = maximise(problem, z, steps=steps)
        return found, laplace(problem, found.z)

    return eqx.filter_vmap(one, in_axes=(eqx.if_array(0), 0))(batch, start)


def laplace_posterior(problem: Problem, seed: int = 0, count: int = 1000, starts: int = 1, curvature: Curvature = "hessian") -> Draws:
    """The Laplace posterior of one problem as draws, maximum included; the estimator by this name.

    Raises:
        InputError: No draw, no start, or a seed below zero.
    """
    check_draws(seed, draws=count, starts=starts)
    found, normal = _fit(problem, jax.random.key(seed), starts, curvature)
    ended, proper = bool(found.converged), bool(normal.proper)
    note = "" if ended else f"the search ended after {int(found.steps)} steps at a log posterior of {float(found.log_posterior):.4g}"
    if ended and not proper:
        note = "the posterior is not curved downwards in every direction at the maximum, where it was given the width of the prior and more"
    return normal_draws(problem, normal.mean, normal.covariance, count, seed, "laplace", ended & proper, note)


@eqx.filter_jit
def _fit(problem: Problem, key: Array, starts: int, curvature: Curvature) -> tuple[Maximum, Laplace]:
    found = maximise(problem, key=key, starts=starts)
    return found, laplace(problem, found.z, curvature)
