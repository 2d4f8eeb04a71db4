"""A twin of a person's seizures: a hidden distance from the fold, seen through band power, spikes and the seizures themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from physics import NoisyFold
from solvers.shapes import Scalar
from twinsim.assimilation import Ensemble, Gate, ParticleFilter, StreamModel, equal_ensemble
from twinsim.assimilation.stream_model import Noise, StateVector, Values

DAY_H = 24.0
SECOND_H = 1 / 3600
NEAREST = 0.01  # distance over which activity stops to grow at the fold
DISTANCE = 0.06  # at which links to activity are centred
FORGETTING_H = 1500.0  # over which the multidien cycle loses its phase
CYCLE_SIZE = 0.008
CHANNELS = ("log band power", "log spikes", "seizure")


class SeizureTwin(StreamModel):
    r"""Distance from the fold $\mu = \bar\mu - c_1\cos\omega t - c_2\sin\omega t - a - e + p$ and what is seen of it.

    $\omega$: 24 h. $(a,b)$: a noisy oscillator with the multidien period. $e$: an Ornstein-Uhlenbeck process. $p$: after a seizure
    ``after_seizure``, decaying. Seizures come at the rate of :class:`physics.NoisyFold`; log band power and log spike counts are linear in
    $-\log\sqrt{\mu^2+0.01^2}$, since fluctuations and excursions grow as the fold comes near.

    The state is the clock in hours, $p$, $e$, $a$, $b$; disturbances move $e$, $a$, $b$. Every attribute is one number; hours, and $\mu$ in
    units of the Epileptor's permittivity.

    Sources: cycles of risk, Baud et al. 2018, Nat Commun 9, 88; slowing before seizures, Maturana et al. 2020, Nat Commun 11, 2172; the
    fold, Jirsa et al. 2014, Brain 137, 2210.
    """

    mean: Scalar
    cosine: Scalar
    sine: Scalar
    wander: Scalar
    wander_time: Scalar
    period: Scalar
    after_seizure: Scalar
    recovery_time: Scalar
    noise: Scalar
    power: Scalar
    power_gain: Scalar
    power_error: Scalar
    spikes: Scalar
    spikes_gain: Scalar
    spikes_error: Scalar
    interval: Scalar
    noise_size: int = eqx.field(static=True, default=3)

    def distance(self, state: StateVector) -> Scalar:
        r"""$\mu$."""
        clock, after, wander, cycle, _ = state
        angle = 2 * jnp.pi * clock / DAY_H
        return self.mean - self.cosine * jnp.cos(angle) - self.sine * jnp.sin(angle) - cycle - wander + after

    def log_hazard(self, state: StateVector, rhythm: Scalar | None = None) -> Scalar:
        """Logarithm of seizures per hour; ``rhythm`` in place of mean and daily cycle at the clock."""
        fold = NoisyFold(self.noise, jnp.full_like(self.noise, 2.0), jnp.full_like(self.noise, SECOND_H))
        return fold.log_rate(self.distance(state) if rhythm is None else rhythm - state[3] - state[2] + state[1])

    def advance(self, state: StateVector, start: Scalar, length: Scalar, noise: Noise) -> StateVector:
        """See :class:`StreamModel`; exact."""
        del start
        clock, after, wander, cycle, quarter = state
        keep = jnp.exp(-length / self.wander_time)
        wander = keep * wander + self.wander * _root(1 - keep**2) * noise[0]
        turn, fade = 2 * jnp.pi * length / self.period, jnp.exp(-length / FORGETTING_H)
        fresh = CYCLE_SIZE * _root(1 - fade**2)
        cycle, quarter = (
            fade * (cycle * jnp.cos(turn) - quarter * jnp.sin(turn)) + fresh * noise[1],
            fade * (cycle * jnp.sin(turn) + quarter * jnp.cos(turn)) + fresh * noise[2],
        )
        return jnp.stack([clock + length, after * jnp.exp(-length / self.recovery_time), wander, cycle, quarter])

    def predict(self, state: StateVector) -> Values:
        """Log band power, log spikes, and expected seizures of one interval."""
        near = closeness(self.distance(state))
        return jnp.stack(
            [self.power + self.power_gain * near, self.spikes + self.spikes_gain * near, jnp.exp(self.log_hazard(state)) * self.interval]
        )

    def error(self, predicted: Values) -> Values:
        """See :class:`StreamModel`; of the seizure channel unused."""
        return jnp.stack([self.power_error, self.spikes_error, jnp.ones_like(predicted[2])])

    def admissible(self, state: StateVector) -> StateVector:
        """Any."""
        return state


def closeness(distance: Array) -> Array:
    """Zero at a distance of 0.06, growing towards the fold."""
    return -0.5 * jnp.log((distance**2 + NEAREST**2) / (DISTANCE**2 + NEAREST**2))


def _root(square: Array) -> Array:
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


class SeizureScatter(eqx.Module):
    """Readings about predictions: normal for the two kinds of activity, one or no seizure for the third channel."""

    error: Float[Array, " 2"]

    def log_density(self, data: Any, prediction: Any) -> Any:
        """Log density per reading."""
        error = jnp.broadcast_to(self.error.reshape(*(1,) * (data.ndim - 1), 2), data[..., :2].shape)
        normal = -0.5 * ((data[..., :2] - prediction[..., :2]) / error) ** 2 - jnp.log(error) - 0.5 * jnp.log(2 * jnp.pi)
        expected = prediction[..., 2]
        seizure = jnp.where(data[..., 2] > 0.5, jnp.log(-jnp.expm1(-jnp.maximum(expected, 1e-12))), -expected)
        return jnp.concatenate([normal, seizure[..., None]], axis=-1)


@dataclass(frozen=True)
class SeizureRecord:
    """What was recorded of one person, in even intervals.

    Attributes:
        times: Ends of the intervals, hours since midnight of the first day.
        readings: ``(times, 3)``: log band power, log(spikes + 1/2), 1 where a seizure began.
        present: Which of them count; activity just after a seizure does not.
    """

    times: Float[np.ndarray, " times"]
    readings: Float[np.ndarray, "times 3"]
    present: Bool[np.ndarray, "times 3"]

    @property
    def interval(self) -> float:
        """Hours."""
        return float(self.times[1] - self.times[0])

    def until(self, hours: float) -> "SeizureRecord":
        """The intervals that end up to then."""
        keep = self.times <= hours + 1e-9
        return SeizureRecord(self.times[keep], self.readings[keep], self.present[keep])


NAMES = tuple(name for name in SeizureTwin.__dataclass_fields__ if name not in ("interval", "noise_size"))
_SIGNED = ("cosine", "sine", "power", "spikes")
CENTRES = {
    "mean": (0.065, 0.25), "cosine": (0.0, 0.006), "sine": (0.0, 0.006), "wander": (0.005, 0.5), "wander_time": (12.0, 0.5),
    "period": (480.0, 0.1), "after_seizure": (0.5, 0.7), "recovery_time": (4.0, 0.5), "noise": (0.0015, 0.25), "power": (0.0, 2.0),
    "power_gain": (0.7, 0.4), "power_error": (0.15, 0.5), "spikes": (3.5, 1.5), "spikes_gain": (2.5, 0.4), "spikes_error": (0.4, 0.5),
}  # fmt: skip
"""Prior of each parameter: centre and spread; of the logarithm except for what can be negative. Assumptions, not measurements."""


def twin_of(white: Float[Array, " parameters"], interval: float, period_h: float | Scalar) -> SeizureTwin:
    """The twin at standard-normal coordinates of the prior, whose period is centred where it is given."""
    found = {}
    for place, name in enumerate(NAMES):
        centre, spread = CENTRES[name]
        centre = period_h if name == "period" else centre
        found[name] = centre + spread * white[place] if name in _SIGNED else centre * jnp.exp(spread * white[place])
    return SeizureTwin(**found, interval=jnp.asarray(interval, white.dtype))


def _first(twin: SeizureTwin, time: float) -> tuple[StateVector, StateVector]:
    """Mean and deviation before any reading."""
    zero = jnp.zeros_like(twin.mean)
    cycle = jnp.full_like(twin.mean, CYCLE_SIZE)
    return jnp.stack([zero + time, zero, zero, zero, zero]), jnp.stack([zero, zero, twin.wander, cycle, cycle])


def log_evidence(twin: SeizureTwin, times: Array, readings: Array, present: Array) -> Scalar:
    r"""Of a record, by the extended Kalman filter for activity and, for seizures, $\sum\log\lambda-\int\lambda$ at its mean.

    Only $e$, $a$, $b$ are uncertain and each channel is one number, so that the filter is written out without a matrix solve: the
    same mean, covariance and evidence as :class:`twinsim.assimilation.ExtendedKalmanFilter` that hears one channel after the other, many
    times faster, and differentiable in both modes. Source: the likelihood of point processes, Daley and Vere-Jones 2003, equation 7.2.4.
    """
    length, like = twin.interval, jnp.zeros_like(twin.mean)
    keep = jnp.exp(-length / twin.wander_time)
    turn, fade = 2 * jnp.pi * length / twin.period, jnp.exp(-length / FORGETTING_H)
    cosine, sine = fade * jnp.cos(turn), fade * jnp.sin(turn)
    fresh = CYCLE_SIZE**2 * (1 - fade**2)
    restoring = jnp.exp(-length / twin.recovery_time)
    move = jnp.stack(
        [jnp.stack([keep, like, like]), jnp.stack([like, cosine, -sine]), jnp.stack([like, sine, cosine])]
    )  # of wander, cycle and its quarter
    added = jnp.diag(jnp.stack([twin.wander**2 * (1 - keep**2), fresh, fresh]))
    gains = (twin.power_gain, twin.spikes_gain)
    offsets, errors = (twin.power, twin.spikes), (twin.power_error, twin.spikes_error)
    angle = 2 * jnp.pi * times / DAY_H
    rhythm = twin.mean - twin.cosine * jnp.cos(angle) - twin.sine * jnp.sin(angle)

    def step(carry: tuple[Array, Array, Array], reading: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array, Array], Scalar]:
        mean, covariance, after = carry
        base, values, there = reading
        mean = (move * mean[None]).sum(axis=1)
        spread = (move[:, :, None] * covariance[None]).sum(axis=1)
        covariance = (spread[:, None, :] * move[None]).sum(axis=2) + added
        after = after * restoring
        evidence = like
        for channel in range(2):
            distance = base + after - mean[0] - mean[1]
            near, slope = jax.jvp(closeness, (distance,), (jnp.ones_like(distance),))
            slope = -slope * gains[channel]  # to wander and to the cycle alike
            toward = slope * (covariance[:, 0] + covariance[:, 1])
            variance = slope * (toward[0] + toward[1]) + errors[channel] ** 2
            residual = jnp.where(there[channel], values[channel] - offsets[channel] - gains[channel] * near, 0.0)
            gain = jnp.where(there[channel], toward / variance, 0.0)
            logs = -0.5 * (residual**2 / variance + jnp.log(2 * jnp.pi * variance))
            evidence = evidence + jnp.where(there[channel], logs, 0.0)
            mean = mean + gain * residual
            covariance = covariance - gain[:, None] * toward[None]
        seizure = values[2] > 0.5
        log_hazard = twin.log_hazard(jnp.stack([like, after, mean[0] + mean[1], like, like]), base)
        point = jnp.where(seizure, log_hazard, 0.0) - jnp.exp(jnp.minimum(log_hazard, 5.0)) * length
        after = jnp.where(seizure, twin.after_seizure, after)
        return (mean, covariance, after), evidence + jnp.where(there[2], point, 0.0)

    begun = jnp.diag(jnp.stack([twin.wander**2, like + CYCLE_SIZE**2, like + CYCLE_SIZE**2]))
    _, terms = jax.lax.scan(step, (jnp.zeros(3, begun.dtype), begun, like), (rhythm, readings, present))
    return terms.sum()


def fit_twins(records: list[SeizureRecord], periods_h: np.ndarray, steps: int = 120, rate: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Maximum a posteriori of every person at once by Adam: white coordinates ``(people, parameters)``, and the objective by step.

    The best step is kept, so that a late divergence costs nothing. Records must have as many intervals each.
    """
    data = tuple(jnp.asarray(np.stack([getattr(one, name) for one in records])) for name in ("times", "readings", "present"))
    interval = records[0].interval

    def loss(white: Array, period: Array, times: Array, readings: Array, present: Array) -> Scalar:
        return 0.5 * white @ white - log_evidence(twin_of(white, interval, period), times, readings, present)

    slopes = jax.vmap(jax.value_and_grad(loss))
    method = optax.chain(optax.clip_by_global_norm(100.0), optax.scale_by_adam(), optax.scale(-1.0))

    def step(carry: Any, progress: Array) -> Any:
        white, state, best, at = carry
        value, slope = slopes(white, jnp.asarray(periods_h), *data)
        fine = jnp.isfinite(value) & jnp.isfinite(slope).all(axis=1)
        better = fine & (value < best)
        at, best = jnp.where(better[:, None], white, at), jnp.where(better, value, best)
        move, state = jax.vmap(method.update)(jnp.where(fine[:, None], slope, 0.0), state)
        return (white + rate * jnp.cos(0.5 * jnp.pi * progress) * move, state, best, at), value

    @jax.jit
    def search(white: Array) -> Any:
        state = jax.vmap(method.init)(white)
        start = (white, state, jnp.full(white.shape[0], jnp.inf), white)
        return jax.lax.scan(step, start, jnp.arange(steps) / steps)

    (_, _, _, at), values = search(jnp.zeros((len(records), len(NAMES))))
    return np.asarray(at), np.asarray(values)


