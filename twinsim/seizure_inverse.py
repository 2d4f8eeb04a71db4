"""Which regions of a brain are epileptogenic: a network of Epileptor planes fitted to what contacts recorded of one seizure."""

from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.stats import norm

from physics import DifferenceCoupling, EpileptorPlane
from physics.mass_epileptor import EPILEPTOR_PLANE_2014
from twinsim.inference.laplace import Laplace, laplace
from twinsim.inference.likelihood import Normal
from twinsim.inference.maximum import Maximum, maximise
from twinsim.inference.nuts import nuts_chains
from twinsim.inference.problem import Problem
from twinsim.inference.series import series
from twinsim.prior import Prior, Values

THRESHOLD = -4 / 3 - (4.1 - 32 / 27) / 4
"""Above it a region seizes by itself: the fold of the plane, -2.06204, for a slow permittivity."""
PULLS = (2.0, 1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.01)
"""Strengths, per unit of time, with which simulated sources are drawn to the data before the fit that leaves them free."""
REACH = (-2.5, 1.5)
"""Of the fast variable at the first moment: what it visits, so that an odd first sample doesn't run off."""
SHARED = (
    Prior("coupling", "1", 1.0, 0.3, "log", "scale of the difference coupling, chosen here"),
    Prior("slow_time", "1", 20.0, 0.2, "log", "permittivity against fast variable, in units of the fast time; chosen here"),
    Prior("offset", "1", 0.0, 1.0, "identity", "of the recorded feature", convention=True),
    Prior("scale", "1", 1.0, 0.2, "log", "of the recorded feature over the fast variable", convention=True),
)


class SeizureModel(eqx.Module):
    r"""Sources $x$ of :class:`physics.EpileptorPlane` regions and what contacts see, $y = a + b\,Gx$.

    $$\dot x = 1 - x^3 - 2x^2 - z + 3.1 + \kappa\,P(y^{obs} - a - bGx),\qquad
    \dot z = \tfrac1\tau\left(4(x-x_0) - z - K\textstyle\sum_jw_{ij}(x_j-x_i)\right)$$

    by Heun's method. $\kappa$ draws sources to the data while a fit looks for its valley, and is zero in the end.

    Attributes:
        weights: ``[to, from]``.
        gain: $G$.
        inverse: $P$, from contacts back to regions, by a ridge.
        start: $x, z$ at the first moment; None takes $x$ from the first sample and $z$ where $\dot x = 0$.
        step: Of time, in units of the fast variable; 0.1.
        every: Steps from one sample to the next.
    """

    weights: Float[Array, "regions regions"]
    gain: Float[Array, "contacts regions"]
    inverse: Float[Array, "regions contacts"]
    start: Float[Array, "2 regions"] | None
    step: float = eqx.field(static=True, default=0.1)
    every: int = eqx.field(static=True, default=2)

    @classmethod
    def between(cls, weights: np.ndarray, gain: np.ndarray, resting: bool, every: int = 2, ridge: float = 0.05) -> "SeizureModel":
        """With the ridge's inverse; from rest, or from the first sample."""
        inverse = np.linalg.solve(gain.T @ gain + ridge * np.eye(gain.shape[1]), gain.T)
        start = jnp.stack([jnp.full(len(weights), -2.0), jnp.full(len(weights), 5.0)]) if resting else None
        return cls(jnp.asarray(weights), jnp.asarray(gain), jnp.asarray(inverse), start, every=every)

    def sources(
        self, epileptogenicity: Float[Array, " regions"], values: Values, observed: Float[Array, "times contacts"], pull: Array
    ) -> Float[Array, "times regions"]:
        """$x$ at every sample."""
        mass = EpileptorPlane(epileptogenicity, values["slow_time"], jnp.asarray(EPILEPTOR_PLANE_2014["input"].value))
        coupling, total = DifferenceCoupling(values["coupling"]), jnp.sum(self.weights, axis=1)[None]
        offset, scale = values["offset"], values["scale"]

        def rates(state: Array, seen: Array) -> Array:
            own = mass.heard(state)
            effect = coupling.effect(own, coupling.sent(own) @ self.weights.T, total)
            missed = self.inverse @ (seen - offset - scale * (self.gain @ state[0]))
            return mass.rates(state, effect).at[0].add(pull * missed)

        def step(state: Array, seen: Array) -> Array:
            first = rates(state, seen)
            second = rates(state + self.step * first, seen)
            return state + 0.5 * self.step * (first + second)

        def sample(state: Array, seen: Array) -> tuple[Array, Array]:
            state = jax.lax.fori_loop(0, self.every, lambda _, state: step(state, seen), state)
            return state, state[0]

        start = self.start
        if start is None:
            x = jnp.clip(self.inverse @ (observed[0] - offset) / scale, *REACH)
            start = jnp.stack([x, 1 - x * x * (x + 2) + mass.input])
        return jax.lax.scan(sample, start, observed)[1]

    def predict(self, values: Values, times: tuple[Array, ...], record: tuple[Array, Array]) -> tuple[Array]:
        """Contacts at every sample, flat, for :class:`twinsim.inference.problem.Problem`."""
        epileptogenicity = jnp.stack([value for name, value in values.items() if name.startswith("epileptogenicity ")])
        x = self.sources(epileptogenicity, values, *record)
        return ((values["offset"] + values["scale"] * x @ self.gain.T).reshape(-1),)


