"""XLB's stepper (one relaxation time, D3Q19, JAX) on a periodic cube from a given velocity; runs in .venv-peers."""

from typing import Any

from _peer import answer, warm


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Seconds of the steps, the faster of a loop in Python and one in the program; the final velocity goes to the file ``end``."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    double = options["precision"] == "float64"
    jax.config.update("jax_enable_x64", double)
    import xlb
    from xlb.compute_backend import ComputeBackend
    from xlb.grid import grid_factory
    from xlb.helper.initializers import initialize_eq
    from xlb.operator.macroscopic import Macroscopic
    from xlb.operator.stepper import IncompressibleNavierStokesStepper
    from xlb.velocity_set import D3Q19

    velocity = jnp.asarray(np.load(options["start"]))
    policy = xlb.PrecisionPolicy.FP64FP64 if double else xlb.PrecisionPolicy.FP32FP32
    backend = ComputeBackend.JAX
    lattice = D3Q19(precision_policy=policy, compute_backend=backend)
    xlb.init(velocity_set=lattice, default_backend=backend, default_precision_policy=policy)
    grid = grid_factory(tuple(velocity.shape[1:]), compute_backend=backend)
    stepper = IncompressibleNavierStokesStepper(grid=grid, boundary_conditions=[], collision_type="BGK")

    def start(grid: Any, lattice: Any, policy: Any, backend: Any) -> Any:
        return initialize_eq(None, grid, lattice, policy, backend, u=velocity)

    first, second, kinds, missing = stepper.prepare_fields(start)
    rate, steps = 1 / (3 * options["viscosity"] + 0.5), options["steps"]

    def by_hand() -> Any:
        old, new = first, second
        for count in range(steps):
            old, new = stepper(old, new, kinds, missing, rate, count)
            old, new = new, old
        return old

    def body(count: Any, pair: Any) -> Any:
        old, new = stepper(*pair, kinds, missing, rate, count)
        return new, old

    looped = jax.jit(lambda old, new: jax.lax.fori_loop(0, steps, body, (old, new))[0])
    times = [warm(by_hand, options["repeats"]), warm(lambda: looped(first, second), options["repeats"])]
    final = looped(first, second)
    # Our moments are those after one more streaming: so are these.
    _, found = Macroscopic(lattice, policy, backend)(stepper.stream(final))
    np.save(options["end"], np.asarray(found))
    minimum, middle = min(times)
    return {"bgk_seconds": minimum, "bgk_seconds_median": middle, "python_loop_seconds": times[0][0], "version": xlb.__version__}


if __name__ == "__main__":
    answer(run)
