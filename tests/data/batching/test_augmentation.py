"""Augmentations disturb a pair as they say, and depend on nothing but the generator."""

from random import Random

import pytest

from data.batch import Pair
from data.batching.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    Languages,
    augment,
    in_capitals,
    in_title_case,
    with_typos,
)
from data.config import DataConfig

PAIR, NEXT = Pair("A black dog runs.", "Ein schwarzer Hund läuft."), Pair("It barks.", "Er bellt.")
OFF = dict.fromkeys(("augment_joined", *AUGMENTATIONS), 0.0)
CODES = Languages("en", "de")


def test_capitals_and_titles_change_both_sides():
    assert in_capitals(PAIR, CODES, Random(1)) == ("A BLACK DOG RUNS.", "EIN SCHWARZER HUND LÄUFT.")
    assert in_title_case(PAIR, CODES, Random(1)) == ("A Black Dog Runs.", "Ein Schwarzer Hund Läuft.")


def test_typing_errors_are_few_and_only_in_the_source():
    found = [with_typos(PAIR, CODES, Random(seed)) for seed in range(200)]
    assert {pair.target for pair in found} == {PAIR.target}
    assert PAIR.source not in {pair.source for pair in found if sorted(pair.source) != sorted(PAIR.source)}
    assert all(abs(len(pair.source) - len(PAIR.source)) <= 2 for pair in found)
    assert len({pair.source for pair in found}) > 40
    assert with_typos(Pair("1 2 .", "x"), CODES, Random(1)) == ("1 2 .", "x")


def test_pairs_are_joined_as_their_languages_are_written():
    both = augment(PAIR, NEXT, OFF | {"augment_joined": 1.0}, CODES, Random(1))
    assert both == ("A black dog runs. It barks.", "Ein schwarzer Hund läuft. Er bellt.")
    chinese = augment(Pair("你好。", "Hallo."), Pair("再见。", "Ade."), OFF | {"augment_joined": 1.0},
                      Languages("zh", "de", source_has_spaces=False), Random(1))  # fmt: skip
    assert chinese == ("你好。再见。", "Hallo. Ade.")


def test_a_recipe_without_augmentation_has_none():
    assert Augmentation.of(DataConfig()) is None


def test_a_recipe_disturbs_each_pair_by_its_own_generator():
    change = Augmentation.of(DataConfig(augment_joined=0.5, augment_typos=0.5, target_language="zh"))
    assert change
    assert change.languages == Languages("en", "zh", True, False)
    pairs = [PAIR, NEXT] * 50
    found = change(pairs, [Random(seed) for seed in range(100)])
    assert found == change(pairs, [Random(seed) for seed in range(100)])
    assert 30 < sum(len(pair.source) > 20 for pair in found) < 70


def test_without_rates_nothing_changes():
    assert augment(PAIR, NEXT, OFF, CODES, Random(1)) == PAIR


@pytest.mark.parametrize("name", ["augment_joined", *AUGMENTATIONS])
def test_each_augmentation_is_as_frequent_as_its_rate_and_leaves_the_others_alone(name):
    def drawn(rates):
        return [augment(PAIR, NEXT, rates, CODES, Random(seed)) for seed in range(1000)]

    alone = drawn(OFF | {name: 0.3})
    changed = [pair != PAIR for pair in alone]
    assert 250 < sum(changed) < 350
    assert alone == drawn(OFF | {name: 0.3})


def test_another_rate_does_not_change_which_pairs_are_augmented():
    def titled(rates):
        found = [augment(PAIR, NEXT, OFF | {"augment_titles": 0.3} | rates, CODES, Random(seed)) for seed in range(300)]
        return [pair.target.startswith("Ein Schwarzer Hund") for pair in found]

    assert titled({}) == titled({"augment_joined": 0.5}) == titled({"augment_typos": 1.0})
    assert any(titled({}))
