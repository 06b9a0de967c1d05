"""A translator called from Python: its arguments, threads, and what is rejected."""

import dataclasses
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from data.errors import InputError
from dragoman.translation.arguments import checked
from dragoman.translation.translator import Translator
from transformer.decoding.ensemble import ensemble_stepper
from transformer.decoding.request import make_request
from transformer.decoding.searcher import search_sentences
from transformer.decoding.stepper import NEVER


def test_prefixes_and_n_best_are_arguments_of_a_call(run, translator, lines):
    texts = translator.translate(lines[:2])
    begun = translator.translate(lines[:2], prefixes=[texts[1][:3], ""])
    assert (begun[0][:3], begun[1]) == (texts[1][:3], texts[1])
    found = translator.search(lines[:2], n_best=3)
    assert [len(ranks) for ranks in found] == [3, 3]
    assert found == Translator.load(run, n_best=3).search(lines[:2])
    with pytest.raises(InputError, match="2 lines and 1 prefixes: expected one for each line"):
        translator.translate(lines[:2], prefixes=["a"])
    with pytest.raises(InputError, match=r"^line 1: its prefix has [0-9]+ tokens, and its translation at most"):
        translator.translate(lines[:2], prefixes=["a " * 99, ""])


def test_an_unknown_knob_from_python_names_the_nearest_one(run, translator):
    with pytest.raises(InputError, match=r"^decoding\.beams: unknown option; did you mean beam\?$"):
        Translator.load(run, decoding={"beams": 3})
    with pytest.raises(
        InputError, match=r"^decoding\.beam must be a whole number, at least 1 and at most 10000, found 'many'$"
    ):
        translator.with_(decoding={"beam": "many"})


def test_a_score_is_the_same_after_a_search_and_for_a_given_text(translator, lines):
    """By hand: the log-probability divided by ((5 + length) / 6) ** alpha, EOS counted."""
    translator = translator.with_(decoding={"length_penalty": 0.7})
    found = [ranks[0] for ranks in translator.search(lines[:6])]
    given = [ranks[0] for ranks in translator.score(lines[:6], ["", *(one.text for one in found[1:])])]
    for one in (*found, *given):
        penalty = ((5 + one.tokens + one.is_finished) / 6) ** 0.7
        assert one.score == pytest.approx(one.log_probability / penalty, rel=1e-5)
    assert given[0].tokens == 0
    assert all(one.score > one.log_probability for one in given[1:] if one.tokens)
    with pytest.raises(InputError, match="6 lines and 1 translations to score: translation n belongs to line n"):
        translator.score(lines[:6], ["a"])


def test_a_decoding_knob_takes_effect_and_is_not_given_twice(run):
    translator = Translator.load(run, decoding={"beam": "3", "length_penalty": "0.5"})
    assert (translator.config.decoding.beam, translator.config.decoding.length_penalty) == (3, 0.5)
    with pytest.raises(InputError, match=r"beam is given twice, as decoding\.beam too: give one of them"):
        Translator.load(run, decoding={"beam": "3"}, beam=2)


def test_a_translator_with_other_knobs_is_another_and_the_first_stays_as_it_is(run, translator, lines):
    expected = translator.translate(lines[:8])
    greedy = translator.with_(decoding={"beam": 1})
    assert greedy.translate(lines[:8]) == Translator.load(run, beam=1).translate(lines[:8])
    assert translator.translate(lines[:8]) == expected
    with pytest.raises(dataclasses.FrozenInstanceError):
        translator.n_best = 2


def test_threads_that_share_a_translator_get_what_one_thread_gets(translator, lines):
    shares = [lines[number::4] for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(translator.translate, shares)) == list(map(translator.translate, shares))


def test_a_string_is_not_taken_for_a_list_of_its_letters(translator):
    for call in (translator.translate, translator.search, lambda text: translator.score(text, text)):
        with pytest.raises(
            TypeError, match=r"expected a list of lines, found one string: pass \['A man is sleeping\.'\]"
        ):
            call("A man is sleeping.")


def test_a_line_that_is_not_text_is_reported_with_its_number(translator, lines):
    for bad in (None, 7, b"a dog"):
        with pytest.raises(TypeError, match=rf"^line 2 is {re.escape(repr(bad))}: expected a string$"):
            checked([lines[0], bad])
    half, good = "a \ud83d", lines[0]
    for what, call in (
        ("line 2", lambda: translator.translate([good, half])),
        ("prefix 2", lambda: translator.search([good, good], prefixes=["", half])),
        ("translation 2", lambda: translator.score([good, good], [good, half])),
    ):
        with pytest.raises(InputError, match=rf"^{what} has half a character, \\ud83d, as character 3: give both"):
            call()


def test_lines_may_come_from_a_generator(translator, lines):
    assert translator.translate(line for line in lines[:4]) == translator.translate(lines[:4])


def test_sentences_are_searched_with_the_stepper_that_is_given(translator, lines):
    requests = [make_request(translator.plan, source) for source in translator.tokenizer.encode_source(lines[:4])]

    def search(make_stepper) -> list[list[int]]:
        batches = search_sentences(translator.ensemble, requests, translator.plan, make_stepper=make_stepper)
        return [hypotheses[0].tokens for _, rows in batches for hypotheses in rows]

    usual = search(ensemble_stepper)
    unwanted = usual[0][0]

    def stepper_without_it(models):
        stepper = ensemble_stepper(models)

        def step(*arguments):
            log_probabilities, caches = stepper.step(*arguments)
            return log_probabilities.at[..., unwanted].set(NEVER), caches

        return stepper._replace(step=step)

    found = search(stepper_without_it)
    assert len(found) == len(usual)
    assert not any(unwanted in tokens for tokens in found)
