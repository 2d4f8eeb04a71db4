"""All numbers of a tree in one floating-point precision."""

from typing import Any

import equinox as eqx
import jax


def in_precision[T](tree: T, dtype: Any) -> T:
    """The tree with every floating-point array in ``dtype``; whatever else is in it stays."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, tree)
