"""A tiny corpus and its recipe, and training as a user starts it."""

import random
import subprocess
import sys
import time
from pathlib import Path

from dragoman.runs.manifest import verify
from dragoman.runs.run import Run
from tests.support.paths import ROOT

WORDS = {
    "one": "eins",
    "two": "zwei",
    "three": "drei",
    "four": "vier",
    "nice": "schoen",
    "houses": "haeuser",
    "red": "rot",
}
RECIPE = """
[data]
directory = "{directory}"
vocabulary_size = 320
subword_sampling = 0.2
maximum_tokens = 32
batching = "packed"
row_length = 32
shuffle_block = 50

[model]
encoder_layers = 1
decoder_layers = 1
width = 16
heads = 2
feed_forward = 32
maximum_length = 40
dropout = 0.1

[training]
seed = 5
steps = {steps}
batch_tokens = 256
learning_rate = 0.01
warmup_steps = 5
log_every = 3
save_every = 4
validate_every = 8
keep_best = 2

[decoding]
beam = 2
rows = 8
"""


def write_corpus(directory: Path) -> None:
    """Sentences of three to five words, translated word for word."""
    chooser = random.Random(0)
    for split, count in (("train", 120), ("validation", 10), ("test", 10)):
        sentences = [chooser.choices(list(WORDS), k=chooser.randint(3, 5)) for _ in range(count)]
        (directory / f"{split}.en").write_text("".join(" ".join(words) + "\n" for words in sentences))
        (directory / f"{split}.de").write_text("".join(" ".join(map(WORDS.get, words)) + "\n" for words in sentences))


def program(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / name, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT
    )


def start(recipe: Path, run: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, ROOT / "train.py", recipe, "--run", run, *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT)


def fingerprints(run: Run) -> dict[str, tuple[str, str | None]]:
    """The hashes of parameters and optimiser of every checkpoint."""
    manifests = {path.name: verify(path) for path in run.checkpoints.iterdir()}
    return {name: (m.parameters_sha256, m.optimizer_sha256) for name, m in manifests.items()}


def steps_of(run: Run, key: str) -> list[int]:
    return [record["step"] for record in run.read_metrics() if key in record]


def wait_for(path: Path, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
