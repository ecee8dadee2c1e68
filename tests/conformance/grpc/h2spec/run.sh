#!/usr/bin/env bash
# Runs h2spec against $KVD_GRPC_TARGET and compares what fails with the known deviations below it. A new failure
# fails, and so does a deviation that is gone, so that the list stays true.
set -eu
cd "$(dirname "$0")"

# The port speaks HTTP/1.1 too, so a preface that is none gets HTTP/1.1's 400 before the connection is closed.
# nghttp2 ignores DATA on streams that it has forgotten. PRIORITY is RFC 9113's to ignore.
expected=$(sort <<'LIST'
2: Sends invalid connection preface
8: closed: Sends a DATA frame after sending RST_STREAM frame
11: closed: Sends a DATA frame
2: Sends PRIORITY frame that depend on itself
LIST
)

out=$(mktemp)
trap 'rm -f "$out"' EXIT
go tool h2spec -h "${KVD_GRPC_TARGET%:*}" -p "${KVD_GRPC_TARGET##*:}" -P / -o 5 >"$out" 2>&1 || true
if ! grep -q '^[0-9]* tests, ' "$out"; then
  cat "$out"
  exit 1
fi
actual=$(sed -n '/^Failures:/,$s/^ *× //p' "$out" | sort)
grep '^[0-9]* tests, ' "$out"
if [ "$actual" != "$expected" ]; then
  sed -n '/^Failures:/,$p' "$out"
  diff <(echo "$expected") <(echo "$actual")
  exit 1
fi
