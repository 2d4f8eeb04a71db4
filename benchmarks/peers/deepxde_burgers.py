"""DeepXDE on Burgers' equation as its own example sets it: soft conditions, Adam at 1e-3, single precision; runs in .venv-peers."""

import os
import time
from typing import Any

from _peer import answer


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Error on the points of the file ``lattice`` after so many seconds of training, compiling and set-up not counted."""
    os.environ["DDE_BACKEND"] = "jax"
    import deepxde as dde
    import jax.numpy as jnp
    import numpy as np

    given = np.load(options["lattice"])
    points, truth = given[:, :2], given[:, 2]
    dde.config.set_random_seed(options["seed"])
    viscosity = options["viscosity"]

    def equation(x: Any, y: Any) -> Any:
        u, _ = y
        slope_x, _ = dde.grad.jacobian(y, x, i=0, j=0)
        slope_t, _ = dde.grad.jacobian(y, x, i=0, j=1)
        bend, _ = dde.grad.hessian(y, x, i=0, j=0)
        return slope_t + u * slope_x - viscosity * bend

    domain = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
    walls = dde.icbc.DirichletBC(domain, lambda x: 0, lambda _, on: on)
    start = dde.icbc.IC(domain, lambda x: -np.sin(np.pi * x[:, 0:1]), lambda _, on: on)
    data = dde.data.TimePDE(domain, equation, [walls, start], num_domain=2540, num_boundary=80, num_initial=160)
    network = dde.nn.FNN([2] + [20] * 3 + [1], "tanh", "Glorot normal")
    model = dde.Model(data, network)
    model.compile("adam", lr=1e-3)
    silent = {"display_every": 10**9, "verbose": 0}
    model.train(iterations=2, **silent)  # compiles
    began = time.perf_counter()
    model.train(iterations=10**8, callbacks=[dde.callbacks.Timer(options["seconds"] / 60)], **silent)
    seconds = time.perf_counter() - began
    found = np.asarray(model.predict(jnp.asarray(points))).ravel()
    error = float(np.linalg.norm(found - truth) / np.linalg.norm(truth))
    return {
        "error_relative": error,
        "training_seconds": seconds,
        "iterations": int(model.train_state.step if hasattr(model.train_state, "step") else model.train_state.iteration),
        "version": dde.__version__,
    }


if __name__ == "__main__":
    answer(run)
