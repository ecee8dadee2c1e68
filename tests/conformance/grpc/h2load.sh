#!/usr/bin/env bash
# A bounded load by h2load against $KVD_GRPC_TARGET: every call must be answered.
set -eu

if ! command -v h2load >/dev/null; then
  echo "SKIPPED: h2load (nghttp2-client) is not installed"
  exit 77
fi
body=$(mktemp)
trap 'rm -f "$body"' EXIT
printf '\0\0\0\0\0' >"$body"
for streams in 1 16 128; do
  out=$(h2load -n 20000 -c 8 -m "$streams" -d "$body" -H 'te: trailers' -H 'content-type: application/grpc' \
    "http://$KVD_GRPC_TARGET/grpc.testing.TestService/EmptyCall")
  echo "$out" | grep -E '^(finished|requests)'
  echo "$out" | grep -q '^requests: 20000 total, 20000 started, 20000 done, 20000 succeeded, 0 failed, 0 errored'
done
