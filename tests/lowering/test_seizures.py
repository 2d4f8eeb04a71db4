"""The hazard of a seizure and the evidence of a twin, with its gradient, lower for every backend."""

import jax
import jax.numpy as jnp
import pytest

from physics import NoisyFold, epileptor_rest
from twinsim.seizure_twin import NAMES, log_evidence, twin_of


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_they_lower(platform):
    def rate(noise, distance):
        return NoisyFold(noise, jnp.float32(2.0), jnp.float32(1.0)).log_rate(distance) + epileptor_rest(distance + 3)

    def evidence(white, times, readings, present):
        return log_evidence(twin_of(white, 2.0, 480.0), times, readings, present)

    single = jnp.float32
    for function, given in (
        (rate, (single(0.0015), jnp.zeros(5, single))),
        (
            jax.grad(evidence),
            (jnp.zeros(len(NAMES), single), jnp.arange(6, dtype=single), jnp.zeros((6, 3), single), jnp.ones((6, 3), bool)),
        ),
    ):
        exported = jax.export.export(jax.jit(function), platforms=[platform])(*given)
        assert exported.platforms == (platform,) and exported.out_avals[0].dtype == single
