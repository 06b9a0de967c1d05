"""Flags translations that look wrong without a reference: loops, copies, and outputs that are too long or too short.

Each check is a pure function of a line and its translation. The bounds are set so that human translations are almost
never flagged: none of the 1,000 lines of Multi30k's test set, in either direction, and 38 of 25,796 pairs of Bible
verses between 15 languages. Of sources copied as translations, at least 98.5% are flagged. A flag is a reason to look,
not a proof, and a translation without a flag may still be wrong.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from data.text.scripts import HANGUL, IDEOGRAPHS, KANA, UNSPACED

PUNCTUATION = r"!-/:-@\[-`{-~\u00a1-\u00bf\u2000-\u206f\u3000-\u303f\uff01-\uff0f\uff1a-\uff20،؛؟۔।॥"
WORD = re.compile(rf"[{UNSPACED}]|[^\s{PUNCTUATION}{UNSPACED}]+")

LONGEST_UNIT = 20  # words; repetitions of longer phrases are not looked for
REPEATS_OF_WORD = 4  # people say "no, no, no", but hardly "sehr, sehr, sehr, sehr"
REPEATS_OF_PHRASE = 3
REPEATS_OF_LETTERS = 6  # of up to 8 letters within a word, at least 12 letters in all: people say "hahaha"
NGRAM = 4  # words; in scripts without spaces, 10 characters carry about as much
NGRAM_UNSPACED = 10
NGRAM_EXCESS = 3  # Guerreiro et al. 2023 (arXiv:2208.05309) use 2, which flags 19 of 25,796 Bible verses; 3 flags 3

COPIED_SHARE = 0.7  # languages share names and some words: German and English about a tenth of a line
COPIED_WORDS = 4  # fewer are often a title, an address, or a list of names

LENGTH_RATIO = 2.5  # nearly all human translations are within 2, in characters of equal width
LENGTH_EXTRA = 15  # characters: "Yes." may become "Jawohl, so ist es."


def flags(source: str, output: str, *, skip: Collection[str] = ()) -> tuple[str, ...]:
    """The names of the checks that find a problem, in the order of CHECKS, without the checks in `skip`.

    Skip "copy" if source and target are the same language or closely related.

        flags("A dog runs.", "Ein Hund, ein Hund, ein Hund läuft.")    -> ("loop",)
        flags("a dog runs on the grass", "a dog runs on the grass")    -> ("copy",)
    """
    return tuple(name for name, finds in CHECKS.items() if name not in skip and finds(source, output))


def count_flags(found: Iterable[Sequence[str]]) -> Counter[str]:
    """How many lines have each flag, and how many have "any": [("loop", "long"), ()] -> loop 1, long 1, any 1."""
    counts: Counter[str] = Counter()
    for names in found:
        counts.update([*names, *["any"] * bool(names)])
    return counts


def is_loop(source: str, output: str) -> bool:
    """True if something is repeated more often than a writer would, and more often than in the source.

    Consecutive repetition: a word 4 times or a phrase of up to 20 words 3 times, with at least 2 repetitions more than
    anything in the source; or a few letters 6 times within a word, unless the source has a similar loop. Repetition
    anywhere: 4 words with at least 3 occurrences more than any 4 words of the source. Words are compared in lower case
    and without punctuation. In scripts without spaces, characters count as words.

        "Ein Hund", "a dog dog dog dog"                            True
        "nein, nein, nein, nein", "no, no, no, no!"                False: the source does too
        "Ein Hund", "a dog and a dog and a dog and a cat"          True
        "very, very good", "sehr, sehr, sehr gut"                  False: emphasis
    """
    written = words_of(output)
    if max(Counter(written).values(), default=0) >= REPEATS_OF_PHRASE:  # what repeats has words that occur as often
        given = words_of(source)
        most = max(most_repeats(given, 1, LONGEST_UNIT), 1)
        if (
            most_repeats(written, 1, 1) >= max(REPEATS_OF_WORD, most + 2)
            or most_repeats(written, 2, LONGEST_UNIT) >= max(REPEATS_OF_PHRASE, most + 2)
            or most_common_ngram(written) >= max(most_common_ngram(given), 1) + NGRAM_EXCESS
        ):
            return True
    letters = letters_in_loops(output)
    return letters > 0 and letters > 2 * letters_in_loops(source)


def is_copy(source: str, output: str) -> bool:
    """True if at least 70% of the source's words, and at least 4, are in the output unchanged.

    This counts words of two letters or more that do not begin with a capital, since copying a name is right. In
    scripts without capitals it counts all words, and in scripts without spaces all characters.

        "a dog runs on the grass", "a dog runs on the Gras"        True: 4 of 5
        "Angela Merkel met Emmanuel Macron", the same              False: only one word is not a name
        "a man in a hat", "ein Mann in einem Hut"                  False: 1 of 3
    """
    given = copied_words(source)
    copied = given & copied_words(output)
    return copied.total() >= max(COPIED_WORDS, COPIED_SHARE * given.total())


def is_long(source: str, output: str) -> bool:
    """True if the output is longer than 2.5 times the source plus 15 characters, in characters of equal width.

    "A dog" has 5 characters, so at most 27 are allowed. An ideograph counts as 3, a Japanese or Korean syllable as 2.
    """
    return width(output) > LENGTH_RATIO * width(source) + LENGTH_EXTRA


def is_short(source: str, output: str) -> bool:
    """True if the source is too long for the output, as in `is_long`, or if only the output is empty."""
    return is_long(output, source) or (not output.strip() and bool(words_of(source)))


CHECKS: dict[str, Callable[[str, str], bool]] = {"loop": is_loop, "copy": is_copy, "long": is_long, "short": is_short}


# --- what is counted ---------------------------------------------------------------------------------------


def words_of(line: str) -> list[str]:
    """Words in lower case, without punctuation; single characters in scripts without spaces: "Ja, 狗!" -> ja, 狗."""
    return WORD.findall(line.lower())


def most_repeats(words: Sequence[str], shortest: int, longest: int) -> int:
    """The most consecutive repetitions of any unit of `shortest` to `longest` words: a b a b a, 2 to 2 -> 2."""
    most = 0
    for size in range(shortest, min(longest, len(words)) + 1):
        run = 0
        for word, before in zip(words[size:], words, strict=False):
            run = run + 1 if word == before else 0
            most = max(most, run // size + 1)
        most = max(most, 1)
    return most


def most_common_ngram(words: Sequence[str]) -> int:
    """The count of the most frequent run of 4 words, or 10 characters in a script without spaces; 0 if none."""
    unspaced = sum(re.match(f"[{UNSPACED}]", word) is not None for word in words)
    size = NGRAM_UNSPACED if 2 * unspaced > len(words) else NGRAM
    ngrams = zip(*(words[first:] for first in range(size)), strict=False)
    return max(Counter(ngrams).values(), default=0)


LOOP_IN_WORD = re.compile(rf"([^\W\d_]{{1,8}}?)\1{{{REPEATS_OF_LETTERS - 1},}}")


def letters_in_loops(line: str) -> int:
    """The length of the longest loop within a word: letters repeated 6 times or more, at least 12 letters; else 0."""
    return max((len(match[0]) for match in LOOP_IN_WORD.finditer(line) if len(match[0]) >= 12), default=0)


def copied_words(line: str) -> Counter[str]:
    """The words that can reveal copying, with their counts."""
    words = re.findall(r"[^\W\d_]+", line)
    plain = [word for word in words if len(word) > 1 and not word[0].isupper()]
    return Counter(part for word in plain for part in WORD.findall(word))


def width(line: str) -> int:
    """The length in characters of equal width: an ideograph counts as 3 letters, a syllable as 2: "狗 dog" -> 7."""
    line = line.strip()
    return len(line) + 2 * len(re.findall(f"[{IDEOGRAPHS}]", line)) + len(re.findall(f"[{KANA}{HANGUL}]", line))
