package framework

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Ready waits until the pod of a component is; of the registry: and until profiles are shown again.
func Ready(t *testing.T, limit time.Duration, component string) {
	t.Helper()
	Within(t, limit, component+" is ready again", func() error {
		out, err := Kubectl("get", "pods", "-n", Namespace, "-l", "app.kubernetes.io/component="+component, "-o",
			`jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status} {end}`)
		if err == nil && strings.TrimSpace(out) != "True" {
			err = fmt.Errorf("ready: %s", out)
		}
		return err
	})
	if component == "registry" {
		Within(t, 30*time.Second, "profiles are shown", func() error {
			_, err := Raw("/api/v1/profiles?limit=1")
			return err
		})
	}
}

// RestartCount is how often the container of a role was started again.
func RestartCount(t *testing.T, role string) string {
	t.Helper()
	return K(t, "get", "pods", "-n", Namespace, "-l", "app.kubernetes.io/component="+role, "-o", "jsonpath={.items[0].status.containerStatuses[0].restartCount}")
}

// Kill9 kills the product's process on its node and waits until it was started again.
func Kill9(t *testing.T, role string) {
	t.Helper()
	own := NeedOwn(t)
	before, killed := RestartCount(t, role), false
	for _, node := range own.Nodes() {
		argv, err := own.Node(node, "sh", "-c", `for p in /proc/[0-9]*; do
			if [ "$(tr '\0' ' ' <$p/cmdline 2>/dev/null | cut -d' ' -f1,2)" = "/kube-pprof $1" ]; then kill -9 ${p#/proc/} && echo killed; fi; done; true`, "sh", role)
		if err != nil {
			t.Fatal(err)
		}
		out, err := Host(context.Background(), argv)
		if err != nil {
			t.Fatal(err)
		}
		killed = killed || strings.Contains(out, "killed")
	}
	if !killed {
		t.Fatalf("no process of the %s was found", role)
	}
	// a container that ended twice waits 10 s and more before its next start
	Within(t, 60*time.Second, role+" was started again", func() error {
		if RestartCount(t, role) == before {
			return fmt.Errorf("still %s restarts", before)
		}
		return nil
	})
	Ready(t, 60*time.Second, role)
}
