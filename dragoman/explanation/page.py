"""The page about one sentence in a model, in nine parts from its pieces to back-propagation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from dragoman.explanation.explanation import Attention, Explanation, Heads
from dragoman.explanation.heads import Head
from dragoman.explanation.lens import landing
from dragoman.explanation.residual import SublayerSize
from dragoman.explanation.tree_drawing import draw_tree
from dragoman.reports.charts import COLORS, Line, line_chart, short
from dragoman.reports.heat_map import heat_map
from dragoman.reports.page import render

SUBLAYERS = {
    ("encoder", "self_attention"): "self-attention",
    ("decoder", "self_attention"): "masked self-attention",
    ("decoder", "cross_attention"): "encoder-decoder attention",
    ("encoder", "feed_forward"): "feed-forward network",
    ("decoder", "feed_forward"): "feed-forward network",
}
"""The names of sub-layers for readers, in the order of the flow through a layer."""

PARTS = {
    "source_embedding": "source word embeddings",
    "target_embedding": "target word embeddings",
    "source_positions": "source positions",
    "target_positions": "target positions",
    "encoder": "encoder",
    "encoder_norm": "encoder, last layer normalisation",
    "decoder": "decoder",
    "decoder_norm": "decoder, last layer normalisation",
    "output_embedding": "output layer",
}
"""The parts of a model for readers, in the order of the flow."""

MOST_FEATURES = 48
"""Features of a position that are shown, evenly spread over all."""


def explanation_page(found: Explanation) -> str:
    """The page as HTML."""
    config = found.model.config
    vocabulary = found.model.tokenizer.target_vocabulary()
    lined = target_lines(found)
    return render(
        "explanation.html",
        found=found,
        config=config.model,
        languages=f"{config.data.source_language} → {config.data.target_language}",
        positions_map=positions_map(found),
        distances_map=distances_map(found),
        encoder_maps=maps(found.encoder_attention, found.heads["encoder_attention"], found.pieces, found.pieces),
        decoder_maps=maps(
            found.decoder_self_attention,
            found.heads["decoder_self_attention"],
            found.target_inputs,
            found.target_inputs,
            is_causal=True,
        ),
        cross_maps=maps(found.cross_attention, found.heads["cross_attention"], found.target_inputs, found.pieces),
        sublayers=SUBLAYERS,
        stream_charts={stack: stream_chart(sizes) for stack, sizes in found.residual.items()},
        lens=list(zip(found.target_pieces, found.lens, map(landing, found.lens), strict=True)),
        lines={line.name: line.color for line in lined},
        entropy_chart=line_chart([values(line, found, "entropy") for line in lined], x="layer"),
        probability_chart=line_chart([values(line, found, "probability") for line in lined], x="layer"),
        path_chart=line_chart([path_of(line, found) for line in lined], x="first direction"),
        tree=draw_tree(found.tree, vocabulary),
        outcomes=outcomes(found),
        cost_chart=cost_chart(found),
        learned=learned(found),
    )


# --- positions and attention -----------------------------------------------------------------------------------


def positions_map(found: Explanation) -> Markup:
    """What each position adds, feature by feature."""
    vectors = found.positions.vectors
    chosen = np.unique(np.linspace(0, vectors.shape[1] - 1, MOST_FEATURES).astype(int))
    return heat_map(
        vectors[:, chosen], numbered(found.pieces), [str(one) for one in chosen], largest=float(np.abs(vectors).max()),
        joins="feature",
    )  # fmt: skip


def distances_map(found: Explanation) -> Markup:
    """The distance between the vectors of every two positions."""
    distances, names = found.positions.distances, numbered(found.pieces)
    return heat_map(distances, names, names, largest=float(distances.max()), joins="to")


def numbered(pieces: Sequence[str]) -> list[str]:
    """Pieces with their positions: "0 ▁A"."""
    return [f"{at} {piece}" for at, piece in enumerate(pieces)]


def maps(
    attention: Attention, heads: Heads, queries: Sequence[str], keys: Sequence[str], *, is_causal: bool = False
) -> list[list[dict[str, Any]]]:
    """For each layer, each head's map, its role, and the measure that says so."""
    masked = np.triu(np.ones((len(queries), len(keys)), bool), 1) if is_causal else None
    return [
        [
            {"map": heat_map(weights, queries, keys, masked=masked), "role": head.role, "why": why(head)}
            for weights, head in zip(layer, own, strict=True)
        ]
        for layer, own in zip(attention, heads, strict=True)
    ]


