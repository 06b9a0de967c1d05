#!/usr/bin/env bash
# Everything that is claimed of one GPU, in one call: training speed of the base and the big model, Multi30k from text
# to BLEU, and the speed of translating with the base model. Prints one table at the end.
#
#   benchmarks/gpu.sh DATA OUT [--python PYTHON] [--peer-python PYTHON] [--tiny]
#
# DATA          directory of Multi30k: train, val and test_2016_flickr, .en and .de, plain or .gz
# OUT           new directory for the log of each part, the runs and table.txt
# --python      of Dragoman's environment (default python3)
# --peer-python of an environment with torch, transformers and sentencepiece: Hugging Face beside us
# --tiny        small sizes, to see in a minute or two, on any machine, that all parts run; its figures mean nothing
#
# A part that fails is told in the table, the others go on, and the exit status is 1.
set -euo pipefail

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }

[ $# -ge 2 ] || usage
data=$(realpath "$1"); out=$2; shift 2
python=python3; peer=""; tiny=""
while [ $# -gt 0 ]; do
    case $1 in
        --python) python=$2; shift 2 ;;
        --peer-python) peer=$2; shift 2 ;;
        --tiny) tiny=yes; shift ;;
        *) usage ;;
    esac
done
[ ! -e "$out" ] || { echo "error: $out exists: name a new directory" >&2; exit 2; }
out=$(realpath -m "$out")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHONPATH=$PWD
export XLA_PYTHON_CLIENT_MEM_FRACTION=${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.45}  # the peers need memory beside JAX's

# The path of a text file of the data, plain or compressed.
text() {
    for file in "$data/$1" "$data/$1.gz"; do
        [ -e "$file" ] && { echo "$file"; return; }
    done
    echo "error: $data holds neither $1 nor $1.gz" >&2; exit 2
}
source=$(text train.en); target=$(text train.de); test=$(text test_2016_flickr.en)
mkdir -p "$out"

# Sizes of each part.
base="--layers 6 --width 512 --heads 8 --feed-forward 2048"
big="--layers 6 --width 1024 --heads 16 --feed-forward 4096"
speed="--vocabulary 8000 --batch-tokens 32768 --steps 100 --dropout 0.1 --batching packed --precision bfloat16"
recipe=""
decoder="--model.encoder_layers 6 --model.decoder_layers 6 --model.width 512 --model.heads 8
    --model.feed_forward 2048 --model.precision bfloat16 --training.batch_tokens 8192 --training.steps 1500
    --training.warmup_steps 500 --training.learning_rate 0.0005 --training.validate_every 1500"
lines="--lines 1000 --repeats 3 --batch-size 256 --precision bfloat16"
if [ "$tiny" ]; then
    base="--layers 1 --width 16 --heads 2 --feed-forward 32"
    big="--layers 2 --width 16 --heads 2 --feed-forward 32"
    speed="--vocabulary 320 --batch-tokens 256 --steps 3 --batching packed --precision float32"
    recipe="--model.encoder_layers 1 --model.decoder_layers 1 --model.width 16 --data.vocabulary_size 320
        --training.batch_tokens 128 --training.steps 4 --training.validate_every 2 --decoding.beam 2
        --model.precision float32"
    decoder=$recipe
    lines="--lines 4 --repeats 2 --batch-size 4 --precision float32"
fi

# Runs one part under its name, its output in a log of that name, its seconds in NAME.seconds.
failed=0
part() {
    local name=$1 start=$SECONDS; shift
    echo "==> $name: $out/$name.log"
    if "$@" > "$out/$name.log" 2>&1; then
        echo $((SECONDS - start)) > "$out/$name.seconds"
    else
        failed=1; echo "    failed: $(tail -n 1 "$out/$name.log")"
    fi
}

peers=${peer:+--peer-python $peer --peer-precision bfloat16}
# Options without quotes are lists of words.
part train-base $python benchmarks/train.py --source "$source" --target "$target" $base $speed $peers
part train-big $python benchmarks/train.py --source "$source" --target "$target" $big $speed $peers
part multi30k $python train.py configs/multi30k-en-de.toml --run "$out/m30k" --data.directory "$data" $recipe
part multi30k-scores $python evaluate.py "$out/m30k" --json "$out/multi30k.json"
part base-run $python train.py configs/multi30k-en-de.toml --run "$out/base" --data.directory "$data" $decoder
part decode $python benchmarks/decode.py "$out/base" "$test" --beams 4 --ctranslate2-precision $lines \
    ${peer:+--peer-python $peer}
$python benchmarks/gpu_table.py "$out" | tee "$out/table.txt"
exit $failed
