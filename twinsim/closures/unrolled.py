"""Training a closure inside of its solver: many steps are taken, and all of them are compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from solvers import Status, Stepper
from twinsim.closures.learned import network_parameters
from twinsim.closures.training import Training, train
from twinsim.errors import InputError


@dataclass(frozen=True)
class Horizon:
    """A part of the training.

    Args:
        steps: Of the solver, in one window.
        iterations: Of the optimiser.
        learning_rate: At the beginning; see :func:`twinsim.closures.train`.
    """

    steps: int
    iterations: int
    learning_rate: float


def train_unrolled(
    model: PyTree,
    stepper: Callable[[Any, Any], Stepper],
    members: PyTree,
    states: Float[Array, "members times *state"],
    length: float,
    horizons: Sequence[Horizon],
    *,
    compare: Callable[[Array], Array] = lambda state: state,
    windows: int = 240,
    batch: int = 6,
    seed: int = 0,
    trainable: Callable[[Any], PyTree] = network_parameters,
    progress: Callable[[int, int, float], None] | None = None,
) -> list[Training]:
    r"""Minimises $\overline{(c(u^n) - c(\hat u^n))^2}\,/\,\overline{c(\hat u^n)^2}$ of windows of the truth, with a growing horizon.

    The means are over the steps and places of a window, so that small states count as much as large ones (down to a thousandth of the
    mean over all, in square).

    A window begins with a state of the truth; the solver with the closure inside goes on from there for ``steps`` steps, each a checkpoint
    of reverse mode, and every step is compared. A closure that is right for one step may be unstable over many, and with a short horizon
    the states that the solver itself makes are never seen: the horizon grows, and each part begins where the one before ended.

    Args:
        model: The closure, or a pytree of several.
        stepper: ``stepper(model, member)``, the solver of one member.
        members: What differs among members: parameters and geometry, as arrays with the members along the first axis.
        states: The truth, at the ends of all steps.
        length: Of a step.
        horizons: In order.
        compare: What of a state is compared.
        windows: Drawn anew for each horizon.
        batch: Windows per iteration.
        seed: Of windows and batches.
        trainable: See :func:`twinsim.closures.train`; the parameters of a formula have to be named by it.
        progress: See :func:`twinsim.closures.train`.

    Returns:
        One training per horizon; where one ended with a status, it is the last.

    Raises:
        InputError: A horizon that is longer than the truth, or none.

    Source: Um et al. (2020), NeurIPS 33, 6111 (solver in the loop); Kochkov et al. (2021), PNAS 118, e2101784118.
    """
    truth = np.asarray(states)
    if not horizons or any(not 1 <= horizon.steps < truth.shape[1] for horizon in horizons):
        got = f"horizons of {', '.join(str(horizon.steps) for horizon in horizons) or 'nothing'} steps"
        raise InputError(got, f"from 1 to {truth.shape[1] - 1}", "shorten them, or give a longer truth")
    scale = float(np.mean(np.asarray(compare(jnp.asarray(truth.reshape(-1, *truth.shape[2:])[:: max(1, truth.shape[1] // 8)]))) ** 2))
    generator = np.random.default_rng(seed)
    done: list[Training] = []
    for horizon in horizons:
        which = generator.integers(0, truth.shape[0], windows)
        first = generator.integers(0, truth.shape[1] - horizon.steps, windows)
        after = np.stack([truth[m, t + 1 : t + 1 + horizon.steps] for m, t in zip(which, first, strict=True)])
        data = (jax.tree.map(lambda leaf, which=which: leaf[which], members), jnp.asarray(truth[which, first]), jnp.asarray(after))
        loss = partial(_loss, stepper, length, compare, scale)
        done.append(
            train(
                model, loss, data, steps=horizon.iterations, learning_rate=horizon.learning_rate, batch=min(batch, windows), seed=seed,
                trainable=trainable, progress=progress,
            )
        )  # fmt: skip
        model = done[-1].model
        if done[-1].status is not Status.SUCCESS:
            break
    return done


def unroll(stepper: Stepper, state: Array, length: float, steps: int) -> Float[Array, "steps *state"]:
    """The states after each step; in reverse mode only they are kept."""
    time, step = jnp.zeros((), state.dtype), jnp.asarray(length, state.dtype)

    def body(state: Array, _: None) -> tuple[Array, Array]:
        state = stepper.advance(state, time, step)
        return state, state

    return jax.lax.scan(jax.checkpoint(body, prevent_cse=False), state, None, length=steps)[1]


def _loss(
    stepper: Callable[[Any, Any], Stepper], length: float, compare: Callable[[Array], Array], scale: float, model: PyTree, batch: PyTree
) -> Float[Array, ""]:
    def window(member: Any, state: Array, after: Array) -> Float[Array, ""]:
        found = unroll(stepper(model, member), state, length, after.shape[0])
        wanted = jax.vmap(compare)(after)
        return jnp.mean((jax.vmap(compare)(found) - wanted) ** 2) / (jnp.mean(wanted**2) + 1e-3 * scale)

    return jnp.mean(jax.vmap(window)(*batch))
