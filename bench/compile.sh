#!/bin/sh
# Builds build/lamina, one executable with everything in it.
#
# --no-code-cache: the default cache is a file of predictable name in /tmp, which a program of root must not trust.
# --no-prompt: a daemon has nobody to ask. Workers are imported statically, so they are embedded without --include.
# `deno compile` downloads its runtime. Where that host cannot be reached, LAMINA_COMPILER (or ../shared/tools/deno-compile)
# may name a program that takes the same arguments and has the runtime from elsewhere.
set -eu
cd "$(dirname "$0")/.."

deno=${DENO:-deno}
fallback=${LAMINA_COMPILER:-../shared/tools/deno-compile}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

mkdir -p build
set -- --allow-all --no-prompt --no-code-cache --output build/lamina cli.ts

if "$deno" compile "$@" >"$log" 2>&1; then
  echo "built build/lamina with $("$deno" --version | head -n 1)"
elif [ -x "$fallback" ]; then
  echo "deno compile failed, trying $fallback; it said:" >&2
  sed 's/^/    /' "$log" >&2
  "$fallback" "$@"
  echo "built build/lamina with $fallback"
else
  cat "$log" >&2
  exit 1
fi
