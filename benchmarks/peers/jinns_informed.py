"""jinns on Allen and Cahn's equation, a rod's diffusivity and a stiff drug: Adam at 1e-3, single precision; runs in .venv-peers.

Points, layers and how conditions are met are those that DeepXDE's examples have; the ends of the rod by its own Neumann condition.
"""

import contextlib
import io
import itertools
import re
import warnings
from typing import Any

from _peer import answer

TRIALS = {"allen_cahn": 40, "inverse_heat": 400, "drug_target": 400}  # iterations from which the number for the time given is reckoned


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Error against ``truth`` of the file after about so many seconds of training, compiling not counted."""
    warnings.simplefilter("ignore")
    from importlib.metadata import version

    import jax
    import jinns
    import numpy as np
    import optax

    given, trial = np.load(options["file"]), TRIALS[options["problem"]]
    keys = jax.random.split(jax.random.PRNGKey(options["seed"]), 4)
    parameters, found, fixed = PROBLEMS[options["problem"]](options, given, keys)
    optimiser = optax.adam(1e-3)

    def solved(count: int) -> tuple[Any, float]:
        """With the seconds of training as jinns prints them, without those of compiling."""
        with contextlib.redirect_stdout(io.StringIO()) as said:
            answer = jinns.solve(
                n_iter=count, init_params=parameters, optimizer=optimiser, print_loss_every=None, verbose=True, key=keys[3], **fixed
            )
        return answer[0], float(re.findall(r"Training took\s+(\S+)", said.getvalue())[-1])

    _, taken = solved(trial)
    count = max(1, round(trial * options["seconds"] / taken))
    trained, seconds = solved(count)
    off = np.asarray(found(trained), float).reshape(given["truth"].shape) - given["truth"]
    return {
        "error_relative": float(np.linalg.norm(off) / np.linalg.norm(given["truth"])),
        "training_seconds": seconds,
        "iterations": count,
        "version": version("jinns"),
    }


def network(key: Any, kind: str, sizes: tuple[int, ...], **transforms: Any) -> tuple[Any, Any]:
    """Layers of these sizes with tanh between them, and its weights."""
    import equinox as eqx
    import jax.numpy as jnp
    import jinns

    layers: list[Any] = []
    for number, (first, last) in enumerate(itertools.pairwise(sizes)):
        layers += [(jnp.tanh,)] if number else []
        layers += [(eqx.nn.Linear, first, last)]
    return jinns.nn.PINN_MLP.create(key=key, eqx_list=tuple(layers), eq_type=kind, **transforms)


def allen_cahn(options: dict[str, Any], given: Any, keys: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Start by output transform and period by input transform; jinns has the time first."""
    import jax
    import jax.numpy as jnp
    import jinns

    class Equation(jinns.loss.PDENonStatio):
        def equation(self, t_x: Any, u: Any, params: Any) -> Any:
            value = lambda at: u(at, params)[0]  # noqa: E731
            slope = jax.grad(value)
            bend = jax.grad(lambda at: slope(at)[1])(t_x)[1]
            here = value(t_x)
            rate = options["diffusivity"] * bend + options["growth"] * (here - here**3)
            return (slope(t_x)[0] - rate)[None]

    u, weights = network(
        keys[0],
        "PDENonStatio",
        (3, 20, 20, 20, 1),
        input_transform=lambda at, _: jnp.stack([at[0], jnp.cos(jnp.pi * at[1]), jnp.sin(jnp.pi * at[1])]),
        output_transform=lambda at, out, _: at[1] ** 2 * jnp.cos(jnp.pi * at[1]) + at[0] * out,
    )
    parameters = jinns.parameters.Params(nn_params=weights, eq_params={})
    data = jinns.data.CubicMeshPDENonStatio(
        key=keys[1], n=8000, nb=None, ni=800, dim=1, min_pts=(-1.0,), max_pts=(1.0,), tmin=0.0, tmax=1.0, method="uniform"
    )
    loss = jinns.loss.LossPDENonStatio(
        u=u, dynamic_loss=Equation(), loss_weights=jinns.loss.LossWeightsPDENonStatio(dyn_loss=1.0), params=parameters
    )
    where = jnp.asarray(given["points"][:, ::-1], jnp.float32)
    return parameters, lambda trained: jax.vmap(lambda at: u(at, trained))(where), {"data": data, "loss": loss}


