# Sourced by the other tools: where things are, and how they speak.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
BUILD=${KUBE_PPROF_BUILD:-$ROOT/build}
KP_CLUSTER=$BUILD/e2e/kp-cluster
export KUBE_PPROF_E2E=$ROOT/e2e

say() { if [ -t 2 ]; then printf '\033[1m==> %s\033[0m\n' "$*" >&2; else printf '==> %s\n' "$*" >&2; fi; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# What a release is called, which commit it is of ("-dirty" when files differ from it), and when that was made: seconds since 1970, which
# is the time of everything that is made of it.
version() { sed -n 's/^project(kube-pprof VERSION \([0-9.]*\).*/\1/p' "$ROOT/CMakeLists.txt"; }
is_dirty() { [ -n "$(git -C "$ROOT" status --porcelain 2>/dev/null)" ]; }
revision() { local r; r=$(git -C "$ROOT" rev-parse HEAD 2>/dev/null) || { echo unknown; return; }; if is_dirty; then r+=-dirty; fi; echo "$r"; }
epoch() { echo "${SOURCE_DATE_EPOCH:-$(git -C "$ROOT" log -1 --format=%ct 2>/dev/null || echo 1)}"; }
native() { case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) die "no name for the architecture $(uname -m)" ;; esac; }

# build_for ARCH TARGET...: the optimised programs for ARCH (amd64, arm64): they are in $BIN, the libraries they need below $SYSROOT, which is
# empty for this machine's own.
build_for() {
  local arch=$1 preset=release configure=()
  shift
  SYSROOT=
  if [ "$arch" != "$(native)" ]; then
    SYSROOT=$("$ROOT/tools/sysroot" "$arch")
    preset=release-$arch configure=("-DCMAKE_TOOLCHAIN_FILE=$ROOT/cmake/cross.cmake" "-DKP_CROSS_ARCH=$arch" "-DKP_CROSS_SYSROOT=$SYSROOT" -UCMAKE_C_COMPILER)
  fi
  BIN=$BUILD/$preset/bin
  quiet "$BUILD/logs/$preset.log" cmake -S "$ROOT" --preset release -B "$BUILD/$preset" "${configure[@]}"
  quiet "$BUILD/logs/$preset.log" cmake --build "$BUILD/$preset" --target "$@"
}
strip_to() { if [ -n "$SYSROOT" ]; then llvm-strip-14 -o "$1" "$2"; else strip -o "$1" "$2"; fi; }

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

# failures LOG: of what tests said (go test -v) the end without what passed, and after it the sentences that say what failed, which what
# was dumped with them would hide.
failures() {
  { grep -vE '^(=== |ok |\?|--- PASS|    --- PASS)' "$1" || true; } | tail -n 120 >&2
  echo "(all of it: $1) Of that:" >&2
  { grep -E '^ *[a-z0-9_]+\.go:[0-9]+: ' "$1" | grep -v '(bound ' || true; } | cut -c1-1000 | tail -n 30 >&2
}
