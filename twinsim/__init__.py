"""Voxel twins of patients: data in, calibration, uncertainty, treatment, command line.

`twinsim.solvers` and `twinsim.physics` are the top-level packages of these names, imported when first used.
Importing twinsim itself imports neither them nor JAX.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from twinsim._version import __version__

__all__ = ["__version__"]

_SIBLINGS = ("solvers", "physics")


def _refuse_shadowed_siblings() -> None:
    """Raise ImportError where another `solvers` or `physics` would be imported in place of twinsim's own.

    Both names are generic: a user's physics.py in the working folder comes first on the import path and
    would be used without a word. In a wheel and in a checkout alike the three packages lie in one folder.
    """
    home = Path(__file__).resolve().parent.parent
    for name in _SIBLINGS:
        try:
            spec = find_spec(name)
        except ValueError:  # something without a spec was put under that name by hand
            found = Path(f"sys.modules[{name!r}]")
        else:
            if spec is None:  # nothing shadows it; its import will say that it is missing
                continue
            found = Path(spec.origin or next(iter(spec.submodule_search_locations or ()), "")).resolve()
        if found not in (home / name / "__init__.py", home / name):
            raise ImportError(
                f"{found} shadows twinsim's own package {name!r}, which is in {home / name}; "
                "rename that file or folder, or start Python in another folder"
            )


_refuse_shadowed_siblings()


def __getattr__(name: str) -> ModuleType:
    """The sibling packages as attributes: `twinsim.solvers is solvers`."""
    if name in _SIBLINGS:
        return import_module(name)
    raise AttributeError(f"module 'twinsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SIBLINGS])
