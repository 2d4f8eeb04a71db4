"""DeepXDE on Allen and Cahn's equation, a rod's diffusivity and a stiff drug: Adam at 1e-3, single precision; runs in .venv-peers.

Points, layers and how conditions are met are those of its own examples: ``Allen_Cahn``, ``diffusion_1d_inverse``, ``ode_system``.
"""

import os
import time
from typing import Any

from _peer import answer

SILENT = {"display_every": 10**9, "verbose": 0}


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Error against ``truth`` of the file after so many seconds of training, compiling and set-up not counted."""
    os.environ["DDE_BACKEND"] = "jax"
    import deepxde as dde
    import numpy as np

    given = np.load(options["file"])
    dde.config.set_random_seed(options["seed"])
    data, network, unknown, found = PROBLEMS[options["problem"]](options, given)
    model = dde.Model(data, network)
    model.compile("adam", lr=1e-3, external_trainable_variables=unknown)
    model.train(iterations=2, **SILENT)  # compiles
    began = time.perf_counter()
    model.train(iterations=10**8, callbacks=[dde.callbacks.Timer(options["seconds"] / 60)], **SILENT)
    seconds = time.perf_counter() - began
    off = np.asarray(found(model), float).reshape(given["truth"].shape) - given["truth"]
    return {
        "error_relative": float(np.linalg.norm(off) / np.linalg.norm(given["truth"])),
        "training_seconds": seconds,
        "iterations": int(model.train_state.step if hasattr(model.train_state, "step") else model.train_state.iteration),
        "version": dde.__version__,
    }


def allen_cahn(options: dict[str, Any], given: Any) -> tuple[Any, Any, Any, Any]:
    """Start by output transform, as in its example; period by features, since its periodic condition has no slopes with JAX."""
    import deepxde as dde
    import jax.numpy as jnp

    def equation(x: Any, y: Any) -> Any:
        u, _ = y
        slope_t, _ = dde.grad.jacobian(y, x, i=0, j=1)
        bend, _ = dde.grad.hessian(y, x, i=0, j=0)
        return slope_t - options["diffusivity"] * bend - options["growth"] * (u - u**3)

    domain = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
    data = dde.data.TimePDE(domain, equation, [], num_domain=8000, num_boundary=400, num_initial=800)
    network = dde.nn.FNN([3] + [20] * 3 + [1], "tanh", "Glorot normal")
    network.apply_feature_transform(
        lambda x: jnp.concatenate([jnp.cos(jnp.pi * x[..., 0:1]), jnp.sin(jnp.pi * x[..., 0:1]), x[..., 1:2]], axis=-1)
    )
    network.apply_output_transform(lambda x, y: x[:, 0:1] ** 2 * jnp.cos(jnp.pi * x[:, 0:1]) + x[:, 1:2] * y)
    return data, network, None, lambda model: model.predict(given["points"])


def inverse_heat(options: dict[str, Any], given: Any) -> tuple[Any, Any, Any, Any]:
    """Soft start and samples; the flux at both ends is a row of the equation, since its Neumann condition does not run with JAX."""
    import deepxde as dde
    import jax.numpy as jnp
    import numpy as np

    inner, ends, first = 40, 20, 10
    total = inner + ends + first + len(given["values"])
    theta = dde.Variable(np.zeros(options["modes"], np.float32))
    waves = np.pi * np.arange(options["modes"])

    def equation(x: Any, y: Any, unknowns: Any = (theta.value,)) -> Any:
        (coefficients,) = unknowns
        place = x[:, 0:1]
        diffusivity = options["middle"] * jnp.exp(jnp.cos(place * waves) @ coefficients)[:, None]
        steepness = -(jnp.sin(place * waves) @ (waves * coefficients))[:, None]
        slope_x, _ = dde.grad.jacobian(y, x, i=0, j=0)
        slope_t, _ = dde.grad.jacobian(y, x, i=0, j=1)
        bend, _ = dde.grad.hessian(y, x, i=0, j=0)
        at_ends = jnp.isclose(place, 0.0) | jnp.isclose(place, 1.0)
        flux = jnp.where(at_ends, slope_x, 0.0) * np.sqrt(total / ends)  # the mean is over all of the points
        return [slope_t - diffusivity * (bend + steepness * slope_x), flux]

    def start(x: Any) -> Any:
        return 1 + sum(a * np.cos(k * np.pi * x[:, 0:1]) for k, a in options["waves"])

    domain = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    conditions = [
        dde.icbc.IC(domain, start, lambda _, on: on),
        dde.icbc.PointSetBC(given["places"], given["values"][:, None]),
    ]
    data = dde.data.TimePDE(
        domain, equation, conditions, num_domain=inner, num_boundary=ends, num_initial=first, anchors=given["places"].astype(np.float32)
    )
    network = dde.nn.FNN([2] + [32] * 3 + [1], "tanh", "Glorot normal")
    basis = np.cos(np.outer(given["points"], waves))
    return data, network, theta, lambda model: options["middle"] * np.exp(basis @ np.asarray(theta.value, float))


def drug_target(options: dict[str, Any], given: Any) -> tuple[Any, Any, Any, Any]:
    r"""Over $s=\log(1+t/\tau)$, states over their sizes; soft start."""
    import deepxde as dde
    import jax.numpy as jnp
    import numpy as np

    k, tau, dose = options["rates"], options["fast"], options["dose"]
    rest = k["production"] / k["turnover"]

    def equation(x: Any, y: Any) -> Any:
        drug, target, bound = (y[0][:, i : i + 1] for i in range(3))  # over dose, rest and rest
        slopes = [dde.grad.jacobian(y, x, i=i)[0] for i in range(3)]
        binds = k["binding"] * dose * drug * target - k["unbinding"] * bound  # over rest
        rates = (
            -binds * rest / dose - k["elimination"] * drug,
            k["turnover"] * (1 - target) - binds,
            binds - k["internalisation"] * bound,
        )
        return [slope - tau * jnp.exp(x) * rate for slope, rate in zip(slopes, rates, strict=True)]

    def constant(value: float) -> Any:
        return lambda x: np.full((len(x), 1), value)  # a second argument with a default would be taken for another input

    last = float(np.log1p(options["hours"] / tau))
    domain = dde.geometry.TimeDomain(0, last)
    begins = [dde.icbc.IC(domain, constant(value), lambda _, on: on, component=i) for i, value in enumerate((1.0, 1.0, 0.0))]
    data = dde.data.PDE(domain, equation, begins, num_domain=35, num_boundary=2)
    network = dde.nn.FNN([1] + [50] * 3 + [3], "tanh", "Glorot uniform")
    return data, network, None, lambda model: model.predict(np.log1p(given["times"] / tau)[:, None].astype(np.float32))


PROBLEMS = {"allen_cahn": allen_cahn, "inverse_heat": inverse_heat, "drug_target": drug_target}

if __name__ == "__main__":
    answer(run)
