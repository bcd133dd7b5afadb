#!/usr/bin/env bash
# Type-checks and lints the whole crate for macOS (aarch64-apple-darwin) on a Debian machine: no Mac, SDK or linker.
#
#   .ci/macos-check.sh             the working tree: library, binary, tests, benches; warnings are errors
#   .ci/macos-check.sh --bites     proves that the check can fail: plants a type error in a macOS module of a copy
#   .ci/macos-check.sh --install   installs the tools first (apt-get, needs root), then checks; may precede --bites
#
# Exit status: 0 passed, 1 failed, 77 the tools are missing and were not asked to be installed.
#
# How it works: Debian's `rustc-web` package is a compiler of the version that `rust-web-src` has the library source of,
# so cargo can build `std` for a target that no Debian package carries. Nothing is linked, hence the C compiler that build
# scripts call may be a stand-in that leaves empty files. What it cannot see: wrong Objective-C selectors, missing
# frameworks and entitlements, and the C++ and Metal code inside dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."

triple=aarch64-apple-darwin
packages=(rustc-web cargo-web rust-web-src rust-web-clippy)
# Kept outside the tree, so that a fresh clone on the same machine does not build std again (12 minutes of one core).
out=${HARK_CACHE:-$HOME/.cache/hark}/macos-check
planted=src/platform/macos/speech.rs

say() { printf 'macos-check: %s\n' "$*" >&2; }

have_tools() {
  [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] && [ -x /usr/bin/clippy-driver ] &&
    [ -e "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml" ]
}

install_tools() {
  have_tools && return
  say "installing ${packages[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

# A C compiler and archiver for build scripts: answers questions about itself and makes each output an empty file.
make_stand_in() {
  mkdir -p "$out"
  cat >"$out/cc.new" <<'SH'
#!/bin/sh
for word in "$@"; do
  case $word in
    -dumpmachine) echo arm64-apple-darwin; exit 0 ;;
    --version) echo "Apple clang version 17.0.0"; exit 0 ;;
    -E) echo clang; exit 0 ;;
  esac
done
file=
while [ $# -gt 0 ]; do
  case $1 in
    -o) file=$2; shift ;;
    *.a) [ -n "$file" ] || file=$1 ;;
  esac
  shift
done
[ -z "$file" ] || : >"$file"
SH
  chmod +x "$out/cc.new"
  mv -f "$out/cc.new" "$out/cc"
}

# Runs clippy, which type-checks on the way, over the crate in folder $1. Dependencies are shared between folders.
lint() {
  local suffix=${triple//-/_}
  (
    cd "$1"
    # The Debian tools must win over rustup's; DOCS_RS and the bindings switch keep whisper-rs-sys from cmake and clang.
    export PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 SDKROOT=/ CARGO_TARGET_DIR=$out
    export "CC_$suffix=$out/cc" "CXX_$suffix=$out/cc" "AR_$suffix=$out/cc" "RANLIB_$suffix=$out/cc"
    export DOCS_RS=1 WHISPER_DONT_GENERATE_BINDINGS=1
    unset RUSTUP_TOOLCHAIN RUSTFLAGS
    /usr/bin/cargo clippy -Z build-std=std,panic_abort,test --target "$triple" --locked --all-targets -- -D warnings
  )
}

# Copies what git would commit, so that nothing planted can ever be left in the working tree.
bites() {
  local copy log
  copy=$(mktemp -d "${TMPDIR:-/tmp}/hark-macos-bites.XXXXXX")
  log=$copy.log
  # shellcheck disable=SC2064 # the folder is known now
  trap "rm -rf '$copy' '$log'" EXIT
  git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
  done | tar --null --files-from=- -cf - | tar -xf - -C "$copy"
  printf '\n/// Planted by the check of the check.\n#[must_use]\npub fn planted() -> u32 {\n    "a text"\n}\n' >>"$copy/$planted"
  if lint "$copy" >"$log" 2>&1; then
    say "a type error in $planted was NOT noticed"
    return 1
  fi
  if ! grep -q '^error\[E0308\]' "$log" || ! grep -q -- "--> $planted:" "$log"; then
    say "the check failed, but not of the planted error:"
    cat "$log" >&2
    return 1
  fi
  say "a type error in $planted fails the check with E0308, as it should"
}

mode=check
for word in "$@"; do
  case $word in
    --install) install_tools ;;
    --bites) mode=bites ;;
    *) say "unknown argument $word"; exit 2 ;;
  esac
done
if ! have_tools; then
  say "not run: the tools are missing. Install them with: apt-get install --no-install-recommends ${packages[*]}"
  exit 77
fi
make_stand_in
started=$SECONDS
if [ "$mode" = bites ]; then
  bites
else
  lint "$PWD"
  say "the crate type-checks for $triple ($((SECONDS - started)) s)"
fi
