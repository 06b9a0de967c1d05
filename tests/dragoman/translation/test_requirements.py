"""What a search is asked for, from the terms of a line, and whether translations have them."""

import pytest

from data.batch import Pair
from data.config import DataConfig
from data.sources.corpus import Corpus
from data.vocabulary.tokenizer import Tokenizer, learn_tokenizer
from dragoman.translation.glossary import Term
from dragoman.translation.requirements import Requirement, Terminology, TermResult, term_results
from transformer.decoding.request import LONGEST_TERM, MOST_TERMS

PAIRS = [
    Pair("A man in an orange hat is standing.", "Ein Mann mit einem Hut steht da."),
    Pair("The dog runs.", "那只狗在跑。"),
]


def learn(**knobs) -> Tokenizer:
    config = DataConfig(**{"vocabulary_size": 320, "character_coverage": 1.0, **knobs})
    return learn_tokenizer(config, [Corpus("tiny", PAIRS * 4, None, {}, "")])


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return learn()


def required(tokenizer: Tokenizer, line: str, *terms: Term) -> list[Requirement]:
    return Terminology(terms, tokenizer).requirements(line, tokenizer.encode_source([line])[0])


def test_a_term_has_its_tokens_and_those_of_its_source(tokenizer):
    line = "A man, The dog runs, a man in an orange hat"
    found = {one.term.target: one for one in required(tokenizer, line, Term("man", "Mann"), Term("orange hat", "Hut"))}
    assert found["Mann"].choices == (tuple(tokenizer.encode_target(["Mann"])[0]),)
    for name, spelled in (("Mann", " man man"), ("Hut", " orange hat")):
        source = tokenizer.encode_source([line])[0]
        assert tokenizer.decode_source([[source[place] for place in found[name].places]])[0] == spelled.strip()


def test_inflections_are_choices_and_count_as_terms(tokenizer):
    [one] = required(tokenizer, "a man", Term("man", "Mann", ("Mannes", "Mann", "Hut")))
    assert [tokenizer.decode([ids])[0] for ids in one.choices] == ["Mann", "Mannes", "Hut"]
    forms = tuple(f"Hut {'a' * n}" for n in range(1, MOST_TERMS + 3))
    [one, other] = required(tokenizer, "the dog, a man", Term("dog", "Hut", forms), Term("man", "Mann"))
    assert (len(one.choices), other.choices) == (MOST_TERMS, ())
    assert other.problem == "beyond the 8 terms that can be required of a sentence"


def test_a_term_in_a_script_without_spaces_begins_without_one(tokenizer):
    [one] = required(tokenizer, "the dog", Term("dog", "狗在跑"))
    assert ["".join(tokenizer.target_pieces(ids)) for ids in one.choices] == ["狗在跑"]


def test_what_is_too_long_or_cannot_be_written_is_not_asked_for():
    tokenizer = learn(byte_fallback=False, vocabulary_size=60)
    long, odd = required(tokenizer, "man dog", Term("man", "Ei" * 60), Term("dog", "🙂"))
    assert (long.choices, odd.choices) == ((), ())
    assert long.problem.endswith(f"pieces, and at most {LONGEST_TERM} can be required")
    assert odd.problem == "the vocabulary cannot write it"
    assert term_results("ein Mann", [odd]) == (
        TermResult("dog", "🙂", is_met=False, problem="the vocabulary cannot write it"),
    )


def test_pieces_that_continue_a_word_are_known(tokenizer):
    joins = set(Terminology((), tokenizer).joins)
    pieces = tokenizer.target_vocabulary()
    assert {"a", "n", "<0x41>"} <= {pieces[id_] for id_ in joins}
    assert not joins & {pieces.index(piece) for piece in ("▁", ".", "狗", "</s>", "<unk>", "。")}
