"""Peers run in an environment of their own, and nothing that they do ends a benchmark of ours."""

import sys
from pathlib import Path

import pytest

from benchmarks import _peers
from benchmarks._peers import beside, peer_numbers
from twinsim.benchmark import peer_versions

HELPER = (Path(_peers.__file__).parent / "peers" / "_peer.py").read_text()


@pytest.fixture
def peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of peers' scripts, run by this interpreter as if it were the peers' own."""
    scripts, environment = tmp_path / "peers", tmp_path / "environment"
    scripts.mkdir()
    (environment / "bin").mkdir(parents=True)
    (scripts / "_peer.py").write_text(HELPER)
    python = environment / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(_peers, "SCRIPTS", scripts)
    monkeypatch.setattr(_peers, "_said", set())
    monkeypatch.setenv("TWINSIM_PEERS", str(environment))
    return scripts


def test_a_peer_gets_the_options_and_answers_on_its_last_line(peers: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    (peers / "good.py").write_text(
        "import os\nfrom _peer import answer, warm\n"
        "def run(options):\n"
        "    print('chatter')\n"
        "    least, middle = warm(lambda: sum(range(10)), options['repeats'])\n"
        "    return {'forward_seconds': 2.0 * options['scale'], 'ordered': least <= middle, 'path': os.environ.get('PYTHONPATH')}\n"
        "answer(run)\n"
    )
    assert peer_numbers("good", {"scale": 3.0, "repeats": 2}) == {"forward_seconds": 6.0, "ordered": True, "path": None}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("script", "part"),
    [
        ("import no_such_package_of_a_peer", "not run: No module named 'no_such_package_of_a_peer'"),
        ("raise ValueError('it broke')", "failed: ValueError: it broke"),
        ("print('no numbers')", "its last line is not a JSON object"),
        ("print('[1, 2]')", "its last line is not a JSON object"),
        ("", "its last line is not a JSON object"),
        ("import os; os.kill(os.getpid(), 9)", "failed: code -9"),
        ("import threading; threading.Event().wait()", "ended after 0.5 s"),
        (None, "there is no benchmarks/peers/script.py"),
    ],
)
def test_what_goes_wrong_with_a_peer_is_one_line(script: str | None, part: str, peers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if script is not None:
        (peers / "script.py").write_text(script)
    limit = 0.5 if "wait" in part or "ended" in part else 60.0
    assert peer_numbers("script", {}, limit) is None
    assert peer_numbers("script", {}, limit) is None
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("peer: ") and part in said[0]


def test_without_an_environment_the_remedy_is_said_once(peers: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("TWINSIM_PEERS", "/nowhere")
    assert peer_numbers("a", {}) is None and peer_numbers("b", {}) is None
    assert capsys.readouterr().err.splitlines() == ["peer: not run: no environment .venv-peers; make it with: make bench-peers"]
    assert peer_versions() == {}


def test_a_number_that_is_not_finite_is_left_out(peers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (peers / "nan.py").write_text('print(\'{"forward_seconds": 1.0, "error": NaN}\')')
    assert peer_numbers("nan", {}) == {"forward_seconds": 1.0}
    assert "no finite error" in capsys.readouterr().err


def test_ratios_are_above_one_where_we_are_faster() -> None:
    ours = {"forward_seconds": 1.0, "gradient_seconds": 4.0, "error_relative": 1e-3}
    assert beside(ours, "diffrax", None) == ours
    found = beside(ours, "diffrax", {"forward_seconds": 20.0, "gradient_seconds": None, "error_relative": 1e-4})
    assert found["forward_speed_ratio_to_diffrax"] == 20.0 and "gradient_speed_ratio_to_diffrax" not in found
    assert found["diffrax_forward_seconds"] == 20.0 and found["diffrax_error_relative"] == 1e-4


def test_versions_of_peers_are_read_from_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = tmp_path / "lib" / "python3.13" / "site-packages"
    for name, version in (("diffrax", "0.7.2"), ("pip", "24.0"), ("contourpy", "1.0")):
        folder = packages / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.setenv("TWINSIM_PEERS", str(tmp_path))
    assert peer_versions() == {"diffrax": "0.7.2"}
