"""A guard: translations that look wrong without a reference, because they loop, copy, run away or break off.

Each check is a pure function of a line and its translation. The bounds are set so that human translations are almost
never flagged: none of the 1,000 lines of Multi30k's test set, in either direction, and 38 of 25,796 pairs of Bible
verses between 15 languages; of the sources copied as translations 98.5% or more are. A flag asks someone to look, it
proves nothing, and a translation without one may still be wrong.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

IDEOGRAPHS = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA = "\u3040-\u30ff"  # Japanese syllables
HANGUL = "\uac00-\ud7af"
UNSPACED = f"{IDEOGRAPHS}{KANA}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # with Thai, Lao, Burmese, Khmer
PUNCTUATION = r"!-/:-@\[-`{-~\u00a1-\u00bf\u2000-\u206f\u3000-\u303f\uff01-\uff0f\uff1a-\uff20،؛؟۔।॥"
WORD = re.compile(rf"[{UNSPACED}]|[^\s{PUNCTUATION}{UNSPACED}]+")

LONGEST_UNIT = 20  # words: longer phrases are not looked for back to back
REPEATS_OF_WORD = 4  # "no, no, no" is said; "sehr, sehr, sehr, sehr" hardly
REPEATS_OF_PHRASE = 3
REPEATS_OF_LETTERS = 6  # of up to 8 letters within a word, and at least 12 letters: "hahaha" is said
NGRAM = 4  # words; 10 characters say about as much in scripts without spaces
NGRAM_UNSPACED = 10
NGRAM_EXCESS = 3  # Guerreiro et al. 2023 (arXiv:2208.05309) take 2: of 25,796 Bible verses that flags 19, and 3 only 3

COPIED_SHARE = 0.7  # languages share some words and all names; German and English, line by line, a tenth
COPIED_WORDS = 4  # fewer are often a title, an address, or a list of names

LENGTH_RATIO = 2.5  # of human translations, in characters of equal width, nearly all are within 2
LENGTH_EXTRA = 15  # characters: "Yes." may become "Jawohl, so ist es."


def flags(source: str, output: str, *, skip: Collection[str] = ()) -> tuple[str, ...]:
    """The names of the checks that find something, in the order of CHECKS. Checks in `skip` are left out.

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
    """True if something is repeated more than a writer would repeat it, and more than in the source.

    Back to back: a word 4 times, a phrase of up to 20 words 3 times, a few letters 6 times within a word; and each at
    least twice more often than anything in the source. Or anywhere: some 4 words twice more often than any 4 words of
    the source. Words are compared in lower case and without punctuation; where a script has no spaces, characters
    stand for words.

        "Ein Hund", "a dog dog dog dog"                            True
        "nein, nein, nein, nein", "no, no, no, no!"                False: so does the source
        "Ein Hund", "a dog and a dog and a dog and a cat"          True
        "very, very good", "sehr, sehr, sehr gut"                  False: said for emphasis
    """
    given, written = words_of(source), words_of(output)
    most = max(most_repeats(given, 1, LONGEST_UNIT), 1)
    return (
        most_repeats(written, 1, 1) >= max(REPEATS_OF_WORD, most + 2)
        or most_repeats(written, 2, LONGEST_UNIT) >= max(REPEATS_OF_PHRASE, most + 2)
        or most_common_ngram(written) >= max(most_common_ngram(given), 1) + NGRAM_EXCESS
        or letters_in_loops(output) > 2 * letters_in_loops(source)
    )


def is_copy(source: str, output: str) -> bool:
    """True if at least 70% of the source's words, and at least 4, are in the output unchanged.

    This counts words of two letters or more that do not begin with a capital, since copying a name is right. In
    scripts without capitals it counts all words, and in scripts without spaces all characters.

        "a dog runs on the grass", "a dog runs on the Gras"        True: 4 of 5
        "Angela Merkel met Emmanuel Macron", the same              False: one word that is no name
        "a man in a hat", "ein Mann in einem Hut"                  False: 1 of 3
    """
    given = copied_words(source)
    copied = given & copied_words(output)
    return copied.total() >= max(COPIED_WORDS, COPIED_SHARE * given.total())


def is_long(source: str, output: str) -> bool:
    """True if the output is longer than 2.5 times the source plus 15 characters, in characters of equal width.

    "A dog", 5: at most 27. An ideograph counts 3 characters, a syllable of Japanese or Korean 2.
    """
    return width(output) > LENGTH_RATIO * width(source) + LENGTH_EXTRA


def is_short(source: str, output: str) -> bool:
    """As `is_long` with the sides exchanged, or if nothing was written for a source that has words."""
    return is_long(output, source) or (not output.strip() and bool(words_of(source)))


CHECKS: dict[str, Callable[[str, str], bool]] = {"loop": is_loop, "copy": is_copy, "long": is_long, "short": is_short}


# --- what is counted ---------------------------------------------------------------------------------------


def words_of(line: str) -> list[str]:
    """Words in lower case, without punctuation; single characters of scripts without spaces: "Ja, 狗!" -> ja, 狗."""
    return WORD.findall(line.lower())


def most_repeats(words: Sequence[str], shortest: int, longest: int) -> int:
    """How often a unit of `shortest` to `longest` words repeats back to back: a b a b a, 2 to 2 -> 2."""
    most = 0
    for size in range(shortest, min(longest, len(words)) + 1):
        run = 0
        for word, before in zip(words[size:], words, strict=False):
            run = run + 1 if word == before else 0
            most = max(most, run // size + 1)
        most = max(most, 1)
    return most


def most_common_ngram(words: Sequence[str]) -> int:
    """The count of the most frequent run of 4 words, or of 10 in a script without spaces; 0 if there are fewer."""
    unspaced = sum(re.match(f"[{UNSPACED}]", word) is not None for word in words)
    size = NGRAM_UNSPACED if 2 * unspaced > len(words) else NGRAM
    ngrams = zip(*(words[first:] for first in range(size)), strict=False)
    return max(Counter(ngrams).values(), default=0)


LOOP_IN_WORD = re.compile(rf"([^\W\d_]{{1,8}}?)\1{{{REPEATS_OF_LETTERS - 1},}}")


def letters_in_loops(line: str) -> int:
    """The letters of the longest loop within a word: the same letters 6 times or more, 12 letters or more."""
    return max((len(match[0]) for match in LOOP_IN_WORD.finditer(line) if len(match[0]) >= 12), default=0)


def copied_words(line: str) -> Counter[str]:
    """The words that give copying away, with their counts."""
    words = re.findall(r"[^\W\d_]+", line)
    plain = [word for word in words if len(word) > 1 and not word[0].isupper()]
    return Counter(part for word in plain for part in WORD.findall(word))


def width(line: str) -> int:
    """Characters of equal width: an ideograph says about as much as 3 letters, a syllable as 2: "狗 dog" -> 7."""
    line = line.strip()
    return len(line) + 2 * len(re.findall(f"[{IDEOGRAPHS}]", line)) + len(re.findall(f"[{KANA}{HANGUL}]", line))
