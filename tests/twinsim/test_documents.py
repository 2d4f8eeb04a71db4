"""The programs printed in the documents run as they stand there."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "theory"
LONG = {  # more than five seconds each
    *("arterial_networks", "bidomain", "brain_networks", "elliptic"),
    *("inference", "lattice_boltzmann", "neurons", "oxygen_exchange", "stiff_kinetics", "time_stepping"),
}
PROGRAMS = [
    pytest.param(program, id=f"{page.stem}-{number}", marks=[pytest.mark.slow] * (page.stem in LONG))
    for page in sorted(DOCS.glob("*.md"))
    for number, program in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE))
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_printed_program_runs(program, capsys):
    exec(compile(program, "document", "exec"), {"__name__": "document"})
    shown = capsys.readouterr().out
    assert shown.strip() and "nan" not in shown