@dataclass(frozen=True, eq=False)
class EpileptogenicZone:
    """The posterior of each region's $x_0$.

    Attributes:
        regions: Names.
        mean: Of $x_0$.
        sd: By the curvature of the squared residuals at the maximum (Laplace), or of draws.
        probability: That $x_0$ is above :data:`THRESHOLD`.
        residual: Standard deviation of what the fit leaves of the data.
        shared: Medians of the parameters that all regions share.
        maximum: Where the search ended.
        problem: What was fitted, without any pull; for samplers.
        root: Cholesky factor of the Laplace covariance of its coordinates.
    """

    regions: tuple[str, ...]
    mean: np.ndarray
    sd: np.ndarray
    probability: np.ndarray
    residual: float
    shared: dict[str, float]
    maximum: Maximum
    problem: Problem
    root: Float[np.ndarray, "parameters parameters"]


def seizure_problem(
    model: SeizureModel,
    regions: tuple[str, ...],
    observed: Float[np.ndarray, "times contacts"],
    noise: float,
    epileptogenicity: tuple[float, float],
    shared: tuple[Prior, ...] = SHARED,
    pull: float = 0.0,
) -> Problem:
    """The calibration: normal errors of the standard deviation ``noise``, and $x_0$ of all regions normal with this mean and spread."""
    mean, spread = epileptogenicity
    own = tuple(Prior(f"epileptogenicity {one}", "1", mean, spread, "identity", "population of regions") for one in regions)
    times = np.repeat(np.arange(len(observed), dtype=float), observed.shape[1])
    data = series(times, observed.reshape(-1), Normal(noise), "feature")  # pyright: ignore[reportCallIssue]
    return Problem(own + shared, model.predict, (data,), record=(jnp.asarray(observed), jnp.asarray(pull)))


def fit_seizure(
    model: SeizureModel,
    regions: tuple[str, ...],
    observed: Float[np.ndarray, "times contacts"],
    noise: float,
    epileptogenicity: tuple[float, float],
    shared: tuple[Prior, ...] = SHARED,
    start: EpileptogenicZone | None = None,
    steps: int = 60,
) -> EpileptogenicZone:
    """The maximum a posteriori, followed from sources that are drawn to the data to sources that are free; then Laplace.

    A seizure that starts at the wrong moment is a valley of its own: from the prior's centre without a pull the search ends in one in most
    virtual patients. Each pull starts where the one before it ended, with at most ``steps`` steps of Levenberg and Marquardt; from the
    ``start`` of an earlier fit there is the free one only.
    """
    z = None if start is None else start.maximum.z[None]
    for pull in PULLS if start is None else ():
        drawn = seizure_problem(model, regions, observed, noise, epileptogenicity, shared, pull)
        z = maximise(drawn, start=z, steps=steps).z[None]
    problem = seizure_problem(model, regions, observed, noise, epileptogenicity, shared)
    found = maximise(problem, start=z, steps=steps)
    normal = _curvature(problem, found.z)
    mean, covariance = np.asarray(normal.mean), np.asarray(normal.covariance)
    count, sd = len(regions), np.sqrt(np.diagonal(covariance))
    mean, sd = epileptogenicity[0] + epileptogenicity[1] * mean[:count], epileptogenicity[1] * sd[:count]
    left = float(np.std(np.asarray(problem.series[0].values) - np.asarray(problem.predictions(found.z)[0])))
    values = problem.values(found.z)
    common = {one.name: float(values[one.name]) for one in shared}
    probability = np.asarray(norm.sf(THRESHOLD, mean, sd))
    return EpileptogenicZone(regions, mean, sd, probability, left, common, found, problem, np.linalg.cholesky(covariance))


@eqx.filter_jit
def _curvature(problem: Problem, z: Float[Array, " parameters"]) -> Laplace:
    return laplace(problem, z, "gauss_newton")


def sampled_zone(zone: EpileptogenicZone, seed: int, chains: int = 2, warmup: int = 150, count: int = 150) -> EpileptogenicZone:
    """The same with means, spreads and probabilities of draws by the no-U-turn sampler, where Laplace's normal is round."""
    problem, centre, root = zone.problem, zone.maximum.z, jnp.asarray(zone.root)
    first, second = jax.random.split(jax.random.key(seed))
    start = 0.5 * jax.random.normal(first, (chains, len(root)))
    density = eqx.Partial(_round_density, problem, centre, root)
    draws, _ = nuts_chains(density, start, second, warmup, count, dense=False)
    own = np.asarray(centre + draws.reshape(-1, len(root)) @ root.T)[:, : len(zone.regions)]
    x0 = np.stack([np.asarray(prior.value(column)) for prior, column in zip(problem.priors, own.T, strict=False)], axis=1)
    return replace(zone, mean=x0.mean(axis=0), sd=x0.std(axis=0), probability=(x0 > THRESHOLD).mean(axis=0))


def _round_density(problem: Problem, centre: Array, root: Array, white: Array) -> Array:
    return problem.log_posterior(centre + root @ white)
