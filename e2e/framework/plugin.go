package framework

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Plugin is kubectl-pprof, built if need be.
func Plugin() (string, error) {
	if given := os.Getenv("KP_E2E_PLUGIN"); given != "" {
		return filepath.Abs(given)
	}
	build := filepath.Join(Root(), "build")
	if given := os.Getenv("KUBE_PPROF_BUILD"); given != "" {
		build = given
	}
	build = filepath.Join(build, "dev")
	for _, args := range [][]string{{"--preset", "dev", "-B", build}, {"--build", build, "--target", "kubectl-pprof"}} {
		cmd := exec.Command("cmake", args...)
		cmd.Dir = Root()
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("cmake %v: %w: %s", args, err, out)
		}
	}
	return filepath.Join(build, "bin/kubectl-pprof"), nil
}