def inverse_heat(options: dict[str, Any], given: Any, keys: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Soft start, ends and samples; the coefficients are parameters of the equation."""
    import jax
    import jax.numpy as jnp
    import jinns
    import numpy as np

    waves = np.pi * np.arange(options["modes"])

    class Equation(jinns.loss.PDENonStatio):
        def equation(self, t_x: Any, u: Any, params: Any) -> Any:
            value = lambda at: u(at, params)[0]  # noqa: E731
            slope = jax.grad(value)
            bend = jax.grad(lambda at: slope(at)[1])(t_x)[1]
            first, theta = slope(t_x), params.eq_params.theta
            diffusivity = options["middle"] * jnp.exp(jnp.cos(t_x[1] * waves) @ theta)
            steepness = -(jnp.sin(t_x[1] * waves) @ (waves * theta))
            return (first[0] - diffusivity * (bend + steepness * first[1]))[None]

    u, weights = network(keys[0], "PDENonStatio", (2, 32, 32, 32, 1))
    parameters = jinns.parameters.Params(nn_params=weights, eq_params={"theta": jnp.zeros(options["modes"])})
    data = jinns.data.CubicMeshPDENonStatio(
        key=keys[1], n=160, nb=20, ni=10, dim=1, min_pts=(0.0,), max_pts=(1.0,), tmin=0.0, tmax=1.0, method="uniform"
    )  # DeepXDE counts the places of the samples among those of the equation
    samples = jinns.data.DataGeneratorObservations(
        key=keys[2],
        observed_pinn_in=jnp.asarray(given["places"][:, ::-1], jnp.float32),
        observed_values=jnp.asarray(given["values"][:, None], jnp.float32),
    )
    loss = jinns.loss.LossPDENonStatio(
        u=u,
        dynamic_loss=Equation(),
        boundary_condition=jinns.loss.Neumann(),
        initial_condition_fun=lambda x: 1 + sum(a * jnp.cos(k * jnp.pi * x) for k, a in options["waves"]),
        loss_weights=jinns.loss.LossWeightsPDENonStatio(dyn_loss=1.0, initial_condition=1.0, boundary_loss=1.0, observations=1.0),
        derivative_keys=jinns.parameters.DerivativeKeysPDENonStatio.from_str(params=parameters, dyn_loss="both"),
        params=parameters,
    )
    basis = np.cos(np.outer(given["points"], waves))
    found = lambda trained: options["middle"] * np.exp(basis @ np.asarray(trained.eq_params.theta, float))  # noqa: E731
    return parameters, found, {"data": data, "loss": loss, "obs_data": samples}


def drug_target(options: dict[str, Any], given: Any, keys: Any) -> tuple[Any, Any, dict[str, Any]]:
    r"""Over $s=\log(1+t/\tau)$, states over their sizes; soft start."""
    import jax
    import jax.numpy as jnp
    import jinns
    import numpy as np

    k, tau, dose = options["rates"], options["fast"], options["dose"]
    rest = k["production"] / k["turnover"]

    class Equation(jinns.loss.ODE):
        def equation(self, t: Any, u: Any, params: Any) -> Any:
            drug, target, bound = u(t, params)
            slopes = jax.jacfwd(lambda at: u(at, params))(t)[:, 0]
            binds = k["binding"] * dose * drug * target - k["unbinding"] * bound
            rates = [
                -binds * rest / dose - k["elimination"] * drug,
                k["turnover"] * (1 - target) - binds,
                binds - k["internalisation"] * bound,
            ]
            return slopes - tau * jnp.exp(t[0]) * jnp.stack(rates)

    u, weights = network(keys[0], "ODE", (1, 50, 50, 50, 3))
    parameters = jinns.parameters.Params(nn_params=weights, eq_params={})
    last = float(np.log1p(options["hours"] / tau))
    data = jinns.data.DataGeneratorODE(key=keys[1], nt=37, tmin=0.0, tmax=last, method="grid")
    loss = jinns.loss.LossODE(
        u=u,
        dynamic_loss=Equation(),
        initial_condition=(0.0, jnp.array([1.0, 1.0, 0.0])),
        loss_weights=jinns.loss.LossWeightsODE(dyn_loss=1.0, initial_condition=1.0),
        params=parameters,
    )
    where = jnp.asarray(np.log1p(given["times"] / tau)[:, None], jnp.float32)
    return parameters, lambda trained: jax.vmap(lambda at: u(at, trained))(where), {"data": data, "loss": loss}


PROBLEMS = {"allen_cahn": allen_cahn, "inverse_heat": inverse_heat, "drug_target": drug_target}

if __name__ == "__main__":
    answer(run)
