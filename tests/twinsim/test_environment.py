"""How the command line sets JAX up, and what the doctor says; in subprocesses, because both change JAX."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from twinsim.environment import MOST_HOST_DEVICES, cache_folder, set_up_jax
from twinsim.errors import InputError
from twinsim.machine import cores

ROOT = Path(__file__).resolve().parents[2]


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "TWINSIM_"))}
    environment = {**inherited, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("precision", "dtype"), [("float32", "float32"), ("float64", "float64")])
def test_precision_and_cache(precision: str, dtype: str, tmp_path: Path) -> None:
    program = (
        "from twinsim.environment import set_up_jax\n"
        f"folder = set_up_jax({precision!r})\n"
        "import jax, jax.numpy as jnp\n"
        "assert str(folder) == jax.config.jax_compilation_cache_dir\n"
        "print(jnp.zeros(1).dtype, folder)\n"
    )
    done = python("-c", program, TWINSIM_CACHE=str(tmp_path))
    assert done.stdout.split() == [dtype, str(tmp_path / "compiled")], done.stderr


def test_every_core_is_a_device_unless_the_user_chose() -> None:
    program = "from twinsim.environment import set_up_jax; set_up_jax(); import jax; print(jax.device_count())"
    inherited = {"XLA_FLAGS": "", "TWINSIM_CACHE": os.devnull, "JAX_PLATFORMS": "cpu"}
    assert int(python("-c", program, **inherited).stdout) == min(cores(), MOST_HOST_DEVICES)
    assert int(python("-c", program, **inherited | {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}).stdout) == 3
    assert int(python("-c", program, **inherited, JAX_NUM_CPU_DEVICES="1").stdout) == 1
    late = program.replace("set_up_jax();", "import jax; jax.devices(); set_up_jax();")
    assert int(python("-c", late, **inherited).stdout) == 1


def test_compiled_programs_are_kept(tmp_path: Path) -> None:
    program = (
        "from twinsim.environment import set_up_jax\n"
        "set_up_jax('float32')\n"
        "import jax\n"
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)\n"
        "jax.jit(lambda x: x * 2)(1.0)\n"
    )
    done = python("-c", program, TWINSIM_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert any((tmp_path / "compiled").iterdir())


def test_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    program = "from twinsim.environment import set_up_jax; print(set_up_jax('float32'))"
    done = python("-c", program, TWINSIM_CACHE=str(tmp_path / "file"))
    assert done.stdout.strip() == "None", done.stderr


def test_unknown_precision_is_refused() -> None:
    unchecked = getattr(set_up_jax, "__wrapped__", set_up_jax)  # without the type check of the tests
    with pytest.raises(InputError, match="precision 'float16'"):
        unchecked("float16")


def test_cache_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TWINSIM_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_doctor_passes(precision: str, tmp_path: Path) -> None:
    arguments = ("-m", "twinsim.cli", "doctor", "--precision", precision)
    done = python(*arguments, TWINSIM_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("jax", "devices", precision, "diffusion keeps mass", "passed"):
        assert part in done.stdout
    assert "FAILED" not in done.stdout


def test_doctor_reports_data_that_are_not_there(tmp_path: Path) -> None:
    done = python("-m", "twinsim.cli", "doctor", TWINSIM_CACHE=str(tmp_path), TWINSIM_DATA="no-such-folder")
    assert done.returncode == 0, done.stderr
    assert "no-such-folder" in done.stdout
