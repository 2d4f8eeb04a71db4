"""Finds experiments and benchmarks and reads what each is about, without importing any of them."""

import ast
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from twinsim.errors import InputError, near_misses


@dataclass(frozen=True)
class Script:
    """One runnable file: its name on the command line, module name, path, and first docstring line."""

    name: str
    module: str
    path: Path
    summary: str


def _folder(kind: str) -> Path | None:
    """Where the "experiments" or the "benchmarks" lie; None in an installed wheel, which has none."""
    variable = f"TWINSIM_{kind.upper()}"
    named = os.environ.get(variable)
    if named:
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise InputError(
                got=f"{variable}={named}, which is not a folder",
                expected=f"the folder that holds {kind}",
                do=f"correct or unset {variable}",
            )
        return folder.resolve()
    for folder in (Path(__file__).resolve().parent.parent / kind, Path.cwd() / kind):
        if folder.is_dir():
            return folder
    return None


def _summary(path: Path) -> str | None:
    """First docstring line of a file that defines `run`; None for any other file."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (SyntaxError, UnicodeDecodeError) as error:
        return f"(cannot be read: {error})"
    if not any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in tree.body):
        return None
    return (ast.get_docstring(tree) or "(no docstring)").splitlines()[0]


def _scripts(kind: str, pattern: str) -> dict[str, Script]:
    folder = _folder(kind)
    if folder is None:
        raise InputError(
            got=f"no folder {kind!r} beside the installed twinsim nor in the working folder",
            expected="a source checkout of twinsim",
            do=f"work in a checkout, or set TWINSIM_{kind.upper()} to a folder of your own {kind}",
        )
    found = {}
    for path in sorted(folder.glob(pattern)):
        summary = None if path.name.startswith("_") else _summary(path)
        if summary is not None:
            parts = path.relative_to(folder).with_suffix("").parts
            found["/".join(parts)] = Script("/".join(parts), ".".join((kind, *parts)), path, summary)
    return found


def experiments() -> dict[str, Script]:
    """Experiments by name `field/name`.

    Raises:
        InputError: There is no folder of experiments.
    """
    return _scripts("experiments", "*/*.py")


def benchmarks() -> dict[str, Script]:
    """Benchmarks by name.

    Raises:
        InputError: There is no folder of benchmarks.
    """
    return _scripts("benchmarks", "*.py")


def find(name: str, scripts: dict[str, Script], noun: str) -> Script:
    """The script of that name.

    Raises:
        InputError: There is none; the message offers the near misses.
    """
    name = name.removesuffix(".py")
    for prefix in ("experiments/", "benchmarks/"):
        name = name.removeprefix(prefix)
    if name not in scripts:
        hint = near_misses(name, scripts) if scripts else "there is none yet"
        raise InputError(got=f"{noun} {name!r}", expected="a name from `twinsim list`", do=f"correct the name; {hint}")
    return scripts[name]


@contextmanager
def options_of(script: Script) -> Iterator[type | None]:
    """The script's Config alone, for help that answers at once: nothing that the script imports from elsewhere is imported.

    Only the standard library's imports, plain constants and dataclasses of the file are executed. None where Config needs more than that.
    """
    tree = ast.parse(script.path.read_text(encoding="utf-8"), filename=str(script.path))
    tree.body = [node for node in tree.body if _is_light(node)]
    module = ModuleType(script.module)
    module.__file__ = str(script.path)
    known = sys.modules.get(script.module)
    sys.modules[script.module] = module  # where typing and inspect look for the class
    try:
        try:
            exec(compile(tree, str(script.path), "exec"), module.__dict__)
        except Exception:  # whatever it needs is not there
            yield None
        else:
            yield getattr(module, "Config", None)
    finally:
        del sys.modules[script.module]
        if known is not None:
            sys.modules[script.module] = known


def _is_light(node: ast.stmt) -> bool:
    match node:
        case ast.Import():
            return all(name.name.split(".")[0] in sys.stdlib_module_names for name in node.names)
        case ast.ImportFrom():
            return (node.module or "").split(".")[0] in {*sys.stdlib_module_names, "tyro"}
        case ast.Assign() | ast.AnnAssign():
            return node.value is not None and not any(isinstance(part, ast.Call | ast.Name) for part in ast.walk(node.value))
        case ast.ClassDef():
            return node.name == "Config"
    return False


def load(script: Script) -> ModuleType:
    """Import a script under its module name, so that its classes pickle and tests import the same module.

    Raises:
        InputError: The file lacks `run`, or an experiment lacks `Config`.
    """
    module = sys.modules.get(script.module)
    if module is None or Path(getattr(module, "__file__", None) or "").resolve() != script.path.resolve():
        spec = importlib.util.spec_from_file_location(script.module, script.path)
        if spec is None or spec.loader is None:
            raise InputError(got=str(script.path), expected="a Python file", do="rename it to end in .py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[script.module] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[script.module]
            raise
    missing = [name for name in ("Config", "run") if not callable(getattr(module, name, None))]
    if missing:
        raise InputError(
            got=f"{script.path} without {' and '.join(missing)}",
            expected="a frozen dataclass Config and a function run",
            do="see CONTRIBUTING.md, 'Add an experiment'",
        )
    return module
