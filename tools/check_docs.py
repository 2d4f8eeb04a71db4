"""Checks that the documentation is true: relative links resolve, and the commands that it mentions exist."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from twinsim import catalogue  # noqa: E402
from twinsim.cli import COMMANDS  # noqa: E402

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
COMMAND = re.compile(r"^(?:\$ )?(?:\S*/)?(make|twinsim)((?:\s+\S+)*)")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """The anchors that the headings of a Markdown file make."""
    titles = re.findall(r"^#+\s+(.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def bad_links(path: Path, text: str) -> list[str]:
    """Relative links without a file, and anchors without a heading."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    problems = []
    for target in LINK.findall(re.sub(r"`[^`\n]*`", "", prose)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = path if not file else path.parent / file
        if not found.exists():
            problems.append(f"link {target}: no such file")
        elif anchor and found.suffix == ".md" and anchor not in anchors(found):
            problems.append(f"link {target}: no such heading")
    return problems


def commands(text: str) -> list[list[str]]:
    """Words of every `make ...` and `twinsim ...` in code spans and code blocks."""
    fences = re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line.strip() for fence in fences for line in fence.splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    found = (COMMAND.match(line) for line in [*lines, *spans])
    return [[match[1], *match[2].split("#")[0].split()] for match in found if match]


def bad_commands(text: str, targets: set[str], experiments: set[str], benchmarks: set[str]) -> list[str]:
    """Make targets, subcommands, experiments and benchmarks that do not exist."""
    problems = []
    for words in commands(text):
        program, rest = words[0], [word for word in words[1:] if not word.startswith("-")]
        if not rest:
            continue
        if program == "make":
            problems += [f"make {word}: no such target" for word in rest if re.fullmatch(r"[a-z-]+", word) and word not in targets]
        elif rest[0] not in COMMANDS:
            problems.append(f"twinsim {rest[0]}: no such command")
        elif len(rest) > 1 and re.fullmatch(r"[a-z0-9_/]+", rest[1]):
            known = {"run": experiments, "bench": benchmarks | {"compare", "history"}}.get(rest[0], {rest[1]})
            if rest[1] not in known:
                problems.append(f"twinsim {rest[0]} {rest[1]}: no such script")
    return problems


def main() -> int:
    """Print every problem with its file; the exit code is 1 where there is one."""
    files = [path for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md") if (path := ROOT / name).is_file()]
    targets = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    experiments, benchmarks = set(catalogue.experiments()), set(catalogue.benchmarks())
    problems = 0
    for path in [*files, *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for problem in bad_links(path, text) + bad_commands(text, targets, experiments, benchmarks):
            print(f"{path.relative_to(ROOT)}: {problem}", file=sys.stderr)
            problems += 1
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
