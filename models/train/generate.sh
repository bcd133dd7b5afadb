#!/bin/bash
# Makes all clips: tests first (they are small), then training, one process per core. SCALE=0.1 makes a tenth of the training clips.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
PYTHON=${PYTHON:-python3}
SCALE=${SCALE:-1}
mkdir -p "$HARK_TRAIN_DIR/clips"
job() { # NAME VOICE KIND N SEED; finished jobs are skipped, an interrupted one is made anew
    [ -e "$HARK_TRAIN_DIR/clips/$1.done" ] && return
    rm -f "$HARK_TRAIN_DIR/clips/$1.pcm" "$HARK_TRAIN_DIR/clips/$1.jsonl"
    OMP_NUM_THREADS=1 "$PYTHON" "$here/synth.py" "$@" && touch "$HARK_TRAIN_DIR/clips/$1.done"
}
n() { "$PYTHON" -c "print(max(50, int($1 * $SCALE)))"; }
tests() {
    for v in espeak-held rhvoice-held flite-held festival-held mbrola-held; do
        job "test-known-$v" $v known 60 1
        job "test-held-$v" $v held 60 1
    done
    for v in espeak-default espeak-variant rhvoice flite; do
        job "test-held-$v" $v held 60 2
    done
    job test-known-espeak-default espeak-default known 100 3
    job test-known-piper-held piper-held known 60 1 || true
    job test-held-piper-held piper-held held 60 1 || true
}
(
    job train-espeak-default-1 espeak-default train "$(n 2000)" 11
    job train-espeak-variant-1 espeak-variant train "$(n 8000)" 12
    job train-espeak-plain-1 espeak-plain train "$(n 5000)" 13
    tests
    job train-espeak-default-2 espeak-default train "$(n 6000)" 14
    job train-espeak-plain-2 espeak-plain train "$(n 10000)" 15
    job train-espeak-variant-2 espeak-variant train "$(n 30000)" 16
    # the wordings of the domain in the voices that the demo and the tests use
    job train-espeak-default-3 espeak-default known "$(n 10000)" 17
) &
first=$!
(
    for part in 1 2 3 4; do
        job train-flite-$part flite train "$(n 2500)" $((20 + part))
        job train-rhvoice-$part rhvoice train "$(n 4500)" $((30 + part))
        job train-festival-$part festival train "$(n 1200)" $((40 + part))
    done
) &
wait $first
wait
