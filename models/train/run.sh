#!/bin/bash
# Trains models/starter.en.bin from nothing: texts, synthetic voices, training, export, evaluation. `make train-starter` calls this.
#
#   MINUTES=100     wall time of training
#   INIT=FILE       start from a checkpoint or from an exported .bin (e.g. models/starter.en.bin) instead of fresh weights
#   RESUME=1        go on with an interrupted run (and its schedule)
#   SCALE=1         share of the training clips to synthesise
#   CLIPS_ONLY=1    only make the clips (the wake models need them, too)
#   SPEECH=DIR      recordings of people with a manifest.csv, for the evaluation only
#   OUT=FILE        where the model goes
#   HARK_TRAIN_DIR  clips, virtual environment, checkpoints (about 12 GB)
#
# Everything starts from fixed seeds; since training is scheduled by wall time, two runs are alike but not equal.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export HARK_TRAIN_DIR=${HARK_TRAIN_DIR:-$HOME/.cache/hark-train}
export OMP_NUM_THREADS=1
OUT=${OUT:-$here/../starter.en.bin}
mkdir -p "$HARK_TRAIN_DIR"

if ! { command -v espeak-ng flite festival && [ -e /usr/share/RHVoice/voices/alan ] && [ -e /usr/share/dict/american-english ]; } >/dev/null; then
    echo "Installing the voices (Debian packages; RHVoice lies in non-free, its voices used here are free, see models/README.md)"
    sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
    # The machine's own mirrors, with the sections that RHVoice and MBROLA lie in.
    if [ -e /etc/apt/sources.list.d/debian.sources ]; then
        sed 's/^Components:.*/Components: contrib non-free/' /etc/apt/sources.list.d/debian.sources | $sudo tee /etc/apt/sources.list.d/hark-train.sources >/dev/null
    else
        sed -n 's/^\(deb [^#]*[[:space:]]\)main.*/\1contrib non-free/p' /etc/apt/sources.list | $sudo tee /etc/apt/sources.list.d/hark-train.list >/dev/null
    fi
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq --no-install-recommends python3-venv espeak-ng libespeak-ng1 flite festival festvox-kallpc16k festvox-kdlpc16k \
        festvox-us-slt-hts rhvoice rhvoice-english wamerican
    # test voices only: MBROLA's licence restricts use, so it is never trained on
    $sudo apt-get install -y -qq --no-install-recommends mbrola mbrola-us1 mbrola-us2 mbrola-en1 || echo "no MBROLA test voices"
fi

venv=$HARK_TRAIN_DIR/venv
export PYTHON=$venv/bin/python
[ -x "$PYTHON" ] || python3 -m venv "$venv"
"$PYTHON" -m pip install -q -r "$here/requirements.txt"

# Whisper's token list and mel filters, from the source package (its dependencies are not needed)
if [ ! -e "$HARK_TRAIN_DIR/assets/gpt2.tiktoken" ]; then
    tmp=$(mktemp -d)
    "$PYTHON" -m pip download -q --no-deps --no-binary :all: -d "$tmp" openai-whisper==20250625
    mkdir -p "$HARK_TRAIN_DIR/assets"
    tar xzf "$tmp"/openai_whisper-*.tar.gz -C "$HARK_TRAIN_DIR/assets" --strip-components=3 --wildcards '*/whisper/assets/*'
    rm -r "$tmp"
fi

"$PYTHON" "$here/vocab.py"
"$here/generate.sh"
[ -z "${CLIPS_ONLY:-}" ] || exit 0
if [ "${RESUME:-}" ]; then
    "$PYTHON" "$here/train.py" --resume
else
    "$PYTHON" "$here/train.py" ${INIT:+--init "$INIT"}
fi
"$PYTHON" "$here/export.py" "$HARK_TRAIN_DIR/run/ema.pt" "$OUT" q5_1
"$PYTHON" "$here/evaluate.py" "$OUT"
