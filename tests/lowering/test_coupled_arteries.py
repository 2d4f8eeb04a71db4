"""A beat of arteries and circuit together lowers for cpu, cuda and tpu in single precision."""

import jax
import jax.numpy as jnp
import pytest
from jax import export

from physics import beat_mesh, coupled_beat
from tests.coupled import PERIOD, loop, loop_start
from tests.problems import as_type

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.mark.slow
def test_a_coupled_beat_lowers_for_every_platform():
    model = loop(5)
    start = loop_start(model)
    with jax.enable_x64(False):
        mesh, model, start = as_type((beat_mesh(PERIOD, 4), model, start), jnp.float32)
        exported = export.export(jax.jit(lambda state: coupled_beat(model, state, mesh, 3).circuit), platforms=PLATFORMS)(start)
        text = exported.mlir_module()
    assert exported.platforms == PLATFORMS
    assert "f32" in text
    assert "f64" not in text
