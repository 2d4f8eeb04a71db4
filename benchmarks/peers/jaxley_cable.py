"""The squid's channels in an unbranched cable, or a binary tree, in jaxley: forward, gradient, and the trace for comparison."""

from typing import Any

from _peer import answer, warm


def run(given: dict[str, Any]) -> dict[str, Any]:
    """Seconds of the simulation and of its value and gradient with respect to every radius; the trace goes to the file named."""
    import jax

    jax.config.update("jax_enable_x64", given["precision"] == "float64")

    import jax.numpy as jnp
    import jaxley as jx
    import numpy as np
    from jaxley.channels import HH

    cell = jx.Cell([jx.Branch(jx.Compartment(), ncomp=given["per_branch"])] * len(given["parents"]), parents=given["parents"])
    cell.insert(HH())
    for name, value in (("length", given["length_um"]), ("radius", given["radius_um"]), ("axial_resistivity", given["ohm_cm"])):
        cell.set(name, value)
    cell.set("v", -65.0)
    cell.init_states()
    current = jx.step_current(
        i_delay=given["start_ms"], i_dur=given["pulse_ms"], i_amp=given["nanoampere"], delta_t=given["dt_ms"], t_max=given["duration_ms"]
    )
    cell.branch(0).comp(0).stimulate(current)
    cell.branch(len(given["parents"]) - 1).comp(given["per_branch"] - 1).record()
    cell.comp("all").make_trainable("radius")
    parameters = cell.get_parameters()

    def trace(parameters: Any) -> Any:
        return jx.integrate(cell, params=parameters, delta_t=given["dt_ms"], t_max=given["duration_ms"])

    forward, gradient = jax.jit(trace), jax.jit(jax.value_and_grad(lambda parameters: jnp.mean((trace(parameters) / 50) ** 2)))
    np.save(given["trace"], np.asarray(forward(parameters))[0])
    seconds, middle = warm(lambda: forward(parameters), given["repeats"])
    there_and_back, _ = warm(lambda: gradient(parameters), given["repeats"])
    return {"forward_seconds": seconds, "forward_seconds_median": middle, "gradient_seconds": there_and_back}


if __name__ == "__main__":
    answer(run)