def why(head: Head) -> str:
    """The measure behind a role, in words."""
    broad = f"its entropy is {head.measures['broad']:.2f} of the largest possible"
    if head.role in ("broad", "mixed"):
        return broad
    share, equal = head.measures[head.role], head.by_chance[head.role]
    return f"{share:.2f} of its attention goes there; equal attention would give {equal:.2f}; {broad}"


def stream_chart(sizes: Sequence[SublayerSize]) -> Markup:
    """The size of the residual stream, and of what sub-layers read and add, from sub-layer to sub-layer."""
    lines = [
        Line("stream before", [(at, one.before) for at, one in enumerate(sizes, 1)], 0),
        Line("added", [(at, one.added) for at, one in enumerate(sizes, 1)], 1),
        Line("read", [(at, one.read) for at, one in enumerate(sizes, 1)], 2),
    ]
    return line_chart(lines, x="sub-layer")


# --- predictions -----------------------------------------------------------------------------------------------


def target_lines(found: Explanation) -> list[Line]:
    """An empty line for each of the first target pieces, of which a chart can show as many as there are colours."""
    return [Line(name, [], at) for at, name in enumerate(numbered(found.target_pieces)[:COLORS])]


def values(line: Line, found: Explanation, measure: str) -> Line:
    """The line with a measure of the readings of the lens, layer by layer."""
    return line._replace(points=[(at, getattr(one, measure)) for at, one in enumerate(found.lens[line.color])])


def path_of(line: Line, found: Explanation) -> Line:
    """The line with the path of a position's vector."""
    return line._replace(points=[(float(x), float(y)) for x, y in found.path[:, line.color]])


# --- search, cache and loss ------------------------------------------------------------------------------------


def outcomes(found: Explanation) -> list[dict[str, Any]]:
    """The finished hypotheses, best first, as text with their scores."""
    tree = found.tree
    ends = [at for at, node in enumerate(tree.nodes) if node.fate == "finished"]
    texts = found.model.tokenizer.decode([tree.tokens(at) for at in ends])
    rows = [
        {"text": text, "score": tree.nodes[at].score, "length": tree.nodes[at].step, "best": at == tree.best}
        for text, at in zip(texts, ends, strict=True)
    ]
    return sorted(rows, key=lambda row: -row["score"])


def cost_chart(found: Explanation) -> Markup:
    """Operations of each step, with the cache and without it."""
    costs = found.costs
    lines = [
        Line("with the cache", list(enumerate(costs.steps, 1)), 0),
        Line("everything anew", list(enumerate(costs.anew, 1)), 1),
    ]
    return line_chart(lines, x="step", show=short)


def learned(found: Explanation) -> dict[str, Any] | None:
    """The losses and gradients of the reference as rows of tables; None without a reference."""
    if found.reference is None:
        return None
    learned = found.reference.learned
    largest = max(slope for slope, _ in learned.gradients.values()) or 1.0
    return {
        "losses": list(zip(found.reference.pieces, learned.losses, learned.losses_after, strict=True)),
        "mean": float(np.mean(learned.losses)),
        "mean_after": float(np.mean(learned.losses_after)),
        "parts": [
            {"name": part_name(name, found), "gradient": slope, "size": size, "bar": 100 * slope / largest}
            for name, (slope, size) in sorted(learned.gradients.items(), key=lambda item: place_in_flow(item[0]))
        ],
    }


def part_name(name: str, found: Explanation) -> str:
    """A part for readers: "decoder 1 self_attention_residual" -> "decoder 1, masked self-attention: normalisation"."""
    part, *inside = name.split(" ")
    if not inside:
        tables = {"all": "word embeddings and output layer", "output": "target word embeddings and output layer"}
        return tables.get(found.model.config.model.tied, PARTS[part]) if part == "target_embedding" else PARTS[part]
    layer, kind = inside
    sublayer = SUBLAYERS[part, kind.removesuffix("_residual")]
    return f"{PARTS[part]} {layer}, {sublayer}" + ": normalisation" * kind.endswith("_residual")


def place_in_flow(name: str) -> tuple[int, ...]:
    """Numbers by which parts are sorted: in the order in which a sentence passes them."""
    part, *inside = name.split(" ")
    place = list(PARTS).index(part)
    if not inside:
        return (place,)
    layer, kind = inside
    sublayer = list(SUBLAYERS).index((part, kind.removesuffix("_residual")))
    return place, int(layer), sublayer, kind.endswith("_residual")
