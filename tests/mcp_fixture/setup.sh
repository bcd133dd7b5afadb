#!/bin/sh
# Installs real servers of the Model Context Protocol (npm: filesystem, everything; PyPI: time; about 120 MB) under the cache
# folder, once.
#
# Quick when they are there already: a stamp holds the checksum of the two lists and is written last, so a broken
# installation is never taken for a whole one. `make test` calls this before `cargo test`; without a network the tests that
# need these servers say that they were skipped.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${HARK_CACHE:-$HOME/.cache/hark}
folder=$cache/mcp-servers
stamp=$folder/hark-stamp
want=$(cat "$here/package.json" "$here/requirements.txt" | cksum)

is_there() {
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]
}

if is_there; then
    exit 0
fi

mkdir -p "$cache"
# Two test runs at once: the second waits for the first.
waited=0
until mkdir "$folder.lock" 2>/dev/null; do
    waited=$((waited + 1))
    if [ "$waited" -gt 600 ]; then
        echo "another installation has held $folder.lock for ten minutes; remove it if none is running" >&2
        exit 1
    fi
    sleep 1
    if is_there; then
        exit 0
    fi
done
trap 'rmdir "$folder.lock"' EXIT INT TERM

if is_there; then
    exit 0
fi
if ! command -v npm >/dev/null; then
    echo "npm is missing: the tests with real MCP servers will be skipped; on Debian and Ubuntu: apt-get install npm" >&2
    exit 0
fi
echo "installing MCP servers for the tests into $folder (about 120 MB, once)"
rm -rf "$folder"
mkdir -p "$folder"
cp "$here/package.json" "$folder/"
if ! (cd "$folder" && npm install --no-package-lock --no-audit --no-fund --loglevel=error) ||
    ! python3 -m venv "$folder/venv" ||
    ! "$folder/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"; then
    echo "the MCP servers could not be installed (no network?): the tests with them will be skipped" >&2
    exit 0
fi
printf '%s\n' "$want" >"$stamp"
