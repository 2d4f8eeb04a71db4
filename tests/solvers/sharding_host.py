"""One of several processes of a run over hosts: ``python sharding_host.py PORT PROCESS PROCESSES``; prints a JSON of its own part."""

import json
import os
import sys

PORT, PROCESS, PROCESSES = (int(argument) for argument in sys.argv[1:])
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"127.0.0.1:{PORT}", PROCESSES, PROCESS, local_device_ids=[0, 1])

from solvers import Diffusion, RungeKuttaChebyshev2, VoxelGrid, simulate, time_mesh  # noqa: E402
from solvers.devices.sharding import decomposed, device_mesh, placed  # noqa: E402


def main():
    random = np.random.default_rng(0)
    mesh = device_mesh()
    grid = VoxelGrid(random.random((8, 4, 3)) > 0.2, 1.0)
    operator = Diffusion(grid, jnp.asarray(random.uniform(0.2, 1.0, grid.shape)))
    field = grid.cells(jnp.asarray(random.random(grid.shape)))
    times = time_mesh(0.0, [1.0], 0.25)

    def value(operator, field):
        final = simulate(RungeKuttaChebyshev2(operator, 3), field, times).final
        return jnp.vdot(final, final)

    both = jax.jit(jax.value_and_grad(value, 1))
    divided, spread = placed((decomposed(operator, grid, mesh, 1), field), grid, mesh)
    with mesh:
        found, slope = both(divided, spread)
    expected, whole = both(operator, field)  # on this process alone
    gaps = [float(np.abs(np.asarray(part.data) - np.asarray(whole)[part.index]).max()) for part in slope.addressable_shards]
    print(json.dumps({"devices": len(jax.devices()), "value": abs(float(found) - float(expected)), "slope": max(gaps), "parts": len(gaps)}))


if __name__ == "__main__":
    main()
