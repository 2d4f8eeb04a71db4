"""Data sets by name: where they are looked for, and what is said when they are not there."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from twinsim import data
from twinsim.errors import InputError


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No TWINSIM_DATA and an empty cache, whose folder is returned."""
    monkeypatch.delenv("TWINSIM_DATA", raising=False)
    monkeypatch.setenv("TWINSIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fill(root: Path, name: str) -> Path:
    folder = root / data.DATASETS[name].path
    folder.mkdir(parents=True)
    for file in data.DATASETS[name].files:
        (folder / file.name).write_bytes(b"x")
    return folder


def test_every_entry_is_complete() -> None:
    for name, dataset in data.DATASETS.items():
        assert name == dataset.name
        assert dataset.licence
        assert any(origin in dataset.source for origin in ("commit", "6da9602", "R packages", "PyPI"))
        assert not Path(dataset.path).is_absolute()
        for file in dataset.files:
            assert file.url.startswith("https://")
            assert len(file.sha256) == 64


def test_shared_folder_wins_over_the_cache(nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = fill(nowhere / "data", "brain_tumour_mr")
    assert data.locate("brain_tumour_mr") == cached
    shared = fill(tmp_path / "shared", "brain_tumour_mr")
    monkeypatch.setenv("TWINSIM_DATA", str(tmp_path / "shared"))
    assert data.locate("brain_tumour_mr") == shared


def test_incomplete_copy_is_not_found(nowhere: Path) -> None:
    folder = fill(nowhere / "data", "brain_tumour_mr")
    (folder / "brain1_label.nrrd").unlink()
    with pytest.raises(InputError, match="no data set brain_tumour_mr"):
        data.locate("brain_tumour_mr")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("brain_tumour_mr", "twinsim data fetch brain_tumour_mr"),
        ("human_volume", r"copy the files from github\.com/ablaom"),
        ("brain_tumor_mr", "did you mean 'brain_tumour_mr'"),
    ],
)
def test_missing_set_says_how_to_get_it(nowhere: Path, name: str, remedy: str) -> None:
    with pytest.raises(InputError, match=remedy):
        data.locate(name)


def test_shared_folder_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINSIM_DATA", "no-such-folder")
    with pytest.raises(InputError, match="TWINSIM_DATA=no-such-folder"):
        data.locate("openbf")


def serving(content: bytes) -> Callable[[str, str, object], None]:
    """A downloader that answers every address with the same content."""

    def download(url: str, output_file: str, pooch: object) -> None:
        Path(output_file).write_bytes(content)

    return download


def with_content(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    dataset = data.DATASETS["brain_tumour_mr"]
    digest = hashlib.sha256(content).hexdigest()
    files = tuple(replace(file, sha256=digest) for file in dataset.files)
    monkeypatch.setitem(data.DATASETS, dataset.name, replace(dataset, files=files))


def test_fetch_fills_the_cache_once(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_content(monkeypatch, b"scan")
    folder = data.fetch("brain_tumour_mr", serving(b"scan"))
    assert folder == nowhere / "data" / "imaging" / "brain_tumour_mr"
    assert sorted(path.name for path in folder.iterdir()) == ["brain1_image.nrrd", "brain1_label.nrrd"]
    assert data.locate("brain_tumour_mr") == folder

    def refuse(url: str, output_file: str, pooch: object) -> None:
        pytest.fail("downloaded again")

    assert data.fetch("brain_tumour_mr", refuse) == folder


def test_other_content_is_refused_and_not_kept(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_content(monkeypatch, b"scan")
    with pytest.raises(InputError, match="content other than"):
        data.fetch("brain_tumour_mr", serving(b"something else"))
    assert not [path for path in nowhere.rglob("*") if path.is_file()]


def test_no_network_is_one_line(nowhere: Path) -> None:
    import requests

    def unreachable(url: str, output_file: str, pooch: object) -> None:
        raise requests.ConnectionError("no route")

    with pytest.raises(InputError, match="connect and run `twinsim data fetch brain_tumour_mr`"):
        data.fetch("brain_tumour_mr", unreachable)
    assert not (nowhere / "data").exists(), "an empty folder would pass for data"


def test_fetch_by_hand_says_where_to_put_the_files(nowhere: Path) -> None:
    with pytest.raises(InputError, match="has to be fetched by hand") as caught:
        data.fetch("psa_iadt")
    assert "brain_tumour_mr" in str(caught.value)


def test_table_names_every_set(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data.show()
    text = capsys.readouterr().out
    assert all(name in text for name in data.DATASETS)
    assert "not here" in text


@pytest.mark.needs_data
def test_real_copy_has_the_content_that_fetch_expects(dataset: Callable[[str], Path]) -> None:
    folder = dataset("brain_tumour_mr")
    for file in data.DATASETS["brain_tumour_mr"].files:
        assert hashlib.sha256((folder / file.name).read_bytes()).hexdigest() == file.sha256
