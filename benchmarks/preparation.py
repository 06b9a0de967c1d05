"""Seconds and memory of preparing text, by its size, on synthetic pairs whose words follow Zipf's law.

    python benchmarks/preparation.py --pairs 1000000 [--directory DIRECTORY] [--survey]

Writes the pairs, finds their lines without and with the cache, reads pairs at random places, and with --survey learns a
vocabulary, tokenises and surveys the text. The last line is a JSON object. The directory is temporary unless named.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

WORDS = 50_000
PART = 50_000
LETTERS = {"en": "etaoinshrdlucmfwypvbgk", "de": "enisratdhulcgmobwfkzpväöü"}


def write_pairs(directory: Path, count: int) -> None:
    """Writes train.en and train.de: about 22 words a line, as in news text."""
    random = np.random.default_rng(0)
    words = {
        language: np.array(["".join(random.choice(list(letters), random.integers(2, 10))) for _ in range(WORDS)])
        for language, letters in LETTERS.items()
    }
    frequencies = 1 / np.arange(1, WORDS + 1) ** 1.05
    totals = np.cumsum(frequencies / frequencies.sum())
    for language in LETTERS:
        (directory / f"train.{language}").write_bytes(b"")
    for start in range(0, count, PART):
        lengths = np.clip(random.lognormal(2.9, 0.55, min(PART, count - start)).astype(int), 1, 100)
        for language in LETTERS:
            own = np.maximum(1, lengths + random.integers(-2, 3, len(lengths)))
            drawn = words[language][np.minimum(np.searchsorted(totals, random.random(own.sum())), WORDS - 1)].tolist()
            ends = np.cumsum(own).tolist()
            lines = [" ".join(drawn[end - size : end]) for end, size in zip(ends, own.tolist(), strict=True)]
            with (directory / f"train.{language}").open("a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")


def resident() -> int:
    """The memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 10**6


def main() -> None:
    """Measures, and prints a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000, metavar="N", help="pairs to write and prepare")
    parser.add_argument("--directory", type=Path, help="where to write them, and the cache; kept afterwards")
    parser.add_argument("--survey", action="store_true", help="learn a vocabulary, tokenise and survey the text, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(options.directory or Path(temporary), options.pairs, has_survey=options.survey)


def measure(directory: Path, count: int, *, has_survey: bool) -> None:
    """Writes the pairs unless they are there, and measures each step."""
    from data.config import DataConfig
    from data.sources import load_corpora
    from data.vocabulary.prepared import prepared_tokenizer

    found: dict[str, Any] = {"pairs": count}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        began, cpu = time.monotonic(), time.process_time()
        yield
        wall, cpu, memory = time.monotonic() - began, time.process_time() - cpu, resident()
        found.update({f"{name}_seconds": round(wall, 2), f"{name}_cpu": round(cpu, 2), f"{name}_mb": memory})
        print(f"{name:12} {wall:8.2f} s   {cpu:8.2f} s of processors   {memory:6} MB resident", flush=True)

    if not (directory / "train.de").exists():
        with step("write"):
            write_pairs(directory, count)
    config = DataConfig(directory=str(directory), cache=str(directory / "cache"))
    with step("lines_cold"):
        load_corpora(config, "train")
    with step("lines_warm"):
        corpora = load_corpora(config, "train")
    with step("read_100k"):
        for place in np.random.default_rng(0).integers(0, count, 100_000).tolist():
            corpora[0].pairs[place]
    if has_survey:
        with step("vocabulary"):
            tokenizer = prepared_tokenizer(config, corpora)
        from data.tokens.store import open_store
        from dragoman.preparation.survey import Survey

        with step("tokens_cold"):
            open_store(corpora, tokenizer, config)
        with step("tokens_warm"):
            store = open_store(corpora, tokenizer, config)
        with step("survey"):
            survey = Survey(config, corpora, store, {})
            survey.run(lambda pairs, tokens: None)
            found["survey"] = {"source": survey.as_json()["corpora"][0]["source"]}
    found["text_bytes"] = sum((directory / f"train.{language}").stat().st_size for language in LETTERS)
    found["cache_bytes"] = sum(path.stat().st_size for path in (directory / "cache").rglob("*") if path.is_file())
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
    print(json.dumps(found))


if __name__ == "__main__":
    main()
