"""Heat maps show every cell that matters, and stay small."""

import numpy as np

from dragoman.reports.heat_map import heat_map, shortened


def test_strong_cells_say_their_values_faint_ones_share_paths_and_blank_ones_are_left_out():
    values = np.array([[0.9, 0.1, 0.0], [0.05, 0.01, -0.94]])
    drawn = heat_map(values, ["a", "b"], ["x", "y", "<z>"], masked=values == 0)
    assert "<title>a → x: 0.90</title>" in drawn
    assert "<title>b → &lt;z&gt;: -0.94</title>" in drawn
    assert drawn.count("<title>") == 2
    assert "M1 0h1v1h-1z" in drawn
    assert "M0 1h1v1h-1z" in drawn
    assert "M1 1h1v1h-1z" not in drawn
    assert '<path class="masked" d="M2 0h1v1h-1z"/>' in drawn
    assert shortened("Donaudampfschiff") == "Donaudampfs…"


def test_all_attention_of_a_big_model_over_40_pieces_takes_less_than_4_megabytes():
    random = np.random.default_rng(1)
    pieces = [f"▁piece{number}" for number in range(40)]
    sizes = [len(heat_map(random.dirichlet(np.full(40, 0.1), 40), pieces, pieces)) for _ in range(8)]
    assert np.mean(sizes) * 6 * 8 * 3 < 4e6
