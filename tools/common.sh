# Sourced by the other tools: where things are, and how they speak.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
BUILD=${KUBE_PPROF_BUILD:-$ROOT/build}
KP_CLUSTER=$BUILD/e2e/kp-cluster
export KUBE_PPROF_E2E=$ROOT/e2e

say() { if [ -t 2 ]; then printf '\033[1m==> %s\033[0m\n' "$*" >&2; else printf '==> %s\n' "$*" >&2; fi; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# The Go toolchain fetches the version a module names, unless it was told not to and is older.
go_ready() {
  command -v go >/dev/null || die "go is not on the PATH: install Go 1.21 or later (https://go.dev/dl) and try again"
  local have; have=$(go env GOVERSION)
  if [ "$(printf '%s\n' go1.26 "$have" | sort -V | head -1)" != go1.26 ] && [ "$(go env GOTOOLCHAIN)" = local ]; then export GOTOOLCHAIN=auto; fi
}

# Our own programs of e2e/: the cluster and the image packer.
harness() {
  go_ready
  mkdir -p "$BUILD/e2e"
  (cd "$ROOT/e2e" && CGO_ENABLED=0 GOFLAGS="-mod=mod -buildvcs=false" go build -o "$BUILD/e2e/" ./cmd/...)
}

# quiet LOG CMD...: run CMD with its output in LOG; show the end of it if it fails
quiet() {
  local log=$1; shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 && return
  local rc=$?
  tail -n "${KP_TAIL:-60}" "$log" >&2
  echo "(all of it: $log)" >&2
  return $rc
}
