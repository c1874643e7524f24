// Package plugintest: the archive of kubectl-pprof as krew unpacks it.
package plugintest

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	f "kube-pprof.dev/e2e/framework"
)

func TestTheArchiveRunsWhereItIsUnpacked(t *testing.T) {
	dir := t.TempDir()
	run(t, filepath.Join(f.Root(), "tools", "plugin"), "-o", dir)
	archives, err := filepath.Glob(filepath.Join(dir, "kubectl-pprof-linux-*.tar.gz"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("archives: %v, %v", archives, err)
	}
	data, err := os.ReadFile(archives[0])
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(dir, "pprof.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	for _, want := range []string{"sha256: " + hex.EncodeToString(sum[:]), filepath.Base(archives[0]), "bin: kubectl-pprof"} {
		if !strings.Contains(string(manifest), want) {
			t.Errorf("the manifest does not hold %q:\n%s", want, manifest)
		}
	}

	unpacked := filepath.Join(dir, "unpacked")
	if err := os.Mkdir(unpacked, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "tar", "xzf", archives[0], "-C", unpacked)
	for _, file := range []string{"LICENSE", "kubectl-pprof.1.gz", "kubectl_complete-pprof", "completion.bash", "completion.zsh", "completion.fish"} {
		if info, err := os.Stat(filepath.Join(unpacked, file)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}

	// every library but glibc's comes from the archive
	cmd := exec.Command(filepath.Join(unpacked, "kubectl-pprof"), "version")
	cmd.Env = append(os.Environ(), "LD_DEBUG=libs")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range strings.Split(string(out), "\n") {
		_, path, found := strings.Cut(line, "calling init: ")
		name := filepath.Base(path)
		ofGlibc := strings.HasPrefix(name, "libc.so") || strings.HasPrefix(name, "libm.so") || strings.HasPrefix(name, "libresolv.so") || strings.HasPrefix(name, "ld-linux")
		if found && !ofGlibc && !strings.HasPrefix(path, unpacked) {
			t.Errorf("%s is not of the archive", path)
		}
	}
}

func run(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
}
