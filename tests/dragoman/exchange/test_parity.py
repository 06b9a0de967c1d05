import pytest


def test_the_problems_of_a_comparison_are_described_in_words():
    pytest.importorskip("ctranslate2")
    from dragoman.exchange.parity import Agreement, Parity

    agreement = Agreement(same=2, ties=1, cut=0, different=[1, 3, 4, 5, 6, 7])
    assert Parity(9, 8, 9, 50, float("nan"), {"beam 5, length penalty 1": agreement}, agreement).problems() == [
        "1 of 9 lines have different tokens",
        "a token's score differs by nan, more than 1e-04",
        "6 of 9 translations differ (beam 5, length penalty 1): lines 1, 3, 4, 5, 6, ...",
    ]
