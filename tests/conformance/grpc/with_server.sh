#!/usr/bin/env bash
# with_server.sh SERVER COMMAND...: starts SERVER (grpc_test_server), runs COMMAND with KVD_GRPC_TARGET=HOST:PORT, stops
# the server by SIGTERM and fails when either failed. Exit code 77 (skipped) when COMMAND needs Go and there is none.
set -eu

server=$1
shift
if [ "$1" = --needs-go ]; then
  shift
  if ! command -v go >/dev/null; then
    echo "SKIPPED: Go is not installed, so the official Go client is not run"
    exit 77
  fi
fi

log=$(mktemp)
"$server" 0 >"$log" 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null || true; rm -f "$log"' EXIT
for _ in $(seq 100); do
  port=$(sed -n 's/^listening on port //p' "$log")
  [ -n "$port" ] && break
  sleep 0.1
done
if [ -z "$port" ]; then
  echo "the server did not start:" >&2
  cat "$log" >&2
  exit 1
fi

failed=0
KVD_GRPC_TARGET=127.0.0.1:$port "$@" || failed=$?
kill -TERM "$pid"
if ! wait "$pid"; then
  echo "the server did not end well" >&2
  failed=1
fi
[ "$failed" = 0 ] || cat "$log" >&2
exit "$failed"
