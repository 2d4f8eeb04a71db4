"""Universal differential equations: what is known of a law, and a network in the place of what is not, trained in the solver."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics import Closure
from solvers import Status
from twinsim.closures import network_parameters, train
from twinsim.closures.courses import rollout
from twinsim.discovery.in_solver import Windows, cut
from twinsim.discovery.weak_form import Course
from twinsim.errors import InputError


class UniversalLaw(eqx.Module):
    r"""$\dot x = g(x) + B\,u(x)$ with $g$ known and $u$ a closure.

    Attributes:
        known: $g$, a rate per variable; None is zero.
        unknown: $u$.
        into: $B$, ``[variables, outputs of u]``: which equation a term of $u$ stands in, with its sign.
    """

    known: Closure | None
    unknown: Closure
    into: Float[Array, "variables terms"]

    def __check_init__(self) -> None:
        if self.into.shape != (len(self.unknown.inputs), len(self.unknown.outputs)):
            got = f"a matrix {self.into.shape} for {len(self.unknown.inputs)} variables and {len(self.unknown.outputs)} unknown terms"
            raise InputError(got, "a row per variable and a column per unknown term", "correct into")
        if self.known is not None and len(self.known.outputs) != len(self.unknown.inputs):
            raise InputError(
                f"{len(self.known.outputs)} known rates", f"{len(self.unknown.inputs)}, one per variable", "give zero rates too"
            )

    def __call__(self, values: Float[Array, "variables *places"]) -> Float[Array, "variables *places"]:
        rate = jnp.tensordot(jax.lax.stop_gradient(self.into), self.unknown(values), axes=1)
        return rate if self.known is None else rate + self.known(values)


class _Trained(eqx.Module):
    """The law and the starts of all windows, in units of the variables' sizes."""

    law: UniversalLaw
    start: Float[Array, "variables windows"]
    size: Float[Array, " variables"]


class UniversalFit(NamedTuple):
    """What training left.

    Attributes:
        law: With the trained closure.
        losses: Of every step: the mean square of residuals over noise, with the decay of weights.
        status: Of the training.
    """

    law: UniversalLaw
    losses: np.ndarray
    status: Status


def fit_universal(
    law: UniversalLaw,
    courses: list[Course],
    steps: int = 1500,
    horizon: int = 5,
    learning_rate: float = 0.01,
    decay: float = 1e-4,
    substeps: int = 2,
) -> UniversalFit:
    r"""Trains the closure, and unknown starts of short windows, on $\sum((x-x_k)/\sigma)^2$ through the solver.

    Windows of a few intervals (multiple shooting) keep gradients tame where a whole course of an untrained law would run away; every window
    has a start of its own, held by its own samples.

    Args:
        law: With an untrained closure, whose scales should be those of the data.
        courses: Observed.
        steps: Of Adam.
        horizon: Intervals per window.
        learning_rate: First one.
        decay: Of the weights, times half of their squares.
        substeps: Runge-Kutta steps per interval.

    Outside of the states that the courses visited the closure says anything at all: extrapolate by terms found from it, not by it.

    Source: Rackauckas et al. (2020), arXiv 2001.04385.
    """
    windows, starts = cut(courses, horizon)
    size = np.abs(starts).max(axis=1)
    model = _Trained(law, jnp.asarray(starts / size[:, None]), jnp.asarray(size))
    known = int((np.asarray(windows.weights) > 0).sum())

    def loss(model: _Trained, windows: Windows) -> Float[Array, ""]:
        start = model.start * jnp.broadcast_to(model.size[:, None], model.start.shape)
        course = rollout(model.law, start, windows.spans, windows.limit, substeps)
        weights = [leaf for leaf in jax.tree.leaves(eqx.filter(model, network_parameters(model))) if leaf.ndim == 2]
        off = (((course - windows.values) * windows.weights) ** 2).sum() / known
        return off + 0.5 * decay * sum((leaf**2).sum() for leaf in weights)

    def trainable(model: _Trained) -> _Trained:
        return eqx.tree_at(lambda one: one.start, network_parameters(model), True)

    done = train(model, loss, windows, steps=steps, learning_rate=learning_rate, trainable=trainable)
    return UniversalFit(done.model.law, done.losses, done.status)
