#!/bin/bash
# Trains a wake model for PHRASE and measures it. `make train-wake PHRASE="okay nabu"` calls this.
#
#   PHRASE="…"       what it listens for
#   STEPS=1500       steps of training; 0.16 s of one core each
#   OUT=FOLDER       where wake-….onnx and .toml go (models/)
#   HARK_TRAIN_DIR   clips, virtual environment; the training clips of the speech model are made first if they are missing
#   JOBS=2           processes that make clips and features
#
# Everything starts from fixed seeds.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
: "${PHRASE:?name the phrase: make train-wake PHRASE=\"okay nabu\"}"
export HARK_TRAIN_DIR=${HARK_TRAIN_DIR:-$HOME/.cache/hark-train}
export OMP_NUM_THREADS=1
JOBS=${JOBS:-2}
OUT=${OUT:-$here/../..}
if ! ls "$HARK_TRAIN_DIR"/clips/train-*.done >/dev/null 2>&1; then
    echo "The voices of the speech model's recipe are needed first (SCALE=0.1 of its clips are enough here)"
    SCALE=${SCALE:-0.1} CLIPS_ONLY=1 "$here/../run.sh"
fi
PYTHON=${PYTHON:-$HARK_TRAIN_DIR/venv/bin/python}
slug=$(echo "$PHRASE" | tr 'A-Z ' 'a-z-')
mkdir -p "$HARK_TRAIN_DIR/wake"

"$PYTHON" "$here/say.py" "$PHRASE"
pids=()
for part in $(seq "$JOBS"); do
    [ -e "$HARK_TRAIN_DIR/wake/general-$part.npz" ] || "$PYTHON" "$here/bank.py" general $((9000 / JOBS)) "$part" &
    pids+=($!)
done
wait "${pids[@]}"
pids=()
for part in $(seq "$JOBS"); do
    "$PYTHON" "$here/bank.py" "$PHRASE" "$part" "$JOBS" &
    pids+=($!)
done
wait "${pids[@]}"
"$PYTHON" "$here/train.py" "$PHRASE"
"$PYTHON" "$here/held.py" "$PHRASE"
"$PYTHON" "$here/table.py" "$PHRASE" "$OUT/wake-$slug"
if command -v hark >/dev/null; then
    hark bench wake "$OUT/wake-$slug.onnx" --positives "$HARK_TRAIN_DIR/wake/$slug/held-yes" \
        --negatives "$HARK_TRAIN_DIR/wake/$slug/held-no" --negatives "$HARK_TRAIN_DIR/wake/held-no"
else
    echo "measure it: hark bench wake $OUT/wake-$slug.onnx --positives $HARK_TRAIN_DIR/wake/$slug/held-yes --negatives $HARK_TRAIN_DIR/wake/held-no"
fi
