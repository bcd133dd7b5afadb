#!/bin/sh
# Installs the clients that the gateway is tested with (the openai and ollama packages) and a second real server (llama.cpp's,
# from the xllamacpp wheel) into a virtual environment under the cache folder, once (about 300 MB, from PyPI).
#
# Quick when it is there already: a stamp holds the checksum of requirements.txt and is written last. `make test` calls this
# before `cargo test`. Without a network it says so and leaves nothing behind; the tests then say what they skip.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${HARK_CACHE:-$HOME/.cache/hark}
venv=$cache/gateway-venv
stamp=$venv/hark-stamp
want=$(cksum <"$here/requirements.txt")

is_there() {
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && "$venv/bin/python" -c 'import sys' 2>/dev/null
}

if is_there; then
    exit 0
fi

mkdir -p "$cache"
# Two test runs at once: the second waits for the first.
waited=0
until mkdir "$venv.lock" 2>/dev/null; do
    waited=$((waited + 1))
    if [ "$waited" -gt 600 ]; then
        echo "another installation has held $venv.lock for ten minutes; remove it if none is running" >&2
        exit 1
    fi
    sleep 1
    if is_there; then
        exit 0
    fi
done
trap 'rmdir "$venv.lock"' EXIT INT TERM

if is_there; then
    exit 0
fi
echo "installing the gateway's test clients into $venv (about 300 MB, once)"
rm -rf "$venv"
if ! python3 -m venv "$venv"; then
    echo "python3 cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 1
fi
if ! "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"; then
    rm -rf "$venv"
    echo "the gateway's test clients cannot be installed (no network?): their tests will be skipped" >&2
    exit 0
fi
printf '%s\n' "$want" >"$stamp"
