"""A report as one HTML file: pictures first, no network, no scripts, printable."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from twinsim.atomic import atomic_path
from twinsim.errors import InputError
from twinsim.provenance import plain

if TYPE_CHECKING:
    import matplotlib.figure

_NUMBER = re.compile(r"[−+<>≤≥~≈]?\s?\d")


@dataclass(frozen=True)
class _Block:
    """One piece of the page; ``kind`` chooses how the template shows ``content``."""

    kind: Literal["figure", "table", "text", "heading"]
    content: dict[str, Any]


class Report:
    """Collects pictures, headline numbers, tables and warnings, and writes one self-contained HTML file.

    The page shows the first figure, the headline numbers and the warnings, then everything else in the order
    in which it was added, and the provenance folded away at the end. All text is escaped.

    Args:
        title: Heading of the page.
        subtitle: One sentence below it.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title, self.subtitle = title, subtitle
        self._tiles: list[dict[str, str]] = []
        self._warnings: list[str] = []
        self._blocks: list[_Block] = []
        self._pictures: dict[str, bytes] = {}

    def headline(self, entries: Sequence[Sequence[Any]]) -> None:
        """Add tiles ``(label, value, unit)`` or, with an interval say, ``(label, value, unit, note)``."""
        for entry in entries:
            if len(entry) not in (3, 4):
                raise InputError(
                    got=f"a headline {tuple(entry)!r}",
                    expected="(label, value, unit) or (label, value, unit, note)",
                    do="give a unit for every headline number, '' for a word",
                )
            label, value, unit, *note = entry
            tile = {
                "label": label,
                "value": format_number(value),
                "unit": unit,
                "note": note[0] if note else "",
            }
            self._tiles.append(tile)

    def warn(self, text: str) -> None:
        """Add a warning to the box near the top; the same text is shown once."""
        if text not in self._warnings:
            self._warnings.append(text)

    def heading(self, text: str) -> None:
        """Start a section."""
        self._blocks.append(_Block("heading", {"text": text}))

    def text(self, paragraph: str) -> None:
        """Add a paragraph of plain text."""
        self._blocks.append(_Block("text", {"text": paragraph}))

    def figure(self, figure: "matplotlib.figure.Figure", caption: str, name: str, *, alt: str = "") -> None:
        """Add a Matplotlib figure, drawn at once, so that it may be changed or dropped afterwards.

        Args:
            figure: The figure.
            caption: What it shows and what to see in it.
            name: File name of the PNG beside the report, without ending.
            alt: Description for those who cannot see the picture; the caption when empty.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) or name in self._pictures:
            raise InputError(
                got=f"the figure name {name!r}",
                expected="a new name of letters, digits, '-', '_' and '.'",
                do="give every figure its own short name",
            )
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", facecolor="white", metadata={"Software": None})
        picture = self._pictures[name] = buffer.getvalue()
        width, height = (int.from_bytes(picture[start : start + 4], "big") for start in (16, 20))  # PNG header
        content = {
            "caption": caption,
            "alt": alt or caption,
            "data": base64.b64encode(picture).decode(),
            "width": width,
            "height": height,
            "slim": width < 1.1 * height,
        }
        self._blocks.append(_Block("figure", content))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> None:
        """Add a table; numbers get four significant digits, None a dash, true and false become yes and no.

        A column whose cells are all numbers, or text that starts with a digit, is set right-aligned.
        """
        for row in rows:
            if len(row) != len(columns):
                raise InputError(
                    got=f"a row of {len(row)} cells in the table {caption!r}",
                    expected=f"{len(columns)} cells, as many as columns",
                    do="give None for a cell that is empty",
                )
        cells = [[format_number(cell) for cell in row] for row in rows]
        numeric = [_is_numeric([row[index] for row in cells]) for index in range(len(columns))]
        content = {"columns": list(columns), "rows": cells, "numeric": numeric, "caption": caption}
        self._blocks.append(_Block("table", content))

    def write(self, path: str | Path, provenance: Mapping[str, Any] | None = None) -> Path:
        """Write the page to ``path`` and every figure as ``<name>.png`` beside it; returns ``path``.

        Raises:
            InputError: The disk is full or the folder cannot be written to.
        """
        import jinja2

        path = Path(path)
        environment = jinja2.Environment(
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        source = Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8")
        lead = next((block for block in self._blocks if block.kind == "figure"), None)
        page = environment.from_string(source).render(
            title=self.title,
            subtitle=self.subtitle,
            tiles=self._tiles,
            warnings=self._warnings,
            lead=lead,
            blocks=[block for block in self._blocks if block is not lead],
            provenance=_flatten(plain(provenance or {})),
            date=str((provenance or {}).get("date", "")),
        )
        for name, picture in self._pictures.items():
            with atomic_path(path.with_name(f"{name}.png")) as temporary:
                temporary.write_bytes(picture)
        with atomic_path(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
        return path


def format_number(value: Any) -> str:
    """A value for reading: four significant digits, a true minus, a dash for none or NaN.

    Whole parts from 1000 on are given in full, with thin spaces between thousands. Numbers
    below 0.001 or from 10 million on are written as ``1.5 × 10⁻⁴``. Text is returned as it is.
    """
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if type(value).__name__ in ("bool", "bool_"):
        return "yes" if value else "no"
    number = float(value)
    if number != number:
        return "–"
    if number in (float("inf"), float("-inf")):
        return "∞" if number > 0 else "−∞"
    if abs(number) < 1000:
        number = float(f"{number:.4g}")
    magnitude = abs(number)
    if magnitude and not 1e-3 <= magnitude < 1e7:
        mantissa, exponent = f"{number:.3e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
        power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{mantissa} × 10{power}".replace("-", "−")
    whole = magnitude >= 1000 or number == int(number)
    text = f"{number:,.0f}" if whole else f"{number:f}".rstrip("0").rstrip(".")
    return text.replace(",", "\u2009").replace("-", "−")


def _is_numeric(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell not in ("", "–")]
    return bool(filled) and all(_NUMBER.match(cell) for cell in filled)


def _flatten(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested provenance as rows ``a.b`` and value."""
    rows: list[tuple[str, str]] = []
    for key, value in content.items():
        if key == "versions" and isinstance(value, Mapping):
            rows.append((f"{prefix}{key}", ", ".join(f"{name} {number}" for name, number in value.items())))
        elif isinstance(value, Mapping):
            rows += _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            rows.append((f"{prefix}{key}", ", ".join(str(item) for item in value)))
        else:
            rows.append((f"{prefix}{key}", "–" if value is None else str(value)))
    return rows
