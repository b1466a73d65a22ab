"""`python -m benchmarks.plot`: draws `docs/images/growth.svg` of the figures in `docs/growth.json`.

Two panels, rows a second and megabytes over the rows of a table, both axes by powers of ten. By hand: nothing that is
installed writes an SVG, and this is all there is to draw.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
FIGURES, PLOT = DOCS / "growth.json", DOCS / "images" / "growth.svg"
_COLOURS = ("#1b7837", "#762a83", "#b35806")
_WIDTH, _HEIGHT, _MARGIN, _GAP = 330, 240, 80, 130


def drawn(figures: Mapping[str, object]) -> str:
    """The plot as the text of an SVG file."""
    rows = [int(each) for each in _list(figures["rows"])]
    panels = (("rows a second", figures["rows_per_second"]), ("peak, MB", figures["peak_mb"]))
    whole = (2 * (_WIDTH + _GAP) + _MARGIN, _HEIGHT + 2 * _MARGIN)
    said = "rows a second and memory by the size of the table"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole[0]} {whole[1]}" role="img" aria-label="{said}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="{whole[0]}" height="{whole[1]}" fill="white"/>',
    ]
    for place, (title, lines) in enumerate(panels):
        assert isinstance(lines, dict)
        parts += _panel(_MARGIN + place * (_WIDTH + _GAP), title, rows, lines)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(left: int, title: str, rows: Sequence[int], lines: Mapping[str, Sequence[float]]) -> list[str]:
    values = [value for line in lines.values() for value in line]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = math.log10(rows[0]), math.log10(rows[-1])

    def x(value: float) -> float:
        return round(left + (math.log10(value) - first) / (last - first) * _WIDTH, 1)

    def y(value: float) -> float:
        return round(_MARGIN + _HEIGHT - (math.log10(value) - low) / (high - low) * _HEIGHT, 1)

    bottom = _MARGIN + _HEIGHT
    parts = [f'<text x="{left}" y="{_MARGIN - 28}" font-weight="bold">{title}</text>']
    for power in range(low, high + 1):
        at = y(10**power)
        parts.append(f'<line x1="{left}" y1="{at}" x2="{left + _WIDTH}" y2="{at}" stroke="#dddddd"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4}" text-anchor="end">{10**power:,}</text>')
    parts += [f'<text x="{x(row)}" y="{bottom + 18}" text-anchor="middle">{row:,} rows</text>' for row in rows]
    for place, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[place]
        points = " ".join(f"{x(row)},{y(value)}" for row, value in zip(rows, line, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x(row)}" cy="{y(value)}" r="3" fill="{colour}"><title>{name}: {value:,}</title></circle>'
            for row, value in zip(rows, line, strict=True)
        ]
        parts.append(f'<text x="{left + place * 112}" y="{_MARGIN - 10}" fill="{colour}">{name}</text>')
    return parts


def _list(values: object) -> Sequence[float]:
    assert isinstance(values, list)
    return values


def main() -> None:
    """Write the plot."""
    PLOT.write_text(drawn(json.loads(FIGURES.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
