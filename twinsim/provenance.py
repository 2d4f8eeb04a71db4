"""What a result was made with, so that it can be made again."""

import dataclasses
import enum
import math
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = (
    "twinsim",
    "jax",
    "jaxlib",
    "equinox",
    "diffrax",
    "optimistix",
    "numpy",
    "scipy",
    "xarray",
    "h5netcdf",
)


def provenance(config: Any = None) -> dict[str, Any]:
    """Versions, device, precision, seed, git revision, command, date and configuration of this run.

    Args:
        config: The options of the experiment: a dataclass or a mapping. Its ``seed`` and ``precision`` are
            repeated at the top level.

    Returns:
        A dictionary of plain values (text, numbers, true/false, none, lists, dictionaries), ready for JSON.
        JAX is asked for its devices only when the run has imported it.
    """
    options = plain(config) if config is not None else {}
    device, precision = _device_and_precision()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "git_revision": git_revision(),
        "device": device,
        "precision": options.get("precision") or precision,
        "seed": options.get("seed"),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "config": options,
    }


def git_revision(root: Path | None = None) -> str | None:
    """Commit of the source tree at ``root`` (this one by default), ``+changes`` when files differ from it.

    None when the sources are not a git checkout of their own, as in an installed package.
    """
    root = (root or Path(__file__).parents[1]).resolve()
    top = _git(root, "rev-parse", "--show-toplevel")
    # An installed copy may lie inside somebody else's repository, whose revision says nothing about it.
    if not top or Path(top).resolve() != root:
        return None
    revision = _git(root, "rev-parse", "--verify", "HEAD")
    if not revision:
        return None
    return revision + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")


def plain(value: Any) -> Any:
    """``value`` as text, numbers, lists and dictionaries; NaN and infinities become None."""
    if value is None or (isinstance(value, str | bool | int) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, enum.Enum):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=str)
    convert = getattr(value, "tolist", None)  # NumPy and JAX arrays and scalars
    if convert is not None:
        return plain(convert())
    return str(value)


def _device_and_precision() -> tuple[str, str | None]:
    jax = sys.modules.get("jax")
    if jax is None:
        return "not used", None
    kinds = [device.device_kind for device in jax.devices()]
    device = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    return f"{jax.default_backend()} ({device})", "float64" if jax.config.jax_enable_x64 else "float32"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
