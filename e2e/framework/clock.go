package framework

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Clock is the wall clock of a component's process, and of nothing else: the machine's stays right. It is set by a library preloaded into
// the process (clock/clock.c), which comes by a ConfigMap.
type Clock struct{ component, workload string }

const clockMap = "kp-e2e-clock"

// NewClock starts the component again with a clock that can be set. After the test it is as it was.
func NewClock(t *testing.T, component, workload string) *Clock {
	t.Helper()
	NeedOwn(t)
	c := &Clock{component: component, workload: workload}
	library := filepath.Join(t.TempDir(), "clock.so")
	out, err := exec.Command("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-s", "-o", library, filepath.Join(Root(), "e2e/framework/clock/clock.c")).CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v: %s", err, out)
	}
	code, err := os.ReadFile(library)
	if err != nil {
		t.Fatal(err)
	}
	object := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": clockMap},
		"binaryData": map[string]any{"clock.so": base64.StdEncoding.EncodeToString(code)}}
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	Apply(t, Namespace, string(text))
	t.Cleanup(func() {
		K(t, "rollout", "undo", workload, "-n", Namespace)
		Rollout(t, Namespace, workload)
		Ready(t, 60*time.Second, component)
		K(t, "delete", "configmap", clockMap, "-n", Namespace)
	})
	K(t, "patch", workload, "-n", Namespace, "-p", `{"spec":{"template":{"spec":{"volumes":[{"name":"clock","configMap":{"name":"`+clockMap+`"}}],
		"containers":[{"name":"`+component+`","env":[{"name":"LD_PRELOAD","value":"/clock/clock.so"},{"name":"KP_CLOCK_FILE","value":"/tmp/clock"}],
		"volumeMounts":[{"name":"clock","mountPath":"/clock","readOnly":true}]}]}}}}`)
	Rollout(t, Namespace, workload)
	Ready(t, 60*time.Second, component)
	return c
}

// Set puts the clock ahead of the right one, or behind it.
func (c *Clock) Set(t *testing.T, ahead time.Duration) {
	t.Helper()
	own, n := NeedOwn(t), 0
	bytes := ""
	for i := range 8 {
		bytes += fmt.Sprintf(`\0%03o`, byte(uint64(ahead.Milliseconds())>>(8*i)))
	}
	for _, node := range own.Nodes() {
		argv, err := own.Node(node, "sh", "-c", `for p in /proc/[0-9]*; do
			if [ "$(tr '\0' ' ' <$p/cmdline 2>/dev/null | cut -d' ' -f1,2)" = "/kube-pprof $1" ]; then
				printf %b "$2" | dd of=$p/root/tmp/clock bs=8 iflag=fullblock conv=nocreat,notrunc status=none && echo set; fi; done; true`, "sh", c.component, bytes)
		if err != nil {
			t.Fatal(err)
		}
		out, err := Host(context.Background(), argv)
		if err != nil {
			t.Fatal(err)
		}
		n += strings.Count(out, "set")
	}
	if n != 1 {
		t.Fatalf("the clock of %d processes of the %s was set, not of one", n, c.component)
	}
}
