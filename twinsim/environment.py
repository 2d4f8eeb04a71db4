"""How the command line sets JAX up: precision, and compiled programs kept between runs."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

from twinsim.errors import InputError
from twinsim.machine import cores

Precision = Literal["float32", "float64"]
MOST_HOST_DEVICES = 16


def cache_folder() -> Path:
    """The user's cache folder for twinsim: `TWINSIM_CACHE`, else the one that the operating system names."""
    named = os.environ.get("TWINSIM_CACHE")
    if named:
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("twinsim"))


def data_folder() -> Path | None:
    """The folder with the public data sets, from `TWINSIM_DATA`.

    Raises:
        InputError: The variable names something that is not a folder.
    """
    named = os.environ.get("TWINSIM_DATA")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise InputError(
            got=f"TWINSIM_DATA={named}, which is not a folder",
            expected="the folder that holds the data sets",
            do="correct or unset TWINSIM_DATA",
        )
    return folder.resolve()


def set_up_jax(precision: Precision = "float32", cache: Path | None = None, host_devices: int | None = None) -> Path | None:
    """Choose JAX's precision, one host device per core, and keep compiled programs on disk. Call before the first computation.

    Only the command line does: the library never touches a global switch.

    Args:
        precision: "float64" switches 64-bit types on, "float32" off.
        cache: Where compiled programs are kept; None is `compiled` in the user's cache folder. The
            environment variable JAX_COMPILATION_CACHE_DIR wins over both.
        host_devices: Into how many devices the processor is divided; None is one per core, at most 16. XLA_FLAGS and
            JAX_NUM_CPU_DEVICES win.

    Returns:
        The folder used, or None where it cannot be written and programs are therefore compiled in every run.

    Raises:
        InputError: The precision is unknown.
    """
    if precision not in ("float32", "float64"):
        raise InputError(got=f"precision {precision!r}", expected="float32 or float64", do="choose one")
    # XLA's alarm about slow compilation is four lines about filing a bug in the middle of a progress bar; exceptions are not affected.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import jax

    jax.config.update("jax_enable_x64", precision == "float64")
    # Members of an ensemble are divided over devices, and XLA's own threads find little to do in one voxel field: cores become devices.
    if "host_platform_device_count" not in os.environ.get("XLA_FLAGS", "") and "JAX_NUM_CPU_DEVICES" not in os.environ:
        with suppress(RuntimeError):  # JAX has computed already: it keeps the devices that it has
            jax.config.update("jax_num_cpu_devices", host_devices or min(cores(), MOST_HOST_DEVICES))
    folder = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or cache or cache_folder() / "compiled")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Anything that compiles in less than this is cheaper to compile again than to look up and load.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder
