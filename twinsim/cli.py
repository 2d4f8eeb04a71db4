"""The command line. Help and `twinsim list` answer at once: nothing here imports JAX before a run."""

import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass, field, make_dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from twinsim import catalogue
from twinsim.errors import InputError, near_misses

_DESCRIPTION = "Differentiable voxel twins of patients. Research use only; not a medical device. `twinsim --version` prints the version."

_BENCH = """Run benchmarks, all where none is named.

`twinsim bench list` names them. `twinsim bench NAME --help` shows the options of one benchmark.
`twinsim bench compare A B` compares two measurements, `twinsim bench history` lists them."""


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
    """Run benchmarks, sweep their options, compare what was measured; `twinsim bench --help` says how."""

    names: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="[NAME ...]")]] = ()
    """Benchmarks, as `twinsim list` names them."""


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
    if command == "bench":
        return _bench(rest)
    parsed = _parse(arguments or ["--help"])
    match parsed:
        case ListCommand():
            _list()
        case DoctorCommand():
            from twinsim.doctor import examine

            raise SystemExit(0 if examine(parsed.precision) else 1)
        case DataCommand():
            _data(parsed)


def _parse(arguments: list[str]) -> Any:
    with _one_line("twinsim"):
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
    from twinsim.run_options import RunOptions

    _help_at_once(f"twinsim run {script.name}", script, RunOptions(), flags)
    module = catalogue.load(script)
    from twinsim.experiment import run_experiment
    from twinsim.run_folder import stored_config

    default = module.Config()
    resume = _value_of("--resume", flags)
    if resume is not None:
        # The options of the interrupted run are the defaults; a flag that contradicts them is refused.
        default = stored_config(script.name, module.Config, Path(resume))
    config, options = _parse_with(f"twinsim run {script.name}", script.summary, default, RunOptions(), flags)
    _set_up(config)
    run_experiment(script.name, config, options)


def _bench(arguments: list[str]) -> None:
    from twinsim.benchmark_options import BenchOptions, CompareOptions, HistoryOptions

    if arguments == ["list"]:
        scripts = catalogue.benchmarks()
        width = max([len(name) for name in scripts], default=0)
        for script in scripts.values():
            print(f"{script.name:<{width}}  {script.summary}")
        return
    if arguments[:1] == ["compare"]:
        with _one_line("twinsim bench compare"):
            options = tyro.cli(CompareOptions, prog="twinsim bench compare", args=arguments[1:])
        from twinsim.benchmark_command import compare_measurements

        if not compare_measurements(options) and options.fail_on_slower:
            raise SystemExit(1)
        return
    if arguments[:1] == ["history"]:
        with _one_line("twinsim bench history"):
            options = tyro.cli(HistoryOptions, prog="twinsim bench history", args=arguments[1:])
        from twinsim.benchmark_command import show_history

        return show_history(options)
    flags = next((at for at, text in enumerate(arguments) if text.startswith("-")), len(arguments))
    named = list(dict.fromkeys(arguments[:flags]))
    if len(named) == 1:
        script = catalogue.find(named[0], catalogue.benchmarks(), "benchmark")
        _help_at_once(f"twinsim bench {script.name}", script, BenchOptions(), arguments[flags:])
        default = catalogue.load(script).Config()
        config, options = _parse_with(f"twinsim bench {script.name}", script.summary, default, BenchOptions(), arguments[flags:])
        configs = {script.name: config}
    else:
        names = ""
        with suppress(InputError):
            names = f"\n\nBenchmarks: {', '.join(catalogue.benchmarks())}."
        rest, options = _parse_with("twinsim bench", _BENCH + names, BenchCommand(), BenchOptions(), arguments[flags:])
        scripts = catalogue.benchmarks()
        chosen = [catalogue.find(name, scripts, "benchmark") for name in [*named, *rest.names]]
        configs = {script.name: catalogue.load(script).Config() for script in chosen or scripts.values()}
    from twinsim.benchmark_command import run_benchmarks

    if not run_benchmarks(configs, options, _set_up):
        raise SystemExit(1)


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


def _help_at_once(prog: str, script: catalogue.Script, options: Any, flags: list[str]) -> None:
    """Prints help and exits, if it is asked for and needs no more than the script's own options."""
    if {"-h", "--help"} & set(flags):
        with catalogue.options_of(script) as config:
            if config is not None:
                _parse_with(prog, script.summary, config(), options, flags)


def _parse_with(prog: str, description: str, config: Any, options: Any, flags: list[str]) -> tuple[Any, Any]:
    """Flags for two dataclasses at once, without prefixes; both instances give the defaults."""
    both = make_dataclass(
        "Options",
        [("config", type(config), field(default=config)), ("results", type(options), field(default=options))],
        frozen=True,
    )
    with _one_line(prog):
        parsed = tyro.cli(both, prog=prog, description=description, args=flags, config=(tyro.conf.OmitArgPrefixes,))
    return parsed.config, parsed.results


@contextmanager
def _one_line(prog: str) -> Iterator[None]:
    """Turns tyro's box about a wrong argument into one line."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            yield
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        lines = [line.strip("│ ") for line in said.getvalue().splitlines() if line[:1] != "╰"]
        # Sections between rules; the first is the title, which a box has in its frame.
        sections: list[list[str]] = [[]]
        for line in lines:
            if line[:1] == "╭" or (line and not line.strip("─-")):
                sections.append([])
            else:
                sections[-1].append(line)
        got = " ".join(sections[1]).rstrip(".") if len(sections) > 1 else "wrong arguments"
        got = got[:1].lower() + got[1:]
        options = [line.split()[0] for section in sections[2:] for line in section if line.startswith("--")]
        near = f"did you mean {options[0]}? " if options and options[0] not in got else ""
        raise InputError(got=got, expected="arguments that the help lists", do=f"{near}see `{prog} --help`") from None


def _value_of(flag: str, flags: list[str]) -> str | None:
    for at, text in enumerate(flags):
        if text == flag and at + 1 < len(flags):
            return flags[at + 1]
        if text.startswith(f"{flag}="):
            return text.split("=", 1)[1]
    return None


if __name__ == "__main__":
    main()
