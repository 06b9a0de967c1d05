#!/usr/bin/env bash
# All benchmarks for a single GPU, in one call: training speed of the base and big models, the Multi30k recipe from text
# to BLEU, and the translation speed of the base model. The most important part comes first.
#
#   benchmarks/gpu.sh DATA OUT [--python PYTHON] [--peer-python PYTHON] [--only PARTS] [--limit SECONDS] [--tiny]
#
# DATA          directory of Multi30k: train, val and test_2016_flickr, .en and .de, plain or .gz
# OUT           directory for the output and the log of each part, the runs and table.txt
# --python      Python with Dragoman's dependencies and JAX for the GPU (default python3), as installed by
#               `pip install -e '.[cuda13]'`; Dragoman itself need not be installed
# --peer-python Python with torch, transformers and sentencepiece, to compare with Hugging Face
# --only        the parts to run: some of train-base,multi30k,train-big,decode, which run in this order
# --limit       seconds that each step of a part may take, instead of its default limit
# --tiny        small sizes, to check within minutes, on any machine, that all parts run; the figures are meaningless
#
# Each part prints its rows when it ends, and keeps its log. The row of a part that fails, or exceeds its time limit,
# says so and how far it got; the other parts still run, and the exit status is 1. Both Pythons are tested first: one
# that finds no GPU is an error. A part whose log is already in OUT is not run again: name a new directory.
#
# Default limits in seconds: train-base 300, multi30k 400 and 100 to score, train-big 300, decode 400 to train a model
# and 300 to translate.
set -euo pipefail

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }

# A program's path from the root; a link stays one, as it tells Python its environment.
found() { case $1 in */*) realpath -s "$1" ;; *) echo "$1" ;; esac; }

refuse() { echo "error: $1" >&2; exit 2; }

[ $# -ge 2 ] || usage
data=$(realpath "$1"); out=$2; shift 2
python=python3; peer=""; tiny=""; limit=""; parts=train-base,multi30k,train-big,decode
while [ $# -gt 0 ]; do
    case $1 in
        --python) python=$(found "$2"); shift 2 ;;
        --peer-python) peer=$(found "$2"); shift 2 ;;
        --only) parts=$2; shift 2 ;;
        --limit) limit=$2; shift 2 ;;
        --tiny) tiny=yes; shift ;;
        *) usage ;;
    esac
done
[[ $limit =~ ^[1-9][0-9]*$|^$ ]] || refuse "--limit is $limit: expected seconds"
out=$(realpath -m "$out")
for name in ${parts//,/ }; do
    case $name in
        train-base|train-big|multi30k|decode) ;;
        *) refuse "--only: no part $name: there are train-base, multi30k, train-big and decode" ;;
    esac
    [ ! -e "$out/$name.log" ] || refuse "$out/$name.log exists: name a new directory"
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
export XLA_PYTHON_CLIENT_MEM_FRACTION=${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.45}  # the peers need memory beside JAX's

# The path of a text file of the data, plain or compressed.
text() {
    for file in "$data/$1" "$data/$1.gz"; do
        [ -e "$file" ] && { echo "$file"; return; }
    done
    refuse "$data holds neither $1 nor $1.gz"
}
source=$(text train.en); target=$(text train.de); test=$(text test_2016_flickr.en)
for name in val.en val.de test_2016_flickr.de; do text $name > /dev/null; done

# Refuses a Python that does not import what the parts need, or that would be measured without the GPU.
try() {
    local said
    said=$("$1" -c "$2" 2>&1) || refuse "$1: ${said##*$'\n'}"
}
on_gpu=${tiny:+or True}
try "$python" "import dragoman.commands.train, jax; assert jax.default_backend() == 'gpu' $on_gpu, 'JAX finds no GPU'"
[ -z "$peer" ] || try "$peer" "import sentencepiece, torch, transformers
assert torch.cuda.is_available() $on_gpu, 'PyTorch finds no GPU'"
mkdir -p "$out"

# Sizes of each part.
base="--size base"
big="--size big"
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

# step PART NAME LIMIT COMMAND...: runs one step of a part under its name, for so many seconds at most: output in
# NAME.out, progress and errors in NAME.log, seconds in NAME.seconds once it has ended well.
failed=0 broken=""
step() {
    local part=$1 name=$2 most=${limit:-$3} start=$SECONDS status=0; shift 3
    [[ ,$parts, == *,$part,* && $broken != "$part" ]] || return 0
    echo "==> $name, at most $most s: $out/$name.log"
    timeout --kill-after=20 "$most" "$@" > "$out/$name.out" 2> "$out/$name.log" || status=$?
    if [ $status = 0 ]; then
        echo $((SECONDS - start)) > "$out/$name.seconds"
    else
        failed=1 broken=$part
        [ $status -lt 124 ] || echo "$most" > "$out/$name.cut"
    fi
}

# Prints the rows of a part that has ended, or how far it got.
show() {
    [[ ,$parts, == *,$1,* ]] || return 0
    "$python" benchmarks/gpu_table.py "$out" "$1" | tee -a "$out/table.txt"
}

peers=${peer:+--peer-python $peer --peer-precision bfloat16 --peer-compiled}
# Options without quotes are lists of words.
step train-base train-base 300 "$python" benchmarks/train.py --source "$source" --target "$target" $base $speed $peers
show train-base
step multi30k multi30k 400 "$python" train.py configs/multi30k-en-de-gpu.toml --run "$out/m30k" \
    --data.directory "$data" $recipe
step multi30k multi30k-scores 100 "$python" evaluate.py "$out/m30k" --json "$out/multi30k.json"
show multi30k
step train-big train-big 300 "$python" benchmarks/train.py --source "$source" --target "$target" $big $speed $peers
show train-big
step decode base-run 400 "$python" train.py configs/multi30k-en-de.toml --run "$out/base" --data.directory "$data" $decoder
step decode decode 300 "$python" benchmarks/decode.py "$out/base" "$test" --beams 4 --ctranslate2-precision $lines \
    ${peer:+--peer-python "$peer"}
show decode
exit $failed
