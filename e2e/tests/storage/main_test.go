// Package storage shows what the registry does when its disk fails: full, read-only, broken, slow, with flipped bits, on another node, and
// with the data of a newer program. Each is said in readyz, metrics, log and status, nothing acknowledged is lost, and it heals by itself.
package storage

import (
	"testing"

	f "kube-pprof.dev/e2e/framework"
)

func TestMain(m *testing.M) { f.Run(m) }
