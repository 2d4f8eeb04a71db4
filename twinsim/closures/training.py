"""Training inside or outside of a solver: one jitted loop of optimiser steps that survives a loss that is no number."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from solvers import Status
from twinsim.closures.learned import network_parameters
from twinsim.errors import InputError

Loss = Callable[..., Float[Array, ""]]


@lru_cache(maxsize=64)
def decaying_adam(
    learning_rate: float | optax.Schedule, steps: int, *, clip: float = 1.0, end: float = 0.01, b2: float = 0.999
) -> optax.GradientTransformation:
    """Adam with gradients clipped to a global norm and a rate that decays by a cosine; equal arguments give one object, so that a loop
    which was compiled for one seed serves the next.

    Args:
        learning_rate: First rate, or a schedule of its own.
        steps: Until the rate ends.
        clip: Largest norm of a gradient.
        end: Last rate over the first.
        b2: Of Adam: how long squares of gradients are remembered.
    """
    schedule = learning_rate if callable(learning_rate) else optax.cosine_decay_schedule(learning_rate, steps, alpha=end)
    return optax.chain(optax.clip_by_global_norm(clip), optax.adam(schedule, b2=b2))


class Training(NamedTuple):
    """What training left.

    Attributes:
        model: The best by validation where there is one, else the last; the last good one where the loss ceased to be a number.
        losses: Of every step made.
        validation: After every chunk of steps; empty without validation.
        status: SUCCESS, or NOT_FINITE where the loss or its gradient was NaN or infinite.
        steps: How many optimiser steps were made; with NOT_FINITE, the step (from 0) at which it happened.
    """

    model: Any
    losses: np.ndarray
    validation: np.ndarray
    status: Status
    steps: int

    @property
    def message(self) -> str:
        """How it ended, in one line."""
        if self.status is Status.SUCCESS:
            return f"trained for {self.steps} steps"
        return (
            f"got a loss or gradient that is not finite at step {self.steps}; expected numbers; do: lower the learning rate, clip the "
            "gradient or shorten the horizon (the model of the step before was kept)"
        )


class _Carry(NamedTuple):
    parameters: PyTree
    optimiser: PyTree
    failed: Bool[Array, ""]


def train(
    model: PyTree,
    loss: Loss,
    data: PyTree,
    *,
    steps: int,
    seed: int = 0,
    learning_rate: float | optax.Schedule = 1e-3,
    optimiser: optax.GradientTransformation | None = None,
    batch: int | None = None,
    chunk: int = 100,
    validate: Callable[[Any], Float[Array, ""]] | None = None,
    trainable: Callable[[Any], PyTree] = network_parameters,
    progress: Callable[[int, int, float], None] | None = None,
) -> Training:
    """Minimises the mean of ``loss(model, batch)`` over the data by a first-order optimiser of Optax.

    Whatever is differentiable may stand inside of ``loss``: the distance to samples, or a whole simulation in which the closure takes part
    (checkpoint it by ``simulate``'s plan, and begin with short horizons: gradients through many steps of a chaotic or stiff model explode).
    Steps run in compiled chunks without the host; batches are drawn anew, without repetition inside one, from a key of seed and step.

    Args:
        model: A closure, or any pytree that holds one.
        loss: ``loss(model, data)``, a scalar.
        data: A pytree whose arrays have the samples along the first axis; with ``batch`` left out it is handed over whole and may have
            any shapes.
        steps: Optimiser steps.
        seed: Of the batches.
        learning_rate: Of Adam, with gradients clipped to a global norm of 1; a number decays to a hundredth of itself by a cosine.
        optimiser: Instead of that.
        batch: Samples per step; all where left out.
        chunk: Steps between validations and calls of ``progress``.
        validate: A score of a model, smaller is better; the best one is returned.
        trainable: Which leaves are trained, as a pytree of booleans; those of networks, unless told otherwise: ``eqx.is_inexact_array``
            mapped over the model trains everything.
        progress: ``progress(steps done, steps, loss)`` after each chunk.

    Raises:
        InputError: ``steps`` or ``batch`` is not positive, the samples are fewer than a batch, or nothing is trainable.
    """
    lengths = {leaf.shape[0] for leaf in jax.tree.leaves(data) if np.ndim(leaf)}
    if steps < 1 or chunk < 1:
        raise InputError(f"{steps} steps in chunks of {chunk}", "at least one of each", "give positive numbers")
    if batch is not None and (len(lengths) != 1 or not 1 <= batch <= max(lengths)):
        raise InputError(f"batches of {batch} from samples {sorted(lengths)}", "as many or fewer than there are", "lower batch")
    parameters, rest = eqx.partition(model, trainable(model))
    if not jax.tree.leaves(parameters):
        remedy = "say which leaves with trainable=, e.g. lambda model: jax.tree.map(eqx.is_inexact_array, model) for a formula's arrays"
        raise InputError("a model without a trainable leaf", "one with a network", remedy)
    method = decaying_adam(learning_rate, steps) if optimiser is None else optimiser
    carry = _Carry(parameters, method.init(parameters), jnp.zeros((), bool))
    best, best_score = carry.parameters, np.inf
    losses: list[np.ndarray] = []
    scores: list[float] = []
    arrays, others = eqx.partition(data, eqx.is_array)
    run = partial(_chunk, rest, loss, method, others, batch)
    done, status = 0, Status.SUCCESS
    while done < steps:
        count = min(chunk, steps - done)
        carry, seen, finite = run(carry, arrays, jax.random.key(seed), jnp.asarray(done), count)
        finite = np.asarray(finite)
        made = count if finite.all() else int(np.argmin(finite))
        losses.append(np.asarray(seen)[:made])
        done += made
        if validate is not None:
            score = float(validate(eqx.combine(carry.parameters, rest)))
            scores.append(score)
            if score < best_score:
                best, best_score = carry.parameters, score
        if progress is not None and made:
            progress(done, steps, float(losses[-1][-1]))
        if made < count:
            status = Status.NOT_FINITE
            break
    kept = best if np.isfinite(best_score) else carry.parameters
    return Training(eqx.combine(kept, rest), np.concatenate(losses), np.asarray(scores), status, done)


@eqx.filter_jit
def _chunk(
    rest: PyTree,
    loss: Loss,
    optimiser: optax.GradientTransformation,
    others: PyTree,
    batch: int | None,
    carry: _Carry,
    arrays: PyTree,
    key: Any,
    first: Int[Array, ""],
    count: int,
) -> tuple[_Carry, Float[Array, "steps"], Bool[Array, "steps"]]:
    """``count`` steps; after the first that is not finite nothing changes any more."""

    def objective(parameters: PyTree, sample: PyTree) -> Float[Array, ""]:
        return loss(eqx.combine(parameters, rest), eqx.combine(sample, others))

    def step(carry: _Carry, number: Int[Array, ""]) -> tuple[_Carry, tuple[Float[Array, ""], Bool[Array, ""]]]:
        sample = arrays
        if batch is not None:
            total = jax.tree.leaves(arrays)[0].shape[0]
            chosen = jax.random.choice(jax.random.fold_in(key, number), total, (batch,), replace=False)
            sample = jax.tree.map(lambda leaf: leaf[chosen], arrays)
        value, gradient = jax.value_and_grad(objective)(carry.parameters, sample)
        finite = jnp.isfinite(value) & jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient)]))
        failed = carry.failed | ~finite
        updates, state = optimiser.update(gradient, carry.optimiser, carry.parameters)
        moved = optax.apply_updates(carry.parameters, updates)
        keep = partial(jax.tree.map, lambda old, new: jnp.where(failed, old, new))
        return _Carry(keep(carry.parameters, moved), keep(carry.optimiser, state), failed), (value, ~failed)

    final, (values, fine) = jax.lax.scan(step, carry, first + jnp.arange(count))
    return final, values, fine
