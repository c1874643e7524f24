// Package plugin: `kubectl pprof` as people use it: with the rights they have, the kubeconfigs they have, on a terminal and in a pipe.
//
// KP_E2E_PLUGIN names the program; without it it is built.
package plugin

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	f "kube-pprof.dev/e2e/framework"
)

// What is kept is what the tests store: the controller captures nothing by itself.
func TestMain(m *testing.M) { f.Run(m, "annotatedPods.enabled=false") }

// program is kubectl-pprof, built if need be.
func program() (string, error) {
	if given := os.Getenv("KP_E2E_PLUGIN"); given != "" {
		return filepath.Abs(given)
	}
	build := filepath.Join(f.Root(), "build")
	if given := os.Getenv("KUBE_PPROF_BUILD"); given != "" {
		build = given
	}
	build = filepath.Join(build, "dev")
	for _, args := range [][]string{{"--preset", "dev", "-B", build}, {"--build", build, "--target", "kubectl-pprof"}} {
		cmd := exec.Command("cmake", args...)
		cmd.Dir = f.Root()
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("cmake %v: %w: %s", args, err, out)
		}
	}
	return filepath.Join(build, "bin/kubectl-pprof"), nil
}
