package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A container's root group has processes. Here a group below the machine's root stands for it.
func TestControllersBelowARootWithProcesses(t *testing.T) {
	if os.Geteuid() != 0 || !CgroupV2() {
		t.Skip("needs root and cgroup v2")
	}
	name := fmt.Sprintf("kpg%d", os.Getpid())
	root := filepath.Join(cgroupRoot, name)
	t.Cleanup(func() { removeCgroups(name) })
	if err := makeCgroupV2(cgroupRoot, name); err != nil {
		t.Fatal(err)
	}
	removeCgroups(name) // what is enabled at the machine's root stays
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		process := exec.Command("sleep", "600")
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })
		if err := os.WriteFile(filepath.Join(root, "cgroup.procs"), []byte(fmt.Sprint(process.Process.Pid)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range []string{"a-1", "a-2"} {
		if err := makeCgroupV2(root, node); err != nil {
			t.Fatal(err)
		}
	}
	lines := func(file string) []string {
		data, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(data))
	}
	if moved := lines("init/cgroup.procs"); len(moved) != 3 {
		t.Errorf("in the leaf: %q", moved)
	}
	for _, group := range []string{"", "a-1", "a-2"} {
		if on := strings.Join(lines(group+"/cgroup.subtree_control"), " "); !strings.Contains(on, "cpuset cpu io memory") {
			t.Errorf("enabled below %q: %s", group, on)
		}
	}
}
