"""Ensemble Kalman inversion: a posterior from model runs alone, for models without usable gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinsim.errors import InputError
from twinsim.inference.draws import Draws, collected
from twinsim.inference.problem import Problem
from twinsim.option_checks import check_number, check_seed

ROUNDS = 60


@eqx.filter_jit
def inverted_ensemble(problem: Problem, key: Array, count: int = 500) -> tuple[Float[Array, "members parameters"], Array]:
    r"""Members of the posterior, and the temperature reached (one at the end); may be vmapped.

    $z_j \leftarrow z_j + C_{zg}(C_{gg} + \alpha I)^{-1}\big(r_j + \sqrt\alpha\,\xi_j\big)$ with whitened residuals $r = y - g(z)$ and
    $\sum 1/\alpha = 1$. $1/\alpha$ is as large as the misfit allows (Iglesias and Yang 2021, *Inverse Problems* 37, 025008).

    Args:
        problem: What to fit; every likelihood needs residuals, with scales that are numbers.
        key: Of everything random.
        count: Members; several times the number of parameters.
    """
    first, second = jax.random.split(key)
    z = problem.prior_draws(first, count)
    observed = jnp.sum(problem.observed)

    def stage(carry: tuple) -> tuple:
        z, key, temperature, rounds = carry
        key, now = jax.random.split(key)
        residual = jax.vmap(lambda one: _residuals(problem, one))(z)
        misfit = 0.5 * jnp.sum(residual**2, axis=1)
        rise = jnp.maximum(observed / (2 * jnp.mean(misfit)), jnp.sqrt(observed / (2 * jnp.var(misfit))))
        rise = jnp.minimum(rise, 1 - temperature)
        alpha = 1 / rise
        dz, dg = z - jnp.mean(z, 0, keepdims=True), jnp.mean(residual, 0, keepdims=True) - residual
        gain = jnp.linalg.solve(dg.T @ dg / (count - 1) + alpha * jnp.eye(dg.shape[1]), dg.T @ dz / (count - 1))
        noise = jnp.sqrt(alpha) * jax.random.normal(now, residual.shape)
        done = temperature + rise
        return z + (residual + noise) @ gain, key, jnp.where(done > 1 - 1e-12, 1.0, done), rounds + 1

    start = (z, second, jnp.zeros((), z.dtype), jnp.zeros((), int))
    z, _, temperature, _ = jax.lax.while_loop(lambda c: (c[2] < 1) & (c[3] < ROUNDS), stage, start)
    return z, temperature


def ensemble_posterior(problem: Problem, seed: int = 0, count: int = 1000) -> Draws:
    """The posterior of one problem by ensemble Kalman inversion; the estimator by this name.

    Exact for linear models with normal errors and many members. It sees means and covariances only: with curved or several-moded
    posteriors its spread is wrong, usually too small, and nothing in the ensemble says so. Check it by simulation-based calibration.

    Raises:
        InputError: A likelihood without residuals, a noise scale that is a parameter, or fewer than two members.
    """
    check_seed(seed)
    check_number("members", count, 2)
    named = [leaf for one in problem.series for leaf in jax.tree.leaves(one.likelihood) if isinstance(leaf, str)]
    if named or not problem.has_residuals:
        raise InputError(
            got=f"ensemble inversion with {named[0]!r} as noise scale" if named else "ensemble inversion of a likelihood without residuals",
            expected="normal errors of some kind, with scales that are numbers",
            do="give the scale as a number, or use tempered sequential Monte Carlo",
        )
    z, temperature = inverted_ensemble(problem, jax.random.key(seed), count)
    effective = np.full(problem.size, float(count))
    return collected(problem, z[None], "ensemble inversion", effective=effective, converged=bool(temperature >= 1))


def _residuals(problem: Problem, z: Array) -> Array:
    """Whitened residuals of the data alone; zero where missing, huge but finite where the model failed."""
    values, parts = problem.values(z), []
    for one, prediction in zip(problem.series, problem.predictions(z), strict=True):
        seen = one.mask
        found = one.likelihood.least_squares(jnp.where(seen, one.values, 1.0), jnp.where(seen, prediction, 1.0), values)
        parts.append(jnp.where(seen, jnp.nan_to_num(found[0], nan=1e3, posinf=1e3, neginf=-1e3), 0.0) if found else jnp.zeros(0))
    return jnp.concatenate(parts)
