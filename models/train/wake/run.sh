#!/bin/bash
# Trains a wake model for PHRASE and measures it. `make train-wake PHRASE="okay nabu"` calls this.
#
#   PHRASE="…"       what it listens for
#   STEPS=1500       steps of training for the phrase; 0.05 s of one core each, and as much in a second process that makes the scenes
#   TRUNK_STEPS=4500 the same for the half of the network that all phrases share; trained once, kept in HARK_TRAIN_DIR/wake/trunk.pt
#   SCALE=1          share of the clips of each kind; 0.1 tries everything out in minutes and makes a bad model
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
wake=$HARK_TRAIN_DIR/wake
[ -e "$wake/noise.npz" ] || "$PYTHON" "$here/bank.py" noise
if ! ls "$wake"/talk-*.npz >/dev/null 2>&1; then
    pids=()
    for part in $(seq "$JOBS"); do
        "$PYTHON" "$here/bank.py" talk "$part" "$JOBS" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
fi
[ -e "$wake/trunk.pt" ] || STEPS=${TRUNK_STEPS:-4500} "$PYTHON" "$here/trunk.py"
"$PYTHON" "$here/bank.py" "$PHRASE"
"$PYTHON" "$here/train.py" "$PHRASE"
"$PYTHON" "$here/held.py" "$PHRASE"
"$PYTHON" "$here/table.py" "$PHRASE" "$OUT/wake-$slug"
if command -v hark >/dev/null; then
    hark bench wake "$OUT/wake-$slug.onnx" --positives "$HARK_TRAIN_DIR/wake/$slug/held-yes" \
        --negatives "$HARK_TRAIN_DIR/wake/$slug/held-no" --negatives "$HARK_TRAIN_DIR/wake/held-no"
else
    echo "measure it: hark bench wake $OUT/wake-$slug.onnx --positives $HARK_TRAIN_DIR/wake/$slug/held-yes --negatives $HARK_TRAIN_DIR/wake/held-no"
fi
