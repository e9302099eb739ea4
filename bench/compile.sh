#!/bin/sh
# Builds build/lamina, one executable with everything in it (OUTPUT and ENTRY make another one, to compare with). Arguments go to `deno compile`: --target aarch64-unknown-linux-gnu.
#
# --no-code-cache: the default cache is a file of predictable name in /tmp, which a program of root must not trust.
# --no-prompt: a daemon has nobody to ask.
# --no-lock, --no-check, --exclude: else all that the lock file and the check need would be embedded, and looked through at
# each start.
# --v8-flags: an agent that once had much to do would else keep 64 MB for what is young and soon gone; gc() is for
# lib/agent/idle_memory.ts.
# Workers need no --include, since something imports them.
# `deno compile` downloads its runtime. A program that takes the same arguments and has the runtime of this machine from
# elsewhere is used where LAMINA_COMPILER names it; ../shared/tools/deno-compile, where the download fails.
set -eu
cd "$(dirname "$0")/.."

deno=${DENO:-deno}
fallback=../shared/tools/deno-compile
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Files anywhere, by the C library too; programs: zstd, newuidmap, mount programs, lamina itself; and HTTP on unix sockets,
# under the name "lamina". $1 is what compiles: newer versions of Deno want the path of each socket, or all of the network.
permissions() {
  echo --allow-ffi --allow-read --allow-write --allow-run --allow-env --allow-sys=uid,gid,userInfo
  if $1 --help | grep -q unix:; then echo --allow-net; else echo --allow-net=lamina:80; fi
}

# The parts of the standard library that lib/deps.ts does not name.
excludes() {
  "$deno" cache --quiet cli.ts >&2
  cache=$("$deno" info --json | sed -n 's/^ *"npmCache": "\(.*\)",$/\1/p')
  for directory in "$cache"/registry.npmjs.org/deno-std/*/*/; do
    grep -q "npm:deno-std@[^/]*/$(basename "$directory")/" lib/deps.ts || echo "--exclude=${directory%/}"
  done
}

# shellcheck disable=SC2046,SC2086 # words
compile() {
  $1 $(permissions "$1") $left_out --no-prompt --no-code-cache --no-lock --no-check --v8-flags=--max-semi-space-size=8,--expose-gc --output "$output" $options "$entry"
}

# with COMPILER: uses the program that stands in for deno compile.
with() {
  if [ "${options#*--target}" != "$options" ]; then
    echo "$1 has the runtime of this machine only: without it, deno compile has to reach dl.deno.land" >&2
    exit 1
  fi
  compile "$1"
  echo "built $output with $1"
}

options=$*
entry=${ENTRY:-cli.ts} output=${OUTPUT:-build/lamina}
left_out=$(excludes)
mkdir -p build
if [ -n "${LAMINA_COMPILER-}" ]; then
  with "$LAMINA_COMPILER"
elif compile "$deno compile" >"$log" 2>&1; then
  echo "built $output with $("$deno" --version | head -n 1)"
else
  echo "deno compile failed; it said:" >&2
  sed 's/^/    /' "$log" >&2
  [ -x "$fallback" ] || exit 1
  with "$fallback"
fi
