"""The wheel, the lock file, and the guard against another `physics` or `solvers`."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"solvers", "physics", "twinsim"}


def python(*arguments: str, cwd: Path, path: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder with that import path before everything that is installed."""
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    done = python("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT, path="")
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    (metadata,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == PACKAGES | {metadata}
    for needed in (
        "twinsim/report.html.jinja",
        "twinsim/cli.py",
        "solvers/__init__.py",
        "physics/__init__.py",
    ):
        assert needed in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_unpacked_wheel_runs_and_says_that_it_has_no_experiments(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    work = tmp_path / "work"
    work.mkdir()
    done = python("-m", "twinsim.cli", "list", cwd=work, path=str(tmp_path / "site"))
    assert done.returncode == 2
    assert "source checkout" in done.stderr
    assert "Traceback" not in done.stderr


def test_metadata_names_the_command_and_the_python(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "twinsim = twinsim.cli:main" in archive.read(entry_points).decode()
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    assert "Requires-Python: >=3.12" in archive.read(metadata).decode()


def test_lock_file_has_hashes_and_no_address() -> None:
    text = (ROOT / "requirements.lock.txt").read_text()
    assert not re.search(r"https?://|file:|--(extra-)?index-url|--find-links|(^|\s)/", text)
    pinned = re.findall(r"^([A-Za-z0-9._-]+)==", text, flags=re.MULTILINE)
    assert len(pinned) > 40
    assert text.count("--hash=sha256:") >= len(pinned)


def test_lock_file_pins_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    text = (ROOT / "requirements.lock.txt").read_text()
    pinned = set(re.findall(r"^([A-Za-z0-9._-]+)==", text, flags=re.MULTILINE))
    for requirement in wanted:
        assert re.split(r"[<>=!~\[;]", requirement)[0] in pinned, requirement


@pytest.mark.parametrize("name", ["physics", "solvers"])
@pytest.mark.parametrize("kind", ["module", "package", "folder"])
def test_a_foreign_package_of_that_name_is_refused(name: str, kind: str, tmp_path: Path) -> None:
    foreign = tmp_path / f"{name}.py" if kind == "module" else tmp_path / name / "__init__.py"
    foreign.parent.mkdir(exist_ok=True)
    if kind != "folder":
        foreign.write_text("")
    done = python("-c", "import twinsim; print('imported')", cwd=tmp_path, path=f"{tmp_path}:{ROOT}")
    if kind == "folder":  # without __init__.py the real package, later on the path, wins
        assert done.stdout.strip() == "imported", done.stderr
    else:
        assert done.returncode != 0
        assert "ImportError" in done.stderr
        assert str(foreign.resolve()) in done.stderr
        assert "rename" in done.stderr


def test_a_module_put_there_by_hand_is_refused() -> None:
    program = "import sys, types; sys.modules['physics'] = types.ModuleType('physics'); import twinsim"
    done = python("-c", program, cwd=ROOT, path="")
    assert "sys.modules['physics'] shadows" in done.stderr


def test_importing_twinsim_is_light_and_siblings_are_the_same_objects() -> None:
    program = (
        "import sys, twinsim\n"
        "assert 'jax' not in sys.modules and 'solvers' not in sys.modules\n"
        "import physics, solvers\n"
        "assert twinsim.solvers is solvers and twinsim.physics is physics\n"
        "assert {'solvers', 'physics'} <= set(dir(twinsim))\n"
        "print(twinsim.__version__)\n"
    )
    done = python("-c", program, cwd=ROOT, path="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "0.1.0"
