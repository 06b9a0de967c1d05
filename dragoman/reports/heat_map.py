"""Heat maps as SVG to stand within a page: small enough that a page holds hundreds of them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from markupsafe import Markup, escape

from dragoman.reports.charts import xml_text

CELL = 16  # pixels, where there is room
LETTER = 6.6  # pixels of a letter of a label
LONGEST = 12  # letters of a label
LEVELS = 10  # of colour, so that cells of one level share a path
FAINT = 0.03  # a share of the largest value: cells below it are left blank
TITLED = 0.15  # the same: cells from here on show their value when they are pointed at


def shortened(label: str, longest: int = LONGEST) -> str:
    """A label that fits, without what XML cannot have: "Donaudampfschiff" -> "Donaudampfs…"."""
    label = xml_text(label)
    return label if len(label) <= longest else label[: longest - 1] + "…"


def heat_map(
    values: Float[np.ndarray, "R C"],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    largest: float = 1.0,
    masked: Bool[np.ndarray, "R C"] | None = None,
    joins: str = "→",
) -> Markup:
    """A heat map: the larger a value, the stronger the colour of its cell. Negative values have another colour.

    `largest` has the full colour. Cells that are `masked` are hatched. `joins` stands between the labels in titles.
    """
    left = LETTER * max(len(shortened(row)) for row in rows) + 8
    top = LETTER * max((len(shortened(column)) for column in columns), default=0) + 8
    width, height = left + CELL * values.shape[1] + 4, top + CELL * values.shape[0] + 4
    parts = [_labels(rows, columns, left, top), f'<g transform="translate({left:.0f} {top:.0f}) scale({CELL})">']
    shares = np.clip(values / (largest or 1.0), -1, 1)
    parts += _faint_cells(shares)
    for row, column in np.argwhere(np.abs(shares) >= TITLED).tolist():
        title = f"{rows[row]} {joins} {columns[column]}: {values[row, column]:.2f}" if columns else ""
        parts.append(_cell(row, column, float(shares[row, column]), title))
    if masked is not None:
        parts.append(f'<path class="masked" d="{"".join(_square(r, c) for r, c in np.argwhere(masked).tolist())}"/>')
    parts.append(f'<path class="frame" d="M0 0h{values.shape[1]}v{values.shape[0]}H0z"/></g>')
    head = f'<svg class="heat" role="img" viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px">'
    return Markup(head + "".join(parts) + "</svg>")


def _labels(rows: Sequence[str], columns: Sequence[str], left: float, top: float) -> str:
    """The labels of rows at the left, and of columns above, turned."""
    found = [
        f'<text x="{left - 5:.0f}" y="{top + CELL * (at + 0.75):.0f}" text-anchor="end">{escape(shortened(row))}</text>'
        for at, row in enumerate(rows)
    ]
    found += [
        f'<text transform="translate({left + CELL * (at + 0.75):.0f} {top - 5:.0f}) rotate(-90)">'
        f"{escape(shortened(column))}</text>"
        for at, column in enumerate(columns)
    ]
    return "".join(found)


def _square(row: int, column: int) -> str:
    """The path of one cell."""
    return f"M{column} {row}h1v1h-1z"


def _cell(row: int, column: int, share: float, title: str) -> str:
    """A cell that says its value when it is pointed at."""
    sign = ' class="negative"' if share < 0 else ""
    said = f"<title>{escape(xml_text(title))}</title>" if title else ""
    return f'<path{sign} d="{_square(row, column)}" opacity="{abs(share):.2g}">{said}</path>'


def _faint_cells(shares: Float[np.ndarray, "R C"]) -> list[str]:
    """The cells that are too faint for a title, in a path for each level."""
    levels = np.ceil(np.abs(shares) * LEVELS * 2).astype(int)
    is_drawn = (np.abs(shares) >= FAINT) & (np.abs(shares) < TITLED)
    found = []
    for level in np.unique(levels[is_drawn]):
        for sign in (1, -1):
            cells = np.argwhere(is_drawn & (levels == level) & (np.sign(shares) == sign)).tolist()
            if cells:
                path = "".join(_square(row, column) for row, column in cells)
                name = ' class="negative"' if sign < 0 else ""
                found.append(f'<path{name} d="{path}" opacity="{(level - 0.5) / LEVELS / 2:.2g}"/>')
    return found
