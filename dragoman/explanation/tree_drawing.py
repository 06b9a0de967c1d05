"""The tree of a beam search as SVG: one row for each step, its candidates from the likeliest on."""

from collections.abc import Sequence

from markupsafe import Markup, escape

from dragoman.explanation.search_tree import ROOT, Node, Tree
from dragoman.reports.charts import xml_text
from dragoman.reports.heat_map import shortened

COLUMN, ROW = 72, 40  # pixels
LONGEST = 9  # letters of a piece


def draw_tree(tree: Tree, pieces: Sequence[str]) -> Markup:
    """The drawing. The way to the winner is thick; pruned candidates are struck out."""
    places = places_of(tree)
    width = COLUMN * max(x + 1 for x, _ in places.values())
    height = ROW * (tree.steps + 1)
    winning = ancestors(tree)
    lines, labels = [], [_label(COLUMN // 2, ROW // 2, "<s>", "winning", "the beginning")]
    for index, node in enumerate(tree.nodes):
        (x0, y0), (x1, y1) = (_pixels(places[at]) for at in (node.parent, index))
        kind = "winning" if index in winning else node.fate
        lines.append(f'<path class="{kind}" d="M{x0} {y0 + 6}L{x1} {y1 - 14}"/>')
        labels.append(_label(x1, y1, pieces[node.token], kind, _title(node, pieces)))
    head = f'<svg class="tree" role="img" viewBox="0 0 {width} {height}" style="max-width:{width}px">'
    return Markup(head + "".join(lines) + "".join(labels) + "</svg>")


def places_of(tree: Tree) -> dict[int, tuple[int, int]]:
    """The column and the row of each node; the root is at the top."""
    places, filled = {ROOT: (0, 0)}, [0] * (tree.steps + 1)
    for index, node in enumerate(tree.nodes):
        places[index] = (filled[node.step], node.step)
        filled[node.step] += 1
    return places


def ancestors(tree: Tree) -> set[int]:
    """The nodes on the way to the winner, itself included."""
    found, at = set(), tree.best
    while at != ROOT:
        found.add(at)
        at = tree.nodes[at].parent
    return found


def _pixels(place: tuple[int, int]) -> tuple[int, int]:
    return COLUMN * place[0] + COLUMN // 2, ROW * place[1] + ROW // 2


def _label(x: int, y: int, piece: str, kind: str, title: str) -> str:
    shown, title = escape(shortened(piece, LONGEST)), escape(xml_text(title))
    return f'<text class="{kind}" x="{x}" y="{y}">{shown}<title>{title}</title></text>'


def _title(node: Node, pieces: Sequence[str]) -> str:
    return f"{pieces[node.token]}: score {node.score:.3f}, log-probability {node.log_probability:.3f}, {node.fate}"
