"""Exponax's Gray-Scott stepper (ETDRK2, Fourier, periodic) from a given start; runs in .venv-peers."""

from typing import Any

from _peer import answer, warm


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Seconds of the steps in one compiled program; the final state goes to the file ``end``."""
    import exponax
    import jax
    import jax.numpy as jnp
    import numpy as np

    jax.config.update("jax_enable_x64", options["precision"] == "float64")
    start = jnp.asarray(np.load(options["start"]))
    first, second = options["diffusivities"]
    stepper = exponax.stepper.reaction.GrayScott(
        2,
        options["side"],
        start.shape[-1],
        options["step"],
        diffusivity_1=first,
        diffusivity_2=second,
        feed_rate=options["feed"],
        kill_rate=options["kill"],
        order=2,
    )
    program = jax.jit(exponax.repeat(stepper, options["steps"]))
    minimum, middle = warm(lambda: program(start), options["repeats"])
    np.save(options["end"], np.asarray(program(start)))
    return {"seconds": minimum, "seconds_median": middle, "steps": options["steps"], "version": exponax.__version__}


if __name__ == "__main__":
    answer(run)
