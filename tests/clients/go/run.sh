#!/usr/bin/env bash
# run.sh ARGUMENTS...: `go test` with them in this folder. Exit code 77 (skipped) when there is no Go.
set -eu
cd "$(dirname "$0")"
if ! command -v go >/dev/null; then
  echo "SKIPPED: Go is not installed, so the official Go client is not run"
  exit 77
fi
exec go test -count=1 -v "$@"
