#!/bin/sh
# Builds build/lamina, one executable with everything in it (OUTPUT and ENTRY make another one, to compare with). Arguments go to `deno compile`: --target aarch64-unknown-linux-gnu.
#
# --no-code-cache: the default cache is a file of predictable name in /tmp, which a program of root must not trust.
# --no-prompt: a daemon has nobody to ask.
# --no-lock, --no-check, --exclude: else all that the lock file and the check need would be embedded, and looked through at
# each start.
# Workers need no --include, since something imports them.
# `deno compile` downloads its runtime. Where that host cannot be reached, LAMINA_COMPILER (or ../shared/tools/deno-compile)
# may name a program that takes the same arguments and has the runtime from elsewhere.
set -eu
cd "$(dirname "$0")/.."

deno=${DENO:-deno}
fallback=${LAMINA_COMPILER:-../shared/tools/deno-compile}
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
  $1 $(permissions "$1") $excludes --no-prompt --no-code-cache --no-lock --no-check --output "$output" $options "$entry"
}

options=$*
entry=${ENTRY:-cli.ts} output=${OUTPUT:-build/lamina}
excludes=$(excludes)
mkdir -p build
if compile "$deno compile" >"$log" 2>&1; then
  echo "built $output with $("$deno" --version | head -n 1)"
elif [ -x "$fallback" ] && [ "${options#*--target}" != "$options" ]; then
  cat "$log" >&2
  echo "$fallback has the runtime of this machine only" >&2
  exit 1
elif [ -x "$fallback" ]; then
  echo "deno compile failed, trying $fallback; it said:" >&2
  sed 's/^/    /' "$log" >&2
  compile "$fallback"
  echo "built $output with $fallback"
else
  cat "$log" >&2
  exit 1
fi
