"""One simulation on several devices and in several processes equals the one on a single device, to round-off."""

import json
import os
import socket
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from solvers import BlockedDiffusion, Diffusion, VoxelGrid, map_members
from solvers.devices.halo import Slabs
from solvers.devices.sharding import decomposed, device_mesh, padded_planes
from solvers.steppers import blocked_march
from tests.problems import noise, number, slitted_mask


def environment():
    return {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR")}


def differences(*arguments):
    command = [sys.executable, "-m", "tests.solvers.sharding_checks", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    numbers = json.loads(done.stdout.splitlines()[-1])
    assert numbers.pop("devices") == arguments[0]
    return numbers


@pytest.mark.parametrize("arguments", [(2, "quick"), *[pytest.param((n,), marks=pytest.mark.slow) for n in (2, 4)]])
def test_devices_agree_with_one(arguments):
    numbers = differences(*arguments)
    assert len(numbers) >= 6
    assert {name: value for name, value in numbers.items() if not value < 1e-12} == {}


@pytest.mark.slow
def test_two_processes_agree_with_one():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.solvers.sharding_host", str(port)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment()}
    hosts = [subprocess.Popen([*command, str(n), "2"], **pipes) for n in (0, 1)]
    try:
        for host in hosts:
            out, err = host.communicate(timeout=300)
            assert host.returncode == 0, err[-2000:]
            numbers = json.loads(out.splitlines()[-1])
            assert numbers["devices"] == 4 and numbers["parts"] == 2
            assert numbers["value"] < 1e-12 and numbers["slope"] < 1e-12
    finally:
        for host in hosts:
            host.kill()


@pytest.mark.parametrize("members", [jnp.zeros((0, 3)), (jnp.zeros((2, 3)), jnp.zeros(3)), jnp.zeros(())])
def test_members_without_a_common_count_are_refused(members):
    with pytest.raises(ValueError, match="leading axes"):
        map_members(lambda member: member, members)


def test_on_one_device_nothing_changes():
    grid = VoxelGrid(slitted_mask((5, 4, 3)), 1.0)
    operator = Diffusion(grid, noise(grid.shape))
    field = noise((grid.size,), 1)
    mesh = device_mesh()
    divided = decomposed(operator, grid, mesh, 1)
    np.testing.assert_array_equal(divided.apply(field), operator.apply(field))
    np.testing.assert_array_equal(divided.diagonal(), operator.diagonal())
    assert float(divided.spectral_bound()) == float(operator.spectral_bound())
    assert padded_planes(jnp.ones((3, 2)), mesh).shape == (3, 2)


@pytest.mark.slow
def test_a_field_of_another_precision_is_marched_in_the_layout_of_the_coefficients(monkeypatch):
    """Tiles are measured in bytes; several of them make the two precisions' layouts differ."""
    monkeypatch.setattr(blocked_march, "TILE_BYTES", 512)
    grid = VoxelGrid(slitted_mask((9, 6, 7)), 1.0)
    stepper = BlockedDiffusion(Diffusion(grid, noise(grid.shape)), 4)
    field = grid.cells(noise(grid.shape, 1)).astype(jnp.float32)
    length, time = jnp.float32(0.3), jnp.float32(0)
    found = decomposed(stepper, grid, device_mesh(), 2).advance(field, time, length)
    np.testing.assert_allclose(found, stepper.advance(field.astype(float), number(0), number(0.3)), rtol=0, atol=1e-6)


def test_slabs_overlap_and_fill_up():
    slabs = Slabs(cells=10, plane=2, devices=3, halo=1, strides=(2, 1))
    assert slabs.own == 4 and slabs.filled(jnp.arange(10)).shape == (12,)
    cut = slabs.overlapping(jnp.arange(1, 13), 2)  # faces: cells + 2, the last two of which lead nowhere
    np.testing.assert_array_equal(cut[0], [0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    np.testing.assert_array_equal(cut[2], [7, 8, 9, 10, 0, 0, 0, 0, 0, 0])
    assert [slabs.kind(jnp.zeros(n)) for n in (10, 11, 12, 13)] == [0, 1, 2, None]


def test_bad_options_are_refused():
    grid = VoxelGrid(np.ones((4, 3, 2), bool), 1.0)
    with pytest.raises(ValueError, match="halo 0"):
        decomposed(Diffusion(grid, 1.0), grid, device_mesh(), 0)
