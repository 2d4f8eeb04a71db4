"""jinns on Burgers' equation with its own loss: soft conditions, Adam at 1e-3, single precision; runs in .venv-peers."""

import contextlib
import io
import re
import warnings
from typing import Any

from _peer import answer

TRIAL = 400  # iterations from which the number for the time given is reckoned


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Error on the points of the file ``lattice`` after about so many seconds of training, compiling not counted."""
    warnings.simplefilter("ignore")
    from importlib.metadata import version

    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import jinns
    import numpy as np
    import optax

    given = np.load(options["lattice"])
    points, truth = given[:, :2], given[:, 2]
    key, first, second = jax.random.split(jax.random.PRNGKey(options["seed"]), 3)
    layers = ((eqx.nn.Linear, 2, 20), (jnp.tanh,), (eqx.nn.Linear, 20, 20), (jnp.tanh,), (eqx.nn.Linear, 20, 20), (jnp.tanh,))
    network, weights = jinns.nn.PINN_MLP.create(key=first, eqx_list=(*layers, (eqx.nn.Linear, 20, 1)), eq_type="PDENonStatio")
    parameters = jinns.parameters.Params(nn_params=weights, eq_params={"nu": jnp.asarray(options["viscosity"])})
    data = jinns.data.CubicMeshPDENonStatio(
        key=second, n=2540, nb=80, ni=160, dim=1, min_pts=(-1.0,), max_pts=(1.0,), tmin=0.0, tmax=1.0, method="uniform"
    )
    loss = jinns.loss.LossPDENonStatio(
        u=network,
        dynamic_loss=jinns.loss.BurgersEquation(Tmax=1),
        boundary_condition=jinns.loss.Dirichlet(),
        initial_condition_fun=lambda x: -jnp.sin(jnp.pi * x),
        loss_weights=jinns.loss.LossWeightsPDENonStatio(dyn_loss=1.0, initial_condition=1.0, boundary_loss=1.0),
        params=parameters,
    )
    optimiser = optax.adam(1e-3)

    def solved(count: int) -> tuple[Any, float]:
        """With the seconds of training as jinns prints them, without those of compiling."""
        with contextlib.redirect_stdout(io.StringIO()) as said:
            answer = jinns.solve(
                n_iter=count,
                init_params=parameters,
                data=data,
                loss=loss,
                optimizer=optimiser,
                print_loss_every=None,
                verbose=True,
                key=key,
            )
        return answer[0], float(re.findall(r"Training took\s+(\S+)", said.getvalue())[-1])

    _, taken = solved(TRIAL)
    count = max(1, round(TRIAL * options["seconds"] / taken))
    found, seconds = solved(count)
    swapped = jnp.asarray(points[:, ::-1], jnp.float32)  # jinns has the time first
    values = np.asarray(jax.vmap(lambda p: network(p, found))(swapped)).ravel()
    error = float(np.linalg.norm(values - truth) / np.linalg.norm(truth))
    return {"error_relative": error, "training_seconds": seconds, "iterations": count, "version": version("jinns")}


if __name__ == "__main__":
    answer(run)
