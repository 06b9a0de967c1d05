#!/usr/bin/env bash
# Makes the golden run: what test_golden_run.py compares every later version with. Run it from the root of the
# repository with the version that shall be remembered: bash tests/golden/make.sh [PYTHON]
set -euo pipefail
PYTHON=${1:-.venv/bin/python}
HERE=tests/golden
RUN=$HERE/run
TEMPORARY=$(mktemp -d)
trap 'rm -rf "$TEMPORARY"' EXIT
export JAX_PLATFORMS=cpu

rm -rf "$RUN" "$HERE"/expected
mkdir -p "$HERE/expected"
"$PYTHON" train.py configs/toy.toml --run "$RUN" --data.toy_pairs 2000 --data.toy_symbols 8 --data.toy_length 6 \
    --data.vocabulary_size 21 --model.precision float32 --model.encoder_layers 1 --model.decoder_layers 1 --model.width 16 --model.heads 2 \
    --model.feed_forward 32 --model.dropout 0.1 --training.schedule inverse_square_root --training.steps 600 --training.learning_rate 0.006 \
    --training.batch_tokens 512 --training.save_every 300 --training.validate_every 300 --training.keep_last 1 \
    --training.keep_best 2 --training.log_every 100 --training.validation_sentences 40 --devices.data 1 --decoding.rows 8
rm -rf "$RUN/tensorboard" "$RUN/lock" "$RUN/checkpoints/300"
head -n 24 <("$PYTHON" -c "
from data.config import DataConfig
from data.sources import load_corpora
config = DataConfig(corpus='toy', toy_symbols=8, toy_length=6)
print(*(pair.source for pair in load_corpora(config, 'test')[0].pairs), sep='\n')") > "$HERE/expected/source.txt"

"$PYTHON" translate.py "$RUN" --checkpoint 600 --input "$HERE/expected/source.txt" --output "$HERE/expected/greedy.txt"
"$PYTHON" translate.py "$RUN" --checkpoint average --input "$HERE/expected/source.txt" \
    --output "$HERE/expected/beam.jsonl" --beam 4 --n-best 2 --json
"$PYTHON" translate.py "$RUN" --checkpoint 600 --input "$HERE/expected/source.txt" \
    --output "$HERE/expected/samples.txt" --beam 2 --decoding.sampling true --decoding.seed 7
"$PYTHON" evaluate.py "$RUN" --json "$HERE/expected/scores.json"
"$PYTHON" -m dragoman export "$RUN" "$TEMPORARY/export" --format safetensors --checkpoint 600
"$PYTHON" -c "
import hashlib, json, sys
from safetensors.numpy import load_file
arrays = load_file(sys.argv[1])
sums = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in sorted(arrays.items())}
print(json.dumps(sums, indent=1))" "$TEMPORARY/export/model.safetensors" > "$HERE/expected/export.json"

cp -r "$RUN" "$TEMPORARY/resumed"
"$PYTHON" train.py --run "$TEMPORARY/resumed" --training.steps 620 --training.log_every 10
tail -n 3 "$TEMPORARY/resumed/metrics.jsonl" > "$HERE/expected/resumed.jsonl"
du -sh "$HERE"
