"""Restart files: a state and its time in one NumPy archive, written whole or not at all."""

import hashlib
import json
import os
import tempfile
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

FORMAT = "twinsim restart 1"


def save_restart(path: str | os.PathLike[str], state: PyTree, time: float, **notes: Any) -> None:
    """Writes a state to a file that :func:`load_restart` reads; a crash leaves the former file or the new one, never a part.

    Args:
        path: The file; its folder must exist.
        state: Any pytree of arrays, e.g. ``solution.final``.
        time: Its time.
        notes: Anything that JSON can hold, e.g. the index of a chunk.

    Raises:
        ValueError: The state has a leaf that is no array of numbers, or the folder is missing.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"got {path}; expected a file in a folder that exists; do: make {path.parent} first")
    leaves, _ = jax.tree.flatten(state)
    arrays = [np.asarray(leaf) for leaf in leaves]
    for array in arrays:
        if array.dtype.hasobject:
            raise ValueError(f"got a leaf of {array.dtype}; expected arrays of numbers; do: keep settings out of the state")
    head = {"format": FORMAT, "time": float(time), "structure": _structure(state), "notes": notes}
    # Types that NumPy's format does not know, bfloat16 among them, are stored as their bytes; the structure says what they are.
    plain: dict[str, Any] = {f"leaf_{i}": np.frombuffer(array.tobytes(), np.uint8) for i, array in enumerate(arrays)}
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, head=np.array(json.dumps(head)), **plain)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def load_restart(path: str | os.PathLike[str], like: PyTree) -> tuple[PyTree, float, dict[str, Any]]:
    """Reads a state back.

    Args:
        path: A file from :func:`save_restart`.
        like: A state of the same structure, shapes and types, or its shapes; the file must match it.

    Returns:
        The state, its time, and the notes.

    Raises:
        ValueError: No such file, not a restart file, or one of another structure; nothing is converted silently.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"got {path}; expected a restart file; do: check the path, or start without one")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            head = json.loads(str(archive["head"]))
            raw = [archive[f"leaf_{i}"] for i in range(len(archive.files) - 1)]
    except (OSError, ValueError, KeyError, IndexError, TypeError, BadZipFile, EOFError) as error:
        raise ValueError(f"got {path}, which is no restart file or a damaged one; expected {FORMAT}; do: use an earlier one") from error
    if head.get("format") != FORMAT:
        raise ValueError(f"got {path} of format {head.get('format')}; expected {FORMAT}; do: write it again with this version")
    expected = _structure(like)
    if head["structure"] != expected:
        raise ValueError(
            f"got a restart of {_words(head['structure'])}; expected {_words(expected)}; do: use the model and grid that wrote {path.name}"
        )
    leaves, tree = jax.tree.flatten(like)
    arrays = [
        jnp.asarray(np.frombuffer(data.tobytes(), jnp.dtype(leaf.dtype)).reshape(leaf.shape))
        for data, leaf in zip(raw, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, arrays), head["time"], head["notes"]


def fingerprint(thing: Any) -> str:
    """A hash of the numbers in a pytree or a module, static fields included, that is the same in every process.

    Functions count by their name alone: what they close over isn't seen.
    """
    digest = hashlib.blake2b(digest_size=16)

    def add(part: Any) -> None:
        if isinstance(part, jax.Array | np.ndarray | np.generic):
            array = np.asarray(part)
            digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        elif isinstance(part, int | float | complex | str | bytes | None):
            digest.update(repr(part).encode())
        else:
            digest.update(getattr(part, "__qualname__", type(part).__qualname__).encode())
            if is_dataclass(part) and not isinstance(part, type):
                part = [(field.name, getattr(part, field.name, None)) for field in fields(part)]
            elif isinstance(part, dict):
                part = list(part.items())
            if isinstance(part, list | tuple):
                digest.update(f"{len(part)}".encode())
                for inner in part:
                    add(inner)

    add(thing)
    return digest.hexdigest()


def _structure(tree: PyTree) -> list[list[Any]]:
    """Path, shape and type of every leaf."""
    found = []
    for where, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        leaf = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
        found.append([jax.tree_util.keystr(where), list(leaf.shape), str(leaf.dtype)])
    return found


def _words(structure: list[list[Any]]) -> str:
    """The first leaves in a few words."""
    shown = [f"{name or 'an array'} {dtype}{tuple(shape)}" for name, shape, dtype in structure[:3]]
    return ", ".join(shown) + (f" and {len(structure) - 3} more" if len(structure) > 3 else "")
