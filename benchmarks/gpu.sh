#!/usr/bin/env bash
# Everything that is claimed of one GPU, in one call: training speed of the base and the big model, Multi30k from text
# to BLEU, and the speed of translating with the base model. Prints one table at the end.
#
#   benchmarks/gpu.sh DATA OUT [--python PYTHON] [--peer-python PYTHON] [--only PARTS] [--tiny]
#
# DATA          directory of Multi30k: train, val and test_2016_flickr, .en and .de, plain or .gz
# OUT           directory for the output and the log of each part, the runs and table.txt
# --python      of Dragoman's environment (default python3), with JAX for the GPU: `pip install -e '.[cuda13]'`
# --peer-python of an environment with torch, transformers and sentencepiece: Hugging Face beside us
# --only        some of train-base,train-big,multi30k,decode: where a call may last so long and no longer
# --tiny        small sizes, to see in a few minutes, on any machine, that all parts run; its figures mean nothing
#
# Both Pythons are tried first: one that finds no GPU is refused. A part that fails is told in the table, the others go
# on, and the exit status is 1. A part that OUT holds already is never run again: name a new directory.
set -euo pipefail

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }

# A program's path from the root; a link stays one, as it tells Python its environment.
found() { case $1 in */*) realpath -s "$1" ;; *) echo "$1" ;; esac; }

refuse() { echo "error: $1" >&2; exit 2; }

[ $# -ge 2 ] || usage
data=$(realpath "$1"); out=$2; shift 2
python=python3; peer=""; tiny=""; parts=train-base,train-big,multi30k,decode
while [ $# -gt 0 ]; do
    case $1 in
        --python) python=$(found "$2"); shift 2 ;;
        --peer-python) peer=$(found "$2"); shift 2 ;;
        --only) parts=$2; shift 2 ;;
        --tiny) tiny=yes; shift ;;
        *) usage ;;
    esac
done
out=$(realpath -m "$out")
for name in ${parts//,/ }; do
    case $name in
        train-base|train-big|multi30k|decode) ;;
        *) refuse "--only: no part $name: there are train-base, train-big, multi30k and decode" ;;
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
try "$python" "import evaluate, train, jax; assert jax.default_backend() == 'gpu' $on_gpu, 'JAX finds no GPU'"
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

# Runs one step of a part under its name: output in NAME.out, progress and errors in NAME.log, seconds in NAME.seconds.
failed=0
step() {
    local part=$1 name=$2 start=$SECONDS; shift 2
    [[ ,$parts, == *,$part,* ]] || return 0
    echo "==> $name: $out/$name.log"
    if "$@" > "$out/$name.out" 2> "$out/$name.log"; then
        echo $((SECONDS - start)) > "$out/$name.seconds"
    else
        failed=1; echo "    failed: $(tail -n 1 "$out/$name.log")"
    fi
}

peers=${peer:+--peer-python $peer --peer-precision bfloat16}
# Options without quotes are lists of words.
step train-base train-base "$python" benchmarks/train.py --source "$source" --target "$target" $base $speed $peers
step train-big train-big "$python" benchmarks/train.py --source "$source" --target "$target" $big $speed $peers
step multi30k multi30k "$python" train.py configs/multi30k-en-de.toml --run "$out/m30k" --data.directory "$data" $recipe
step multi30k multi30k-scores "$python" evaluate.py "$out/m30k" --json "$out/multi30k.json"
step decode base-run "$python" train.py configs/multi30k-en-de.toml --run "$out/base" --data.directory "$data" $decoder
step decode decode "$python" benchmarks/decode.py "$out/base" "$test" --beams 4 --ctranslate2-precision $lines \
    ${peer:+--peer-python "$peer"}
"$python" benchmarks/gpu_table.py "$out" | tee "$out/table.txt"
exit $failed
