// Package plugin: `kubectl pprof` as people use it: with the rights they have, the kubeconfigs they have, on a terminal and in a pipe.
//
// KP_E2E_PLUGIN names the program; without it it is built.
package plugin

import (
	"testing"

	f "kube-pprof.dev/e2e/framework"
)

// What is kept is what the tests store: the controller captures nothing by itself.
func TestMain(m *testing.M) { f.Run(m, "annotatedPods.enabled=false") }
