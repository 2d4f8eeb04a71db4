"""The command line. Help and `twinsim list` answer at once: nothing here imports JAX before a run."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, make_dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from twinsim import catalogue
from twinsim.errors import InputError, near_misses

_DESCRIPTION = "Differentiable voxel twins of patients. Research use only; not a medical device."


@dataclass(frozen=True)
class ListCommand:
    """Experiments and benchmarks, one line each."""


@dataclass(frozen=True)
class RunCommand:
    """Run an experiment; `twinsim run FIELD/NAME --help` shows its options."""

    name: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FIELD/NAME")]]
    """Experiment, as `twinsim list` names it."""


@dataclass(frozen=True)
class BenchCommand:
    """Run benchmarks, all where none is named; `twinsim bench NAME --help` shows the options of one."""

    names: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="[NAME ...]")]] = ()
    """Benchmarks, as `twinsim list` names them."""

    json: Annotated[str | None, tyro.conf.arg(metavar="FILE|-")] = None
    """Also write the numbers as JSON to this file; `-` prints them, and nothing else, on standard output."""


@dataclass(frozen=True)
class DoctorCommand:
    """Versions, devices, precision, cache, data, and a numerical self-test of a few seconds."""

    precision: Literal["float32", "float64"] = "float64"
    """Precision of the self-test."""


@dataclass(frozen=True)
class DataCommand:
    """Public data sets: what is known, where it was found, licence, how to get it."""

    action: tyro.conf.Positional[Literal["list", "fetch"]] = "list"
    """`fetch NAME` downloads a data set into the user's cache and checks its checksum."""

    name: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="[NAME]")]] = None
    """The data set to fetch."""


COMMANDS: dict[str, type] = {
    "list": ListCommand,
    "run": RunCommand,
    "bench": BenchCommand,
    "doctor": DoctorCommand,
    "data": DataCommand,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `twinsim`; exit code 0, 2 (bad input, one line on standard error) or 130 (Ctrl-C)."""
    try:
        _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except InputError as error:
        print(f"twinsim: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt as error:
        print(f"\ntwinsim: {error or 'interrupted'}", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:  # the reader of a pipe has seen enough; the last flush must pass too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None


def run_script(spec: ModuleSpec | None) -> None:
    """What `python -m experiments.field.name` does: the same as `twinsim run field/name`.

    Args:
        spec: The `__spec__` of the experiment that is run as a script.
    """
    if spec is None:
        raise SystemExit("twinsim: run it as a module: python -m experiments.<field>.<name>")
    main(["run", "/".join(spec.name.split(".")[1:]), *sys.argv[1:]])


def _dispatch(arguments: list[str]) -> None:
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if command == "--version":
        from twinsim import __version__

        print(__version__)
        return
    if not command.startswith("-") and command not in COMMANDS:
        raise InputError(
            got=f"command {command!r}",
            expected=", ".join(COMMANDS),
            do=f"correct the command; {near_misses(command, COMMANDS)}",
        )
    named = bool(rest) and not rest[0].startswith("-")
    if command == "run" and named:
        return _run(rest[0], rest[1:])
    if command == "bench" and named:
        return _bench(rest)
    parsed = _parse(arguments or ["--help"])
    match parsed:
        case ListCommand():
            _list()
        case BenchCommand():
            _bench_all(sorted(catalogue.benchmarks()), parsed.json)
        case DoctorCommand():
            from twinsim.doctor import examine

            raise SystemExit(0 if examine(parsed.precision) else 1)
        case DataCommand():
            _data(parsed)


def _parse(arguments: list[str]) -> Any:
    return tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="twinsim", description=_DESCRIPTION, args=arguments)


def _list() -> None:
    kinds = {"experiments (twinsim run)": catalogue.experiments()}
    with suppress(InputError):  # experiments of one's own need no benchmarks
        kinds["benchmarks (twinsim bench)"] = catalogue.benchmarks()
    width = max([len(name) for scripts in kinds.values() for name in scripts], default=0)
    for title, scripts in kinds.items():
        print(f"{title}:")
        for script in scripts.values():
            print(f"  {script.name:<{width}}  {script.summary}")
        if not scripts:
            print("  (none)")


def _run(name: str, flags: list[str]) -> None:
    script = catalogue.find(name, catalogue.experiments(), "experiment")
    module = catalogue.load(script)
    from twinsim.experiment import RunOptions, run_experiment
    from twinsim.run_folder import stored_config

    default = module.Config()
    resume = _value_of("--resume", flags)
    if resume is not None:
        # The options of the interrupted run are the defaults; a flag that contradicts them is refused.
        default = stored_config(script.name, module.Config, Path(resume))
    config, options = _parse_with(f"twinsim run {script.name}", script.summary, default, RunOptions(), flags)
    _set_up(config)
    run_experiment(script.name, config, options)


@dataclass(frozen=True)
class _BenchOptions:
    json: Annotated[str | None, tyro.conf.arg(metavar="FILE|-")] = None
    """Also write the numbers as JSON to this file; `-` prints them, and nothing else, on standard output."""


def _bench(arguments: list[str]) -> None:
    scripts = catalogue.benchmarks()
    flags = next((at for at, text in enumerate(arguments) if text.startswith("-")), len(arguments))
    names, rest = arguments[:flags], arguments[flags:]
    chosen = [catalogue.find(name, scripts, "benchmark") for name in names]
    if len(chosen) > 1:
        _, options = _parse_with("twinsim bench NAME NAME", "", _Nothing(), _BenchOptions(), rest)
        return _bench_all([script.name for script in chosen], options.json)
    module = catalogue.load(chosen[0])
    config, options = _parse_with(f"twinsim bench {chosen[0].name}", chosen[0].summary, module.Config(), _BenchOptions(), rest)
    _bench_run({chosen[0].name: config}, options.json)


@dataclass(frozen=True)
class _Nothing:
    pass


def _bench_all(names: list[str], target: str | None) -> None:
    scripts = catalogue.benchmarks()
    _bench_run({name: catalogue.load(scripts[name]).Config() for name in names}, target)


def _bench_run(configs: dict[str, Any], target: str | None) -> None:
    from twinsim.benchmark import run_benchmark
    from twinsim.experiment import emit_json

    results = {}
    for name, config in configs.items():
        _set_up(config)
        results[name] = run_benchmark(name, config)
    emit_json(results, target)


def _data(command: DataCommand) -> None:
    from twinsim import data

    if command.action == "fetch":
        if command.name is None:
            raise InputError(got="fetch without a name", expected="a data set", do="name one that `twinsim data` lists")
        print(data.fetch(command.name))
    else:
        data.show()


def _set_up(config: Any) -> None:
    from twinsim.environment import set_up_jax

    set_up_jax(getattr(config, "precision", "float32"))


def _parse_with(prog: str, description: str, config: Any, options: Any, flags: list[str]) -> tuple[Any, Any]:
    """Flags for two dataclasses at once, without prefixes; both instances give the defaults."""
    both = make_dataclass(
        "Options",
        [("config", type(config), field(default=config)), ("results", type(options), field(default=options))],
        frozen=True,
    )
    parsed = tyro.cli(both, prog=prog, description=description, args=flags, config=(tyro.conf.OmitArgPrefixes,))
    return parsed.config, parsed.results


def _value_of(flag: str, flags: list[str]) -> str | None:
    for at, text in enumerate(flags):
        if text == flag and at + 1 < len(flags):
            return flags[at + 1]
        if text.startswith(f"{flag}="):
            return text.split("=", 1)[1]
    return None


if __name__ == "__main__":
    main()
