"""The reduced ventricular cell with the parameters and the slow current that were learned together."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from physics import REDUCED_VENTRICULAR, ReducedVentricular
from physics.parameters import arrays_of
from twinsim.closures.checkpoint import load_closure, read_about, save_closure
from twinsim.closures.perceptron import PerceptronClosure
from twinsim.errors import InputError

SHIPPED = Path(__file__).parent.parent / "checkpoints" / "ionic_closure"
_NAMES = tuple(arrays_of(REDUCED_VENTRICULAR))


def ionic_closure(open_rapid_potassium: float = 1.0, open_calcium: float = 1.0, folder: str | Path | None = None) -> ReducedVentricular:
    """A cell of four variables that does what ten Tusscher and Panfilov's epicardial one of nineteen does, up to what docs/limits.md says.

    Args:
        open_rapid_potassium: Share of hERG channels that a drug leaves open.
        open_calcium: Share of L-type calcium channels.
        folder: Written by :func:`save_ionic_closure`; the shipped one where left out.

    Its slow current is a ``PerceptronClosure``, which knows its training range; for tissue write it out by ``written_out``.

    Raises:
        InputError: There is no checkpoint, or one of another equation.
        ValueError: A share outside of 0.05 to 1.
    """
    folder = SHIPPED if folder is None else Path(folder)
    values = read_about(folder)["provenance"].get("parameters", {})
    missing = sorted(set(_NAMES) - set(values))
    if missing:
        got = f"{folder}, which has no {missing[0]}"
        raise InputError(got, "a closure with the cell that it was learned with", "write it by save_ionic_closure")
    cell = ReducedVentricular.with_law(load_closure(folder), open_rapid_potassium, open_calcium)
    return eqx.tree_at(lambda c: [getattr(c, name) for name in _NAMES], cell, [jnp.asarray(values[name], float) for name in _NAMES])


def save_ionic_closure(folder: str | Path, cell: ReducedVentricular, provenance: dict[str, Any]) -> Path:
    """Writes the slow current of a cell and the parameters that belong to it.

    Raises:
        InputError: The slow current is no perceptron, or the folder holds something else.
    """
    if not isinstance(cell.slow_current, PerceptronClosure):
        raise InputError(
            f"a slow current of the kind {type(cell.slow_current).__name__}", "a PerceptronClosure", "save it before unrolling"
        )
    parameters = {name: float(getattr(cell, name)) for name in _NAMES}
    return save_closure(folder, cell.slow_current, {**provenance, "parameters": parameters})
