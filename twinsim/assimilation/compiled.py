"""Updates compiled ahead of time, and the fingerprint by which a journal knows its twin."""

import hashlib
import re
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from twinsim.assimilation.assimilator import Assimilator, Belief
from twinsim.assimilation.stream_model import Innovation, StreamModel

Update = Callable[[Belief, float, np.ndarray, np.ndarray, int], tuple[Belief, Innovation, Any]]


def compiled_update(model: StreamModel, method: Assimilator, belief: Belief, channels: int, seed: int) -> Update:
    """The update compiled ahead of time: ``(belief, time, values, mask, index)`` to belief, innovation and whether all is finite."""
    arrays, rest = eqx.partition((model, method), eqx.is_array)
    kind = jax.tree.leaves(jax.tree.map(lambda leaf: leaf.dtype, eqx.filter(belief, eqx.is_inexact_array)))[0]

    def update(arrays: Any, belief: Belief, time: Any, values: Any, mask: Any, index: Any) -> tuple[Belief, Innovation, Any]:
        model, method = eqx.combine(arrays, rest)
        key = jax.random.fold_in(jax.random.key(seed), index)
        belief, innovation = method.update(model, belief, time, values, mask, key)
        state = method.ensemble(belief, key, 1)
        finite = jnp.isfinite(state.members).all() & jnp.isfinite(state.log_weights).any()
        return belief, innovation, finite

    shapes = (jnp.zeros((), kind), jnp.zeros(channels, kind), jnp.zeros(channels, bool), jnp.zeros((), np.int32))
    program = jax.jit(update).lower(arrays, belief, *shapes).compile()

    def call(belief: Belief, time: float, values: np.ndarray, mask: np.ndarray, index: int) -> tuple[Belief, Innovation, Any]:
        return program(arrays, belief, np.asarray(time, kind), values.astype(kind), mask, np.int32(index))

    return call


def fingerprint(tree: Any) -> str:
    """A digest of structure, settings and numbers of a pytree, the same in every process."""
    leaves, structure = jax.tree.flatten(tree)
    digest = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", str(structure)).encode())
    for leaf in leaves:
        array = np.asarray(leaf)
        digest.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
    return digest.hexdigest()[:32]