def filtered(twin: SeizureTwin, record: SeizureRecord, particles: int, seed: int) -> Ensemble:
    """Particles after every interval ``(times, particles, 5)`` with their weights, each from what was recorded up to then only."""
    key = jax.random.key(seed)
    mean, deviation = _first(twin, record.times[0] - record.interval)
    drawn = mean[None] + deviation[None] * jax.random.normal(key, (particles, 5), mean.dtype)
    begun = equal_ensemble(drawn, record.times[0] - record.interval)
    return _filter(twin, begun, jnp.asarray(record.times), jnp.asarray(record.readings), jnp.asarray(record.present), key)


@eqx.filter_jit
def _filter(twin: SeizureTwin, belief: Ensemble, times: Array, readings: Array, present: Array, key: Array) -> Ensemble:
    method = ParticleFilter(
        gate=Gate(limit=jnp.inf, action="flag"), likelihood=SeizureScatter(jnp.stack([twin.power_error, twin.spikes_error]))
    )

    def step(belief: Ensemble, reading: tuple[Array, Array, Array, Array]) -> tuple[Ensemble, Ensemble]:
        time, values, there, index = reading
        belief, _ = method.update(twin, belief, time, values, there, jax.random.fold_in(key, index))
        after = jnp.where(values[2] > 0.5, twin.after_seizure, belief.members[:, 1])
        belief = Ensemble(belief.members.at[:, 1].set(after), belief.log_weights, belief.time)
        return belief, belief

    return jax.lax.scan(step, belief, (times, readings, present, jnp.arange(times.shape[0])))[1]


