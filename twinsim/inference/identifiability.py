"""What the data can tell: Fisher information in words, profile likelihoods, Sobol indices, the next measurement."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Float
from scipy import stats

from twinsim.errors import InputError
from twinsim.inference.population import _index
from twinsim.inference.problem import Problem
from twinsim.option_checks import check_number, check_seed
from twinsim.prior import Prior, Values

OPEN = 1.0  # information below that of the prior: the data say less about a direction than was known before
PROFILE_DROP = 1.92  # half the 95 % point of chi-squared with one degree of freedom


@dataclass(frozen=True)
class Information:
    """Fisher information of the data in coordinates where the prior has variance one.

    Attributes:
        priors: One per coordinate.
        matrix: Without the prior's own.
    """

    priors: tuple[Prior, ...]
    matrix: np.ndarray

    @property
    def eigenvalues(self) -> np.ndarray:
        """Information per principal direction, ascending; 1 is as much as the prior knows."""
        return np.linalg.eigvalsh(self.matrix)

    @property
    def open_directions(self) -> list[str]:
        """In words, the directions that the data leave open, worst first; empty where they fix every parameter."""
        found = []
        eigenvalues, vectors = np.linalg.eigh(self.matrix)
        for value, direction in zip(eigenvalues, vectors.T, strict=True):
            if value < OPEN:
                found.append(self._words(direction))
        return found

    def _words(self, direction: np.ndarray) -> str:
        moves = direction / direction[np.argmax(np.abs(direction))]
        order = [i for i in np.argsort(-np.abs(moves)) if abs(moves[i]) >= 0.1]
        parts = []
        for i in order:
            prior = self.priors[i]
            verb = "up" if moves[i] > 0 else "down"
            if prior.transform == "log":
                parts.append(f"{prior.name} {verb} by a factor {np.exp(prior.spread * abs(moves[i])):.2g}")
            else:
                parts.append(f"{prior.name} {verb} by {abs(moves[i]):.1f} prior standard deviations")
        if len(parts) == 1:
            return f"the data do not see {self.priors[order[0]].name}: {parts[0]} changes no prediction by more than its noise"
        return "the data do not tell apart: " + ", with ".join([parts[0], " and ".join(parts[1:])])


@eqx.filter_jit
def _information(problem: Problem, z: Array) -> Array:
    if problem.has_residuals:
        jacobian = jax.jacfwd(problem.residuals)(z)[problem.size :]
        return jacobian.T @ jacobian
    return -jax.hessian(problem.log_likelihood)(z)


def fisher_information(problem: Problem, z: Float[Array, " parameters"]) -> Information:
    """Information of the data at a point, the maximum say: from whitened residuals where there are some, else the observed one.

    It is local: at another point another direction may be open. A profile (:func:`profile`) looks further.
    """
    root = np.eye(problem.size) if problem.root is None else np.asarray(problem.root)
    return Information(problem.priors, root.T @ np.asarray(_information(problem, jnp.asarray(z))) @ root)


@dataclass(frozen=True)
class Profile:
    """The best log likelihood for each fixed value of one parameter.

    Attributes:
        name: The parameter.
        values: Its values.
        log_likelihood: With everything else fitted, relative to the largest.
    """

    name: str
    values: np.ndarray
    log_likelihood: np.ndarray

    @property
    def words(self) -> str:
        """Whether the data bound the parameter from both sides within the values tried, at 95 %."""
        inside = np.flatnonzero(self.log_likelihood > -PROFILE_DROP)
        low, high = inside[0] > 0, inside[-1] < len(self.values) - 1
        ends = f"{self.values[inside[0]]:.3g} to {self.values[inside[-1]]:.3g}"
        if low and high:
            return f"{self.name} is bounded: {ends}"
        side = "from above" if low else "from below" if high else "on either side"
        return f"{self.name} is not bounded by the data {side}"


@eqx.filter_jit
def _profile(problem: Problem, index: Array, grid: Array, start: Array) -> Array:
    def best(carry: Array, at: Array) -> tuple[Array, Array]:
        def objective(z: Array, _: None) -> Array:
            z = z.at[index].set(at)
            others = problem.whiten(z).at[index].set(0.0)
            value = -problem.log_likelihood(z) + 0.5 * jnp.sum(others**2)
            return jnp.where(jnp.isfinite(value), value, 1e10)

        end = optx.minimise(objective, optx.BFGS(1e-6, 1e-6), carry, max_steps=300, throw=False)
        return end.value.at[index].set(at), -objective(end.value, None)

    middle = jnp.argmin(jnp.abs(grid - start[index]))
    sweep = jnp.concatenate([jnp.arange(len(grid)), jnp.arange(len(grid))[::-1]])  # there and back: warm starts from both sides
    _, found = jax.lax.scan(best, start, grid[(sweep + middle) % len(grid)])
    both = jnp.stack([found[: len(grid)], found[len(grid) :][::-1]])
    return jnp.zeros(len(grid)).at[(jnp.arange(len(grid)) + middle) % len(grid)].set(jnp.max(both, 0))


def profile(problem: Problem, name: str, start: Float[Array, " parameters"], reach: float = 2.5, points: int = 21) -> Profile:
    """Profile likelihood of one parameter within so many prior standard deviations of zero; the priors of the others stay.

    Source: Raue et al. (2009), *Bioinformatics* 25, 1923.

    Raises:
        InputError: An unknown parameter, fewer than two points, or a reach that is not above zero.
    """
    index = _index(problem.priors, name)
    check_number("points", points, 2)
    check_number("reach", reach, 1e-6)
    grid = jnp.linspace(-reach, reach, points)
    found = np.asarray(_profile(problem, jnp.asarray(index), grid, jnp.asarray(start)))
    return Profile(name, np.asarray(problem.priors[index].value(grid)), found - found.max())


def sobol(
    priors: tuple[Prior, ...], quantity: Callable[[Values], Array], count: int = 1024, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """First-order and total Sobol index of a scalar quantity per parameter, under the prior.

    First order is the share of the variance that knowing this parameter alone would remove, total what stays while only it is unknown.
    Source: Saltelli et al. (2010), *Comput Phys Commun* 181, 259; computed by SciPy. `count` is a power of two.

    Raises:
        InputError: A count that is no power of two, a seed below zero, or a quantity that is no scalar.
    """
    check_seed(seed)
    if count < 2 or count & (count - 1):
        raise InputError(f"count {count}", "a power of two, 2 or more", f"use {2 ** max(1, round(np.log2(max(count, 2))))}")
    shape = jax.eval_shape(quantity, {p.name: jnp.asarray(p.median) for p in priors}).shape
    if shape != ():
        raise InputError(f"a quantity of shape {shape}", "one number", "ask for its components one by one")
    run = jax.jit(jax.vmap(lambda z: quantity({p.name: p.value(z[i]) for i, p in enumerate(priors)})))
    found = stats.sobol_indices(
        func=lambda x: np.array(run(jnp.asarray(x.T)))[None],
        n=count,
        dists=[stats.norm()] * len(priors),
        rng=np.random.default_rng(seed),
    )
    first, total = np.atleast_2d(found.first_order)[0], np.atleast_2d(found.total_order)[0]
    return {prior.name: (float(first[i]), float(total[i])) for i, prior in enumerate(priors)}


def expected_information(problem: Problem, draws: Float[Array, "draws parameters"], time: Array, which: int = 0) -> Array:
    r"""Expected information gain (nats) of one more reading of a series at `time`: mean over draws of $\tfrac12\log(1+JCJ^T)$.

    $J$ is the derivative of the whitened prediction, $C$ the covariance of the draws. Exact for linear models with normal errors.
    """
    centred = draws - jnp.mean(draws, 0, keepdims=True)
    covariance = centred.T @ centred / (len(draws) - 1)
    likelihood = problem.series[which].likelihood
    times = tuple(jnp.reshape(time, (1,)) for _ in problem.series)

    def gain(z: Array) -> Array:
        seen = jax.lax.stop_gradient(problem.predictions(z, times)[which])

        def whitened(point: Array) -> Array:
            parts = likelihood.least_squares(seen, problem.predictions(point, times)[which], problem.values(point))
            return parts[0][0] if parts else jnp.zeros(())

        slope = jax.grad(whitened)(z)
        return 0.5 * jnp.log1p(slope @ covariance @ slope)

    return jnp.mean(jax.vmap(gain)(draws))


def next_measurement(
    problem: Problem, draws: Float[Array, "draws parameters"], window: tuple[float, float], which: int = 0, starts: int = 8
) -> tuple[float, float]:
    """The time in a window at which one more reading tells most, by gradient from several starts, and its gain in nats.

    Raises:
        InputError: A window that does not go forward between finite times, or a series that the problem does not have.
    """
    low, high = window
    if not (np.isfinite(window).all() and low < high):
        raise InputError(f"the window {low:g} to {high:g}", "finite times, the earlier one first", "correct the window")
    check_number("which", which, 0, len(problem.series) - 1)
    check_number("starts", starts, 1)

    @eqx.filter_jit
    def search(problem: Problem, draws: Array, begin: Array) -> tuple[Array, Array]:
        def objective(x: Array, _: None) -> Array:
            return -expected_information(problem, draws, low + (high - low) * jax.nn.sigmoid(x), which)

        def one(x: Array) -> tuple[Array, Array]:
            end = optx.minimise(objective, optx.BFGS(1e-6, 1e-6), x, max_steps=60, throw=False).value
            return low + (high - low) * jax.nn.sigmoid(end), -objective(end, None)

        return jax.vmap(one)(begin)

    times, gains = search(problem, jnp.asarray(draws), jnp.linspace(-2.5, 2.5, starts))
    best = int(jnp.nanargmax(gains))
    return float(times[best]), float(gains[best])
