#!/usr/bin/env bash
# All that one GPU is asked to show, in ten minutes at most: the tests marked gpu; one mask; every token of a text;
# fine-tuning of the bundled model and of BERT-base's shape against Trainer (bf16, length grouping), by turns, with the
# share of the peak and the memory. Each part leaves a file in FOLDER; the same command again does what is missing, and
# FOLDER/table.md is what belongs into benchmarks/README.md.
#
#   benchmarks/gpu.sh FOLDER [SECONDS]       on a GPU; needs torch, transformers, accelerate and pytest
#   benchmarks/gpu.sh --rehearse FOLDER      on a CPU, with small numbers: shows that the script runs, measures nothing
set -uo pipefail

rehearse=
if [ "${1:-}" = --rehearse ]; then rehearse=yes; shift; fi
if [ $# -lt 1 ]; then sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; fi
mkdir -p "$1" || exit 2
out=$(cd "$1" && pwd)
ends=$(($(date +%s) + ${2:-600}))
cd "$(dirname "$0")/.." || exit 2
python=${PYTHON:-python}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" TOKENIZERS_PARALLELISM=false BERTDEMO_HOME="$out/home"

if [ -n "$rehearse" ]; then
    export BERTDEMO_REHEARSE_GPU=1 CUDA_VISIBLE_DEVICES=
    rows=24 few="--rows 24 --passes 1 --batch 8" base="--rows 12 --passes 1 --batch 8" models="mini-bert" more="--times 2" tokens=6
    # BERT-base's shape takes minutes on a CPU: the rehearsal trains the bundled model in its place
    large=mini-bert
else
    rows=6000 few="--rows 6000 --passes 2 --batch 128" base="--rows 2400 --passes 1 --batch 64" models="mini-bert bert-base"
    more="--times 50" tokens=70 large=bert-base
fi

# part NAME SECONDS COMMAND...: its output becomes NAME.md, unless it is there already or the time is over.
failed=0
part() {
    local name=$1 most=$2 left=$((ends - $(date +%s)))
    shift 2
    [ -s "$out/$name.md" ] && { echo "$name: there already"; return; }
    [ "$left" -lt 5 ] && { echo "$name: no time left, run the same command again"; failed=1; return; }
    [ "$left" -lt "$most" ] && most=$left
    if timeout "$most" "$@" >"$out/$name.part" 2>"$out/$name.log"; then
        mv "$out/$name.part" "$out/$name.md"
        echo "$name: done, $((ends - $(date +%s))) s left"
    else
        echo "$name: failed or took over $most s, see $out/$name.log"
        failed=1
    fi
}

[ -s "$out/rows.csv" ] || "$python" benchmarks/gpu/made_rows.py "$rows" "$out/rows.csv" || exit 1
part 1-tests 150 "$python" -m pytest -q -m gpu -p no:cacheprovider tests/mlm/models/test_gpu.py
part 2-training-bundled 150 "$python" benchmarks/training.py --csv "$out/rows.csv" $few --tuned-only --notebook-steps 0
part 3-training-large 200 "$python" benchmarks/training.py --model $large --csv "$out/rows.csv" $base --tuned-only --notebook-steps 0
part 4-filling 60 "$python" benchmarks/filling.py --models $models $more
part 5-scanning 90 "$python" benchmarks/scanning.py --models $models --tokens $tokens
for file in "$out"/[1-9]-*.md; do
    [ -s "$file" ] && { echo "### $(basename "$file" .md)"; echo; grep -v "^{'train_runtime" "$file"; echo; }
done >"$out/table.md"
echo "written: $out/table.md"
exit $failed