def forecast_survival(
    twin: SeizureTwin, ensemble: Ensemble, seed: int, horizon_h: float, particles: int
) -> tuple[Float[np.ndarray, "forecasts times"], Float[np.ndarray, " times"]]:
    r"""$S(t)=\sum_iw_i\,E\,e^{-\int_0^t\lambda}$: that no seizure comes, from every ensemble of a batch; and the times, hours.

    Particles are drawn by weight and run on with fresh disturbances; given a path the time of the seizure is integrated, not drawn.
    """
    count = round(horizon_h / float(twin.interval))
    survival = _survival(twin, ensemble.members, ensemble.log_weights, jax.random.key(seed), count, particles)
    return np.asarray(survival), float(twin.interval) * np.arange(count + 1)


@eqx.filter_jit
def _survival(twin: SeizureTwin, members: Array, log_weights: Array, key: Array, count: int, particles: int) -> Array:
    hazard = hazard_table(NoisyFold(twin.noise, jnp.full_like(twin.noise, 2.0), jnp.full_like(twin.noise, SECOND_H)))
    disturbances = mirrored(key, count, particles).astype(members.dtype)

    def one(given: tuple[Array, Array]) -> Array:
        states, logs = given
        states = states[jnp.searchsorted(jnp.cumsum(jnp.exp(logs)), (jnp.arange(particles) + 0.5) / particles).clip(0, len(logs) - 1)]

        def step(carry: tuple[Array, Array, Array], noise: Array) -> tuple[tuple[Array, Array, Array], Array]:
            states, before, gone = carry
            states = jax.vmap(twin.advance, in_axes=(0, None, None, 1))(states, twin.interval, twin.interval, noise)
            now = hazard(jax.vmap(twin.distance)(states))
            gone = gone + 0.5 * twin.interval * (before + now)
            return (states, now, gone), jnp.exp(-gone).mean()

        start = (states, hazard(jax.vmap(twin.distance)(states)), jnp.zeros(particles, states.dtype))
        _, kept = jax.lax.scan(step, start, disturbances)
        return jnp.concatenate([jnp.ones(1, kept.dtype), kept])

    return jax.lax.map(one, (members, log_weights), batch_size=32)


def mirrored(key: Array, count: int, particles: int) -> Float[Array, "steps 3 particles"]:
    """Normal disturbances whose second half of particles mirrors the first: shared by all moments, without bias."""
    drawn = jax.random.normal(key, (count, 3, -(-particles // 2)))
    return jnp.concatenate([drawn, -drawn], axis=2)[:, :, :particles]


def hazard_table(fold: NoisyFold) -> Callable[[Array], Array]:
    """The fold's rate by linear interpolation of its logarithm at even distances from -0.05 to 0.35, to 2e-5; beyond, that of the end."""
    low, high, nodes = -0.05, 0.35, 1601
    logs = jnp.minimum(fold.log_rate(jnp.linspace(low, high, nodes)), 7.0)
    pairs = jnp.stack([logs[:-1], jnp.diff(logs)], axis=1)

    def rate(distance: Array) -> Array:
        place = (jnp.clip(distance, low, high) - low) * ((nodes - 1) / (high - low))
        at = jnp.minimum(place.astype(int), nodes - 2)
        pair = pairs[at]
        return jnp.exp(pair[..., 0] + (place - at) * pair[..., 1])

    return rate
