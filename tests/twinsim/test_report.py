"""The report: one file, escaped, pictures first."""

import base64
import errno
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from twinsim.errors import InputError
from twinsim.report import Report, format_number


class Page(HTMLParser):
    """Collects tags with attributes, and checks that they close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def picture() -> Figure:
    figure = Figure(figsize=(2, 1), dpi=50)
    figure.subplots().plot([0, 1])
    return figure


def sample() -> Report:
    report = Report("Twin <1>", "A & B")
    report.text("First a paragraph.")
    report.table(["name", "value", "known"], [["a", 0.12345, True], ["b", None, False]], "Numbers")
    report.figure(picture(), "A line that rises.", "rise", alt="One rising line")
    report.headline([("Volume", 12345.6, "mm³"), ("Best", "60 Gy in 30", "", "of three")])
    report.warn("Not identifiable: <script>alert(1)</script>")
    report.warn("Not identifiable: <script>alert(1)</script>")
    report.heading("More")
    report.figure(picture(), "Again.", "again")
    return report


def test_page_is_self_contained_and_well_formed(tmp_path: Path) -> None:
    text = sample().write(tmp_path / "report.html", {"seed": 3, "versions": {"jax": "1"}}).read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open
    names = [tag for tag, _ in page.tags]
    assert not {"script", "link", "iframe", "object"} & set(names)
    assert not re.search(r"https?://|url\(|@import", text)
    assert all(attributes["src"].startswith("data:image/png;base64,") for tag, attributes in page.tags if tag == "img")
    assert dict(page.tags)["html"]["lang"] == "en"
    assert "Research use only. Not a medical device." in text
    assert names.count("details") == 1 and "open" not in dict(page.tags)["details"]
    assert ">seed</th><td>3</td>" in text and "jax 1" in text


def test_text_is_escaped_and_warnings_are_shown_once(tmp_path: Path) -> None:
    text = sample().write(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 1
    assert "Twin &lt;1&gt;" in text and "A &amp; B" in text


def test_order_is_picture_tiles_warnings_rest(tmp_path: Path) -> None:
    text = sample().write(tmp_path / "report.html").read_text(encoding="utf-8")
    parts = [
        "<h1>",
        "A line that rises.",
        'class="tiles"',
        'class="warnings"',
        "First a paragraph.",
        "<caption>Numbers",
    ]
    places = [text.index(part) for part in [*parts, "<h2>More", "Again.", "<footer>"]]
    assert places == sorted(places)
    assert text.count('class="lead"') == 1


def test_pictures_are_beside_the_page_and_described(tmp_path: Path) -> None:
    text = sample().write(tmp_path / "report.html").read_text(encoding="utf-8")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again.png", "report.html", "rise.png"]
    images = [attributes for tag, attributes in Page(text).tags if tag == "img"]
    assert [image["alt"] for image in images] == ["One rising line", "Again."]
    for image, name in zip(images, ("rise", "again"), strict=True):
        stored = (tmp_path / f"{name}.png").read_bytes()
        assert base64.b64decode(image["src"].partition(",")[2]) == stored
        assert stored.startswith(b"\x89PNG")
        assert (image["width"], image["height"]) == ("100", "50")


def test_table_alignment_and_cells(tmp_path: Path) -> None:
    text = sample().write(tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<th scope="col" class="number">value</th>' in text
    assert '<th scope="col">name</th>' in text
    assert '<td class="number">0.1235</td>' in text and '<td class="number">–</td>' in text
    assert '<th scope="row" class="short">a</th>' in text
    assert ">yes<" in text and ">no<" in text


def test_a_picture_is_drawn_when_it_is_added(tmp_path: Path) -> None:
    figure = picture()
    report = Report("a")
    report.figure(figure, "c", "n")
    report.write(tmp_path / "one.html")
    before = (tmp_path / "n.png").read_bytes()
    figure.axes[0].plot([1, 0], color="red")
    report.write(tmp_path / "two.html")
    assert (tmp_path / "n.png").read_bytes() == before


def test_empty_report_writes(tmp_path: Path) -> None:
    text = Report("Nothing yet").write(tmp_path / "report.html").read_text(encoding="utf-8")
    assert not Page(text).open
    assert '<dl class="tiles">' not in text and "<details>" not in text and '<section class="warnings"' not in text


def test_refusals() -> None:
    report = Report("a")
    report.figure(picture(), "c", "taken")
    for name in ("taken", "../up", "", "a/b", ".hidden"):
        with pytest.raises(InputError, match="figure name"):
            report.figure(picture(), "c", name)
    with pytest.raises(InputError, match="3 cells"):
        report.table(["a", "b"], [[1, 2, 3]])
    with pytest.raises(InputError, match="headline"):
        report.headline([("a", 1)])


def test_full_disk_leaves_the_earlier_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("earlier")

    def full_disk(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(InputError, match="No space left"):
        sample().write(path)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"] and path.read_text() == "earlier"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3, "3"),
        (0.1, "0.1"),
        (0.123456, "0.1235"),
        (12.0, "12"),
        (123.456, "123.5"),
        (999.99, "1\u2009000"),
        (-2.5, "−2.5"),
        (12345.6, "12\u2009346"),
        (202143, "202\u2009143"),
        (1.5e-4, "1.5 × 10⁻⁴"),
        (-1e-12, "−1 × 10⁻¹²"),
        (2.5e9, "2.5 × 10⁹"),
        (float("nan"), "–"),
        (float("-inf"), "−∞"),
        (None, "–"),
        (True, "yes"),
        (np.bool_(False), "no"),
        (np.float32(0.5), "0.5"),
        ("as is", "as is"),
    ],
)
def test_format_number(value: object, text: str) -> None:
    assert format_number(value) == text
