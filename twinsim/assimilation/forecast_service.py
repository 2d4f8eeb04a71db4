"""Forecasts of a live twin, compiled ahead of time and answered as a served call."""

import json
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from solvers.shapes import Scalar
from twinsim.assimilation.assimilator import Assimilator, Belief
from twinsim.assimilation.stream_model import Ensemble, StreamModel
from twinsim.errors import InputError

QUANTILES = (0.05, 0.5, 0.95)


class Outlook(eqx.Module):
    """Forecast of the readings, per step and channel, in the transformed unit of each channel.

    Attributes:
        mean: Of the prediction.
        deviation: Of a reading: spread of the prediction and error of the reading.
        quantiles: Of a reading, for ``QUANTILES``.
        finite: Whether all of it is.
    """

    mean: Float[Array, "steps m"]
    deviation: Float[Array, "steps m"]
    quantiles: Float[Array, "3 steps m"]
    finite: Array


def outlook(model: StreamModel, ensemble: Ensemble, step: Scalar, steps: int, key: Array) -> Outlook:
    """Pushes an ensemble forward in equal steps; every second member gets the opposite disturbance, which steadies the mean.

    Args:
        model: The twin.
        ensemble: Where it starts; at least two members.
        step: Length of a step, in the model's unit of time.
        steps: How many.
        key: Of the disturbances and of the errors of readings.
    """
    count = ensemble.members.shape[0]
    kind = ensemble.members.dtype
    half = -(-count // 2)

    def mirrored(key: Array, size: int) -> Float[Array, "k size"]:
        drawn = jax.random.normal(key, (half, size), kind)
        return jnp.stack([drawn, -drawn], 1).reshape(2 * half, size)[:count]

    def advance(carry: tuple[Array, Scalar], key: Array) -> tuple[tuple[Array, Scalar], tuple[Array, Array]]:
        members, time = carry
        first, second = jax.random.split(key)
        members = jax.vmap(model.advance, (0, None, None, 0))(members, time, step, mirrored(first, model.noise_size))
        predicted = jax.vmap(model.predict)(members)
        read = predicted + jax.vmap(model.error)(predicted) * mirrored(second, predicted.shape[1])
        return (members, time + step), (predicted, read)

    _, (predicted, read) = jax.lax.scan(advance, (ensemble.members, ensemble.time), jax.random.split(key, steps))
    weights = jnp.exp(ensemble.log_weights)
    mean = jnp.einsum("k,skm->sm", weights, predicted)
    variance = jnp.einsum("k,skm->sm", weights, (read - mean[:, None]) ** 2)
    ranked = jnp.argsort(read, axis=1)
    sums = jnp.cumsum(weights[ranked], axis=1)
    sorted_read = jnp.take_along_axis(read, ranked, 1)
    places = [jnp.argmax(sums >= q - 1e-9, axis=1) for q in QUANTILES]
    quantiles = jnp.stack([jnp.take_along_axis(sorted_read, place[:, None], 1)[:, 0] for place in places])
    return Outlook(mean, jnp.sqrt(variance), quantiles, jnp.isfinite(quantiles).all() & jnp.isfinite(mean).all())


class ForecastService:
    """Answers ``{"hours": ...}``-like requests in JSON from one compiled program.

    Args:
        model: The twin.
        method: What its beliefs belong to.
        belief: Any belief of it; its shapes are compiled for.
        step: Length of a forecast step, in the model's unit of time.
        steps: Steps compiled; a request may ask for fewer.
        count: Members drawn by methods that have none.
        seed: Of the disturbances: the same belief gives the same answer.
    """

    def __init__(
        self, model: StreamModel, method: Assimilator, belief: Belief, step: float, steps: int, count: int = 200, seed: int = 0
    ) -> None:
        if not (step > 0 and math.isfinite(step)) or steps < 1 or count < 2:
            raise InputError(f"step {step}, {steps} steps, {count} members", "a positive step, 1 step and 2 members at least", "raise them")
        self.step, self.steps = float(step), steps
        self._arrays, rest = eqx.partition((model, method), eqx.is_array)

        def program(arrays: Any, belief: Belief) -> Outlook:
            model, method = eqx.combine(arrays, rest)
            first, second = jax.random.split(jax.random.key(seed))
            ensemble = method.ensemble(belief, first, count)
            return outlook(model, ensemble, jnp.asarray(step, ensemble.members.dtype), steps, second)

        belief = jax.tree.map(jnp.asarray, belief)
        self._program = jax.jit(program).lower(self._arrays, belief).compile()

    def forecast(self, belief: Belief) -> Outlook:
        """The forecast from a belief, without compiling anything."""
        return self._program(self._arrays, belief)

    def answer(self, belief: Belief, request: str) -> str:
        """A served call: ``{"horizon": 60}`` to times ahead, means and quantiles per channel, as JSON; a refusal says why in one line."""
        try:
            asked = json.loads(request)
            horizon = asked["horizon"] if isinstance(asked, dict) and set(asked) == {"horizon"} else None
            if isinstance(horizon, bool) or not isinstance(horizon, int | float) or not self.step <= horizon <= self.step * self.steps:
                longest = f"a horizon from {self.step:g} to {self.step * self.steps:g}"
                raise InputError(f"the request {request[:60]!r}", longest, 'write {"horizon": number}')
        except json.JSONDecodeError:
            return json.dumps({"error": str(InputError(f"the request {request[:60]!r}", "JSON", 'write {"horizon": number}'))})
        except InputError as error:
            return json.dumps({"error": str(error)})
        found = jax.device_get(self.forecast(belief))
        if not found.finite:
            return json.dumps({"error": "the forecast is not finite; do: check the twin's journal"})
        count = int(horizon / self.step + 1e-9)
        low, median, high = (np.asarray(part[:count]).tolist() for part in found.quantiles)
        ahead = [self.step * (i + 1) for i in range(count)]
        return json.dumps({"ahead": ahead, "mean": found.mean[:count].tolist(), "low": low, "median": median, "high": high})
