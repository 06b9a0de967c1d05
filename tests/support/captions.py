"""Files of a few short sentences in two languages, for scripts that train on text."""

from pathlib import Path


def write_captions(directory: Path) -> None:
    """Files of a few short sentences, named as in Multi30k."""
    words = {"one": "ein", "two": "zwei", "red": "rot", "dog": "hund", "runs": "rennt", "house": "haus"}
    for split, count in (("train", 200), ("val", 6), ("test_2016_flickr", 6)):
        sentences = [[list(words)[(n * k + k) % 6] for k in range(1, 4 + n % 4)] for n in range(count)]
        (directory / f"{split}.en").write_text("".join(" ".join(line) + "\n" for line in sentences))
        translated = [" ".join(words[word] for word in line) for line in sentences]
        (directory / f"{split}.de").write_text("".join(line + "\n" for line in translated))
