"""The drawing of a tree has every candidate in it."""

from dragoman.explanation.search_tree import ROOT, Node, Tree
from dragoman.explanation.tree_drawing import ancestors, draw_tree, places_of

TREE = Tree(
    [
        Node(1, ROOT, 0, -0.5, -0.5, "live"),
        Node(1, ROOT, 1, -1.0, -1.0, "pruned"),
        Node(2, 0, 2, -0.7, -0.6, "finished"),
        Node(2, 0, 1, -0.9, -0.8, "live"),
    ],
    best=2,
    steps=2,
    beam=1,
)


def test_candidates_are_in_the_row_of_their_step_and_the_way_to_the_winner_is_marked():
    assert places_of(TREE) == {ROOT: (0, 0), 0: (0, 1), 1: (1, 1), 2: (0, 2), 3: (1, 2)}
    assert ancestors(TREE) == {0, 2}
    drawn = draw_tree(TREE, ["<i>", "b", "</s>"])
    assert drawn.count("<path") == 4
    assert drawn.count('<path class="winning"') == 2
    assert "&lt;i&gt;" in drawn
    assert "<i>" not in drawn
