"""Every experiment refuses numbers that nothing can be computed with, in one line that names the flag, before any work or data."""

import dataclasses
import math

import pytest

from twinsim import catalogue
from twinsim.benchmark_command import run_benchmarks
from twinsim.benchmark_options import BenchOptions
from twinsim.errors import InputError
from twinsim.experiment import run_experiment
from twinsim.option_checks import check_number, check_options
from twinsim.run_options import RunOptions
from twinsim.workspace import Workspace

EXPERIMENTS = catalogue.experiments()
NOT_FINITE = (math.nan, math.inf, -math.inf)


class Untouched(Workspace):
    """Fails where work would begin."""

    def stage(self, name, compute):
        raise AssertionError(f"the stage {name} began")

    def progress(self, *args, **kwargs):
        raise AssertionError("work began")

    def message(self, text):
        raise AssertionError(f"work began: {text}")


@pytest.fixture(autouse=True)
def without_data(monkeypatch, tmp_path):
    """Whatever is read before the options are judged is not there."""
    monkeypatch.setenv("TWINSIM_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def numbers(config, kind):
    """Names of the options that are a number of this kind, or several."""
    for one in dataclasses.fields(config):
        value = getattr(config, one.name)
        if type(value[0] if isinstance(value, tuple) and value else value) is kind:
            yield one.name


def replaced(config, name, number):
    several = isinstance(getattr(config, name), tuple)
    return dataclasses.replace(config, **{name: (number,) if several else number})


def refusal(run, config, name):
    """The one line; an option that passed would begin to work, which fails otherwise."""
    with pytest.raises(InputError) as caught:
        run(config)
    line = str(caught.value)
    assert "\n" not in line and name.replace("_", "-") in line, line
    return line


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_number_that_is_none_and_no_seed_below_zero(name):
    module = catalogue.load(EXPERIMENTS[name])
    config = module.Config()

    def run(changed):
        module.run(changed, Untouched(progress=False))

    for option in numbers(config, float):
        for number in NOT_FINITE:
            refusal(run, replaced(config, option, number), option)
    if hasattr(config, "seed"):
        for seed in (-1, 2**32):
            assert "--seed" in refusal(run, dataclasses.replace(config, seed=seed), "seed")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_counts_and_sizes_out_of_range_say_the_side(name):
    """Whole numbers below zero are no counts; 10^15 of anything is more than a machine holds, a day or a millimetre too many."""
    module = catalogue.load(EXPERIMENTS[name])
    config = module.Config()

    def run(changed):
        module.run(changed, Untouched(progress=False))

    for option in numbers(config, int):
        if option != "seed":
            assert "at least" in refusal(run, replaced(config, option, -1), option)
            assert "at most" in refusal(run, replaced(config, option, 10**15), option)
    for option in numbers(config, float):
        refusal(run, replaced(config, option, 1e15), option)


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.quick(6)
def test_the_front_door_refuses_before_it_makes_a_folder(name, tmp_path, monkeypatch):
    module = catalogue.load(EXPERIMENTS[name])
    monkeypatch.setattr(module, "run", lambda config, workspace: pytest.fail("the experiment began"))
    config = module.Config()
    option = next(iter(numbers(config, float)), None)
    changed = dataclasses.replace(config, seed=-1) if hasattr(config, "seed") else replaced(config, option, math.nan)
    refusal(
        lambda c: run_experiment(name, c, RunOptions(out=tmp_path / "run"), progress=False),
        changed,
        "seed" if hasattr(config, "seed") else option,
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", catalogue.benchmarks())
def test_benchmarks_refuse_what_is_not_finite(name):
    config = catalogue.load(catalogue.benchmarks()[name]).Config()
    for option in numbers(config, float):
        for number in NOT_FINITE:
            changed = replaced(config, option, number)
            refusal(lambda c: run_benchmarks({name: c}, BenchOptions(), lambda _: pytest.fail("the benchmark began")), changed, option)


@pytest.mark.parametrize(
    ("experiment", "options", "words"),
    [
        ("oncology/psa_forecast", {"lasting_share": 1.5}, "--lasting-share 1.5; expected 0 to 1; do: choose at most 1"),
        ("oncology/psa_forecast", {"lasting_days": 0.0}, "--lasting-days 0"),
        ("oncology/psa_forecast", {"cohort": True, "patients": 1}, "choose at least 2"),
        ("oncology/psa_forecast", {"cohort": True, "horizon_days": 800.0}, "shorter than the training window"),
        ("oncology/psa_forecast", {"relapse_origins": 0}, "choose at least 1"),
        ("oncology/tumour_volume", {"others": 0.0}, "--others 0"),
        ("pharmacology/theophylline", {"readings": (2, 99)}, "--readings 99; expected 1 to 10; do: choose at most 10"),
        ("pharmacology/theophylline", {"readings": ()}, "give at least one"),
        ("pharmacology/warfarin", {"warmup": -1}, "--warmup -1"),
        ("inference/honesty", {"problems": ()}, "growth, invasion or both"),
        ("inference/honesty", {"estimators": ("laplace_posterior",)}, "did you mean 'laplace'"),
        ("metabolism/glucose_stream", {"learn_hours": 0.5}, "--learn-hours 0.5; expected at least 2; do: choose at least 2"),
    ],
)
def test_a_refusal_names_cause_and_remedy(experiment, options, words):
    module = catalogue.load(EXPERIMENTS[experiment])
    with pytest.raises(InputError) as caught:
        module.run(dataclasses.replace(module.Config(), **options), Untouched(progress=False))
    assert words in str(caught.value)


def test_what_is_no_number_and_what_is_in_range_passes():
    @dataclasses.dataclass(frozen=True)
    class Options:
        name: str = "x"
        flag: bool = True
        nothing: float | None = None
        several: tuple[float, ...] = (0.0, 1.0)
        seed: int = 2**32 - 1

    check_options(Options(), {"several": (0.0, 1.0), "flag": (5, 6)})
    with pytest.raises(InputError, match=r"--several -0\.5; expected 0 to 1; do: choose at least 0"):
        check_options(Options(several=(1.0, -0.5)), {"several": (0.0, 1.0)})
    with pytest.raises(InputError, match=r"x 3; expected at most 2; do: choose at most 2"):
        check_number("x", 3, high=2)
    with pytest.raises(InputError, match=r"x nan; expected a finite number; do: choose a finite number"):
        check_number("x", math.nan)
