package harness_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kube-pprof.dev/e2e/harness"
)

// traces lists what a cluster could leave on the machine.
func traces(t *testing.T, name string) []string {
	t.Helper()
	var found []string
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if strings.Contains(line, name) {
			found = append(found, "mount "+line)
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/" + name + "*", "/sys/fs/cgroup/*/" + name + "*", harness.CacheDir() + "/run/" + name + "*", "/run/netns/" + name + "*",
		"/var/lib/containerd*", "/opt/containerd*", "/run/containerd*"} {
		files, _ := filepath.Glob(pattern)
		found = append(found, files...)
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range commands {
		data, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(data), "/run/"+name+"/") {
			found = append(found, "process "+strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	links, err := exec.Command("ip", "-o", "link").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(links)), "\n") {
		found = append(found, "link "+strings.Fields(line)[1])
	}
	return found
}

func program(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a cluster needs root")
	}
	if _, err := os.Stat(filepath.Join(harness.FindTools().K8s, "kubectl")); err != nil {
		t.Skip("Kubernetes is not built: run kp-cluster build")
	}
	out := filepath.Join(t.TempDir(), "kp-cluster")
	if text, err := exec.Command("go", "build", "-buildvcs=false", "-o", out, "../cmd/kp-cluster").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func same(t *testing.T, name string, before []string) {
	t.Helper()
	if after := traces(t, name); !slices.Equal(before, after) {
		t.Errorf("left on the machine:\n%s\nbefore:\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
}

func TestAClusterLeavesNothing(t *testing.T) {
	kp, name := program(t), fmt.Sprintf("kph%d", os.Getpid())
	before := traces(t, name)
	t.Cleanup(func() { _ = harness.Down(name) })
	began := time.Now()
	run(t, kp, "up", "--name", name, "--nodes", "2")
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("a warm start took %s", took)
	}
	if out := run(t, kp, "exec", "--name", name, "--", "kubectl", "get", "nodes"); strings.Count(out, " Ready ") != 2 {
		t.Errorf("nodes: %s", out)
	}
	run(t, kp, "stop", "--name", name, "0", "apiserver", "KILL")
	run(t, kp, "start", "--name", name, "0", "apiserver")
	run(t, kp, "down", "--name", name)
	same(t, name, before)
	run(t, kp, "down", "--name", name) // twice does no harm
}

func TestARunThatWasKilledIsCleanedUp(t *testing.T) {
	kp, name := program(t), fmt.Sprintf("kpk%d", os.Getpid())
	before := traces(t, name)
	t.Cleanup(func() { _ = harness.Down(name) })
	up := exec.Command(kp, "up", "--name", name)
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); slices.Equal(before, traces(t, name)); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not begin")
		}
	}
	time.Sleep(time.Second) // well in the middle
	_ = up.Process.Kill()
	_ = up.Wait()
	run(t, kp, "up", "--name", name) // the next start takes its place
	run(t, kp, "down", "--name", name)
	same(t, name, before)
}

func TestAClusterEndsWithItsOwner(t *testing.T) {
	kp, name := program(t), fmt.Sprintf("kpo%d", os.Getpid())
	before := traces(t, name)
	t.Cleanup(func() { _ = harness.Down(name) })
	owner := exec.Command("sleep", "600")
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	run(t, kp, "up", "--name", name, "--owner", fmt.Sprint(owner.Process.Pid))
	_ = owner.Process.Signal(syscall.SIGKILL)
	_ = owner.Wait()
	for deadline := time.Now().Add(time.Minute); !slices.Equal(before, traces(t, name)); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			same(t, name, before)
			return
		}
	}
}
