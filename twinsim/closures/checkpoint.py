"""Trained closures on disk: arrays by Orbax, and what they mean as JSON beside them."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from physics import Variable
from twinsim._version import __version__
from twinsim.closures.gaussian_process_closure import GaussianProcessClosure
from twinsim.closures.graph_closure import GraphClosure
from twinsim.closures.graph_flow import GraphFlow
from twinsim.closures.learned import KeptModel
from twinsim.closures.operator_closure import OperatorClosure
from twinsim.closures.perceptron import PerceptronClosure
from twinsim.errors import InputError, near_misses

FORMAT = 1
KINDS: dict[str, type[KeptModel]] = {
    model.kind: model for model in (PerceptronClosure, OperatorClosure, GaussianProcessClosure, GraphClosure, GraphFlow)
}


def save_closure(folder: str | Path, closure: KeptModel, provenance: dict[str, Any]) -> Path:
    """Writes a closure so that :func:`load_closure` gives it back in another process.

    Args:
        folder: A new folder, or one that holds an older checkpoint, which is replaced once the new one is whole.
        closure: Any kind in ``KINDS``.
        provenance: How to get it again: command, seeds, data, losses. JSON values.

    Raises:
        InputError: The kind is unknown, an array has a value that is not finite, or the folder holds something else.
    """
    import orbax.checkpoint as ocp

    folder = Path(folder).resolve()
    if closure.kind not in KINDS:
        raise InputError(f"a closure of the kind {closure.kind!r}", "one that can be read again", near_misses(closure.kind, KINDS))
    if folder.exists() and any(folder.iterdir()) and not (folder / "_CHECKPOINT_METADATA").exists():
        raise InputError(f"{folder}, which holds other files", "a new folder or an older checkpoint", "choose another folder")
    arrays = _arrays(closure)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise InputError(f"array {name} of a {closure.kind} with values that are not finite", "numbers", "train it again")
    about = {
        "format": FORMAT,
        "twinsim": __version__,
        "kind": closure.kind,
        "architecture": closure.architecture(),
        "inputs": [[variable.name, variable.unit] for variable in closure.inputs],
        "outputs": [[variable.name, variable.unit] for variable in closure.outputs],
        "provenance": provenance,
    }
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as writer:
        writer.save(folder, args=ocp.args.Composite(arrays=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about)), force=True)
    for marker in folder.rglob("commit_success.txt"):
        marker.unlink()  # it holds the path of the machine that wrote it, and nothing that reading needs
    return folder


def load_closure(folder: str | Path) -> Any:
    """The closure that :func:`save_closure` wrote, with its scales, units and training range.

    Raises:
        InputError: There is no checkpoint, it is of another format or unknown kind, or its arrays do not fit.
    """
    about = read_about(folder)
    import orbax.checkpoint as ocp

    inputs, outputs = (tuple(Variable(*pair) for pair in about[side]) for side in ("inputs", "outputs"))
    skeleton = KINDS[about["kind"]].skeleton(about["architecture"], inputs, outputs)
    wanted = _arrays(skeleton)
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
            found = reader.restore(Path(folder).resolve(), args=ocp.args.Composite(arrays=ocp.args.StandardRestore(wanted)))["arrays"]
    except (ValueError, KeyError, OSError) as error:
        raise _damaged(folder, str(error).splitlines()[0]) from error
    if {name: (array.shape, array.dtype) for name, array in found.items()} != {k: (v.shape, v.dtype) for k, v in wanted.items()}:
        raise _damaged(folder, "arrays of other shapes")
    leaves = [jnp.asarray(found[name]) for name in wanted]
    _, rest = eqx.partition(skeleton, eqx.is_array)
    structure = jax.tree.structure(eqx.filter(skeleton, eqx.is_array))
    return eqx.combine(jax.tree.unflatten(structure, leaves), rest)


def read_about(folder: str | Path) -> dict[str, Any]:
    """What is written beside the arrays: kind, variables, provenance, version.

    Raises:
        InputError: There is no checkpoint, or it is of another format or unknown kind.
    """
    import json

    path = Path(folder) / "about" / "metadata"
    try:
        about = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}, which holds no closure", "a folder written by save_closure", "check the path") from error
    if about.get("format") != FORMAT:
        got = f"{folder}: a checkpoint of format {about.get('format')}, by twinsim {about.get('twinsim', 'unknown')}"
        raise InputError(got, f"format {FORMAT}", "train it again with this version, by the command in its provenance")
    if about.get("kind") not in KINDS:
        raise InputError(
            f"{folder}: a closure of the kind {about.get('kind')!r}", "a known kind", near_misses(str(about.get("kind")), KINDS)
        )
    return about


def _arrays(closure: KeptModel) -> dict[str, np.ndarray]:
    """The leaves by number, so that names inside of classes may change."""
    return {f"{number:03d}": np.asarray(leaf) for number, leaf in enumerate(jax.tree.leaves(eqx.filter(closure, eqx.is_array)))}


def _damaged(folder: str | Path, why: str) -> InputError:
    return InputError(f"{folder}: a checkpoint that cannot be read ({why})", "one as save_closure wrote it", "copy or train it again")
