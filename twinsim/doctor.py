"""What this installation can do: versions, devices, cache, data, and a numerical self-test."""

import platform
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twinsim.environment import Precision, cache_folder, set_up_jax
from twinsim.errors import InputError

_PACKAGES = ("twinsim", "jax", "jaxlib", "equinox", "optimistix", "numpy", "scipy", "xarray", "nibabel")


def _gradient() -> tuple[bool, str]:
    """d/dx of sum(exp(sin(x))) is exp(sin(x)) cos(x), compiled and differentiated on the default device."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    x = jnp.linspace(0.0, 3.0, 1000)
    slope = jax.jit(jax.grad(lambda values: jnp.exp(jnp.sin(values)).sum()))(x)
    exact = np.exp(np.sin(np.asarray(x))) * np.cos(np.asarray(x))
    error = float(np.max(np.abs(np.asarray(slope) - exact)))
    return error < 100 * float(jnp.finfo(x.dtype).eps), f"largest error {error:.1e} in {x.dtype}"


def _own_packages() -> tuple[bool, str]:
    """The numerical packages of the same installation import."""
    import physics
    import solvers

    return True, f"{solvers.__file__}, {physics.__file__}"


def _conservation() -> tuple[bool, str]:
    """Explicit diffusion on a small irregular mask keeps the mass, to round-off."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from solvers.grid import VoxelGrid
    from solvers.space.diffusion import Diffusion

    random = np.random.default_rng(0)
    shape = (12, 10, 8)
    grid = VoxelGrid(random.random(shape) < 0.7, (1.0, 1.5, 2.0))
    diffusion = Diffusion(grid, random.uniform(0.1, 1.0, shape))
    start = jnp.where(grid.mask.ravel(), jnp.asarray(random.random(grid.size)), 0.0)
    step = 1.0 / diffusion.spectral_bound()
    end = jax.lax.fori_loop(0, 100, lambda _, field: field + step * diffusion.apply(field), start)
    drift = abs(float(end.sum() / start.sum()) - 1.0)
    spread = float(end.max() - end.min()) < float(start.max() - start.min())
    return spread and drift < 1000 * float(jnp.finfo(start.dtype).eps), f"relative mass drift {drift:.1e}"


CHECKS: list[tuple[str, Callable[[], tuple[bool, str]]]] = [
    ("own packages", _own_packages),
    ("compiled gradient", _gradient),
    ("diffusion keeps mass", _conservation),
]
"""Each check: its name, and a function that returns whether it passed and what it measured."""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _data() -> str:
    from twinsim import data

    try:
        here = [name for name, dataset in data.DATASETS.items() if data.found(dataset) is not None]
    except InputError as error:
        return str(error)
    names = ": " + ", ".join(here) if here else "; see twinsim data"
    return f"{len(here)} of {len(data.DATASETS)} sets found{names}"


def examine(precision: Precision = "float64") -> bool:
    """Print what is found and run `CHECKS`; whether all of them passed."""
    compiled = set_up_jax(precision)
    import jax

    table = Table(show_header=False, title="twinsim doctor", title_justify="left")
    table.add_row("python", f"{platform.python_version()} on {platform.platform(terse=True)}")
    table.add_row("versions", ", ".join(f"{name} {_version(name)}" for name in _PACKAGES))
    table.add_row("devices", ", ".join(f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()))
    table.add_row("precision", precision)
    table.add_row("cache", f"{cache_folder()}")
    table.add_row("compiled programs", str(compiled) if compiled else "not kept: the cache cannot be written")
    table.add_row("data", escape(_data()))
    passed = True
    for name, check in CHECKS:
        try:
            good, detail = check()
        except Exception as error:  # a doctor reports what is broken, whatever it is
            good, detail = False, f"{type(error).__name__}: {error}"
        passed = passed and good
        table.add_row(name, escape(f"{'passed' if good else 'FAILED'}: {detail}"))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return passed
