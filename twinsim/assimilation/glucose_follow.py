"""Calibrates the glucose twin on what is past, and lets it follow a monitor."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import minimize

from solvers.shapes import Index, Scalar
from twinsim.assimilation.assimilator import Assimilator, Belief
from twinsim.assimilation.ensemble_kalman import EnsembleKalmanFilter
from twinsim.assimilation.ensemble_smoother import EnsembleKalmanSmoother
from twinsim.assimilation.extended_kalman import ExtendedKalmanFilter, NormalBelief, normal_ensemble
from twinsim.assimilation.fixed_lag import FixedLagSmoother
from twinsim.assimilation.forecast_service import ForecastService
from twinsim.assimilation.gate import Gate
from twinsim.assimilation.glucose_twin import GLUCOSE_CHANNEL, GLUCOSE_PRIORS, glucose_twin_at
from twinsim.assimilation.linearised_step import NormalState, linearised_forecast
from twinsim.assimilation.live_twin import LiveTwin, Rules
from twinsim.assimilation.particle_filter import ParticleFilter
from twinsim.assimilation.reading import Reading
from twinsim.assimilation.stream_model import StreamModel

STEP, STEPS = 5.0, 12
_SCORED = np.array([6, 12])  # steps ahead whose forecasts calibrate
RUN_IN = 12  # readings that only settle the state
Method = Literal["extended", "ensemble", "smoother", "particle", "fixed_lag"]


@dataclass(frozen=True)
class Calibration:
    """Parameters at the largest posterior score, in standard-normal coordinates, and how the search ended."""

    z: np.ndarray
    score: float
    evaluations: int
    message: str


def targets_of(minutes: np.ndarray, values: np.ndarray, steps: int) -> np.ndarray:
    """The reading within a minute of ``steps`` times five minutes later, for every reading; NaN where there is none."""
    ahead = minutes + steps * STEP
    place = np.searchsorted(minutes, ahead - 1.0)
    inside = place < len(minutes)
    place = np.where(inside, place, 0)
    return np.where(inside & (np.abs(minutes[place] - ahead) <= 1.0), values[place], np.nan)


def negative_score(
    z: Float[Array, " p"], times: Float[Array, " t"], values: Float[Array, " t"], targets: Float[Array, "t h"], count: Index
) -> Scalar:
    r"""$\tfrac12 z^Tz - \sum_h \tfrac1h\sum_t \log N(y_{t+h};\ \hat y_{t+h\mid t}, s^2_{t+h\mid t})$ over the first ``count`` readings.

    Forecasts 30 and 60 minutes ahead, made with the extended Kalman filter: they, not the next reading, are what the twin is for. The
    targets of one horizon overlap, so that $h$ of them count as one.
    """
    model = glucose_twin_at(z)
    method, here = ExtendedKalmanFilter(Gate(limit=float("inf"), action="flag")), jnp.ones(1, bool)
    still = jnp.zeros(model.noise_size, z.dtype)

    def ahead(state: NormalState, nothing: None) -> tuple[NormalState, tuple[Scalar, Scalar]]:
        del nothing
        state, _ = linearised_forecast(model, state, jnp.zeros((), z.dtype), jnp.asarray(STEP, z.dtype), state.mean, still)
        return state, (model.predict(state.mean)[0], state.covariance[3, 3] + model.noise**2)

    def use(index: Index, carry: tuple[NormalBelief, Scalar]) -> tuple[NormalBelief, Scalar]:
        belief, total = carry
        belief, _ = method.update(model, belief, times[index], values[index][None], here, jax.random.key(0))
        _, (means, variances) = jax.lax.scan(ahead, belief.state, None, length=STEPS)
        mean, variance, target = means[_SCORED - 1], variances[_SCORED - 1], targets[index]
        there = jnp.isfinite(target) & (index >= RUN_IN)
        terms = 0.5 * (jnp.where(there, target, mean) - mean) ** 2 / variance + 0.5 * jnp.log(variance)
        return belief, total + jnp.sum(jnp.where(there, terms, 0.0) / jnp.asarray(_SCORED, z.dtype))

    start = NormalBelief(model.before_the_first_reading(), times[0] - STEP)
    _, total = jax.lax.fori_loop(0, count, use, (start, jnp.zeros((), z.dtype)))
    return 0.5 * z @ z + total


@jax.jit
def _value_and_slope(z: Array, times: Array, values: Array, targets: Array, count: Array) -> tuple[Array, Array]:
    size = z.shape[0]

    def along(direction: Array) -> tuple[Array, Array]:
        return jax.jvp(lambda z: negative_score(z, times, values, targets, count), (z,), (direction,))

    value, slope = jax.vmap(along)(jnp.eye(size, dtype=z.dtype))
    return value[0], slope


def calibrated(minutes: np.ndarray, values: np.ndarray, padded: int, start: np.ndarray | None = None, iterations: int = 25) -> Calibration:
    """Parameters from what is past, by L-BFGS with exact forward-mode gradients.

    Args:
        minutes: Times of the past readings, in any order.
        values: Glucose, mg/dL; NaN is left out.
        padded: Length of the arrays of the compiled program, at least as many as there are readings: one compilation serves all pasts.
        start: Coordinates to start from; None the priors' medians.
        iterations: Most steps.
    """
    order = np.argsort(minutes, kind="stable")
    order = order[np.isfinite(values[order])]
    times, glucose = minutes[order], values[order]
    targets = np.stack([targets_of(times, glucose, int(steps)) for steps in _SCORED], 1)
    fill = padded - len(times)
    arrays = (np.pad(times, (0, fill)), np.pad(glucose, (0, fill)), np.pad(targets, ((0, fill), (0, 0)), constant_values=np.nan))
    kind = jnp.zeros(()).dtype

    def evaluate(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _value_and_slope(jnp.asarray(z, kind), *(jnp.asarray(a, kind) for a in arrays), jnp.asarray(len(times)))
        return float(value), np.asarray(slope, float)

    begin = np.zeros(len(GLUCOSE_PRIORS)) if start is None else start
    found = minimize(evaluate, begin, jac=True, method="L-BFGS-B", bounds=[(-5.0, 5.0)] * len(begin), options={"maxiter": iterations})
    return Calibration(np.asarray(found.x), float(found.fun), int(found.nfev), str(found.message))


def method_named(name: Method, model: StreamModel, prior: NormalBelief, members: int, lag: int) -> tuple[Assimilator, Belief]:
    """A method with settings that suit one patient's glucose, and its belief with the moments of a normal one."""
    gate = Gate(4.0, "weigh")
    draws = normal_ensemble(prior.state, prior.time, jax.random.key(17), members)
    if name == "extended":
        return ExtendedKalmanFilter(gate), prior
    if name == "fixed_lag":
        method = FixedLagSmoother(lag, 2, gate)
        return method, method.begin(model, prior.state, prior.time, 1)
    if name == "ensemble":
        return EnsembleKalmanFilter(inflation=1.01, gate=gate), draws
    if name == "smoother":
        smoother = EnsembleKalmanSmoother(lag, inflation=1.01, gate=gate)
        return smoother, smoother.begin(draws)
    return ParticleFilter(gate=gate), draws


def follow(
    calibration: Calibration, folder: Path, minutes: np.ndarray, values: np.ndarray, before: NormalBelief | None, name: Method,
    members: int, lag: int, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Lets a calibrated twin follow readings, each through the journal, and forecasts after each.

    Args:
        calibration: Its parameters.
        folder: Of its journal; must be new.
        minutes: Times of the readings, in order of arrival.
        values: mg/dL.
        before: Belief that an earlier twin of the same patient ended with; None the prior.
        name: The method.
        members: Of an ensemble, and draws of a forecast.
        lag: Of a smoother and of late readings.
        seed: Of the draws.

    Returns:
        Per reading: forecast ``mean``, ``deviation``, ``low`` and ``high`` (5 % and 95 %) 5 to 60 minutes ahead, ``predicted`` (of the
        reading itself), ``outlier``, ``seconds``; NaN where it was refused. Further ``outcomes`` by name, the last ``belief``, ``z``.
    """
    model = glucose_twin_at(jnp.asarray(calibration.z))
    prior = before or NormalBelief(model.before_the_first_reading(), jnp.asarray(minutes[0] - STEP))
    prior = jax.tree.map(jnp.asarray, prior)
    method, belief = method_named(name, model, prior, members, lag)
    rules = Rules(lag, gap=2.5 * STEP, longest_gap=7 * 24 * 60.0)
    service = ForecastService(model, method, belief, STEP, STEPS, members, seed)
    rows: dict[str, list[Any]] = {key: [] for key in ("mean", "deviation", "low", "high", "predicted", "outlier", "seconds")}
    outcomes: Counter[str] = Counter()
    nothing = np.full(STEPS, np.nan)
    with LiveTwin(folder, model, method, belief, (GLUCOSE_CHANNEL,), float(prior.time), rules, seed) as twin:
        for time, value in zip(minutes, values, strict=True):
            receipt = twin.assimilate(Reading("glucose", float(time), float(value), "mg/dL"))
            outcomes[receipt.outcome.value] += 1
            said = receipt.innovation
            found = None if said is None else jax.device_get(service.forecast(twin.belief))
            rows["mean"].append(nothing if found is None else found.mean[:, 0])
            rows["deviation"].append(nothing if found is None else found.deviation[:, 0])
            rows["low"].append(nothing if found is None else found.quantiles[0, :, 0])
            rows["high"].append(nothing if found is None else found.quantiles[2, :, 0])
            rows["predicted"].append(np.nan if said is None else float(said.predicted[0]))
            rows["outlier"].append(said is not None and bool(said.outlier[0]))
            rows["seconds"].append(receipt.seconds)
        ended = twin.ensemble(2000)
        weights = np.exp(np.asarray(ended.log_weights))
        cloud = np.asarray(ended.members)
        mean = weights @ cloud
        spread = (cloud - mean).T @ ((cloud - mean) * weights[:, None])
        last = NormalBelief(NormalState(jnp.asarray(mean), jnp.asarray(spread)), ended.time)
    arrays = {key: np.asarray(column) for key, column in rows.items()}
    return arrays | {"outcomes": dict(outcomes), "belief": jax.device_get(last), "z": calibration.z}
