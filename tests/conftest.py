"""Strict arithmetic, checked shapes, and no silent skip of a test whose data are there."""

import atexit
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path

import jax
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# Before the first test module imports them: every annotated shape and type is checked at each call.
# The numeric tower lets an int stand where a float is annotated, as users write them.
install_import_hook(
    ["solvers", "physics", "twinsim"],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Many tests compile equal programs: each worker keeps what it compiled, in a folder of its own (two writers could read half a file)
# and for this run only.
_compiled = tempfile.mkdtemp(prefix="twinsim-compiled-")
atexit.register(shutil.rmtree, _compiled, ignore_errors=True)
jax.config.update("jax_compilation_cache_dir", _compiled)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

# The same examples in every run, and no time limit: a slow machine is no bug.
settings.register_profile("twinsim", deadline=None, derandomize=True, database=None)
settings.load_profile("twinsim")


@pytest.fixture
def dataset() -> Callable[[str], Path]:
    """The folder of a public data set by name; skips the test where it is not on this machine."""
    from twinsim.data import locate
    from twinsim.errors import InputError

    def folder(name: str) -> Path:
        try:
            return locate(name)
        except InputError as error:
            pytest.skip(str(error))

    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """``quick(n)``: of a test's parameter sets the first n run always, the others are slow."""
    seen: Counter[str] = Counter()
    for item in items:
        if (quick := item.get_closest_marker("quick")) is not None:
            function = item.nodeid.partition("[")[0]
            seen[function] += 1
            if seen[function] > quick.args[0]:
                item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where TWINSIM_DATA is set, a test that needs data and is skipped has failed."""
    report = yield
    needs_data = item.get_closest_marker("needs_data") is not None
    if report.skipped and needs_data and os.environ.get("TWINSIM_DATA") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped although TWINSIM_DATA is set: {report.longrepr}"
    return report
