// Package ipv6: pods whose first address is an IPv6 one, on a cluster of its own. The first node's pods have an IPv4 address first, those
// of the second an IPv6 address, and all of them have both.
package ipv6

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

func TestMain(m *testing.M) {
	f.IPv6 = true
	f.Run(m, "annotatedPods.enabled=false")
}

const policy = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: all}
spec:
  selector: {}
  profiles: [{type: heap, interval: 10s}, {type: goroutine, interval: 10s}]
  budget: {overheadPercent: 100}
`

func pod(name, node, listen string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s}
spec:
  nodeName: %[2]s
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers: [{name: app, image: "local.test/workload:1", imagePullPolicy: IfNotPresent, args: [-load, "5", -listen, %[3]q],
    ports: [{name: pprof, containerPort: 6060}], resources: {requests: {cpu: 1m, memory: 8Mi}, limits: {memory: 128Mi}},
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}}]
`, name, node, listen)
}

func TestPodsWithIPv6Addresses(t *testing.T) {
	nodes, ns := f.NeedNodes(t, 2), f.NewNamespace(t)
	f.Apply(t, ns, pod("four", nodes[0], ":6060")+pod("six", nodes[1], ":6060")+pod("only-six", nodes[1], "[::1]:6060"))
	f.K(t, "wait", "-n", ns, "--for=condition=Ready", "pod", "--all", "--timeout=60s")
	for name, is := range map[string]string{"four": `^10\.244\.1\.`, "six": `^fd77:244:2::`, "only-six": `^fd77:244:2::`} {
		if ip := f.K(t, "get", "pod", "-n", ns, name, "-o", "jsonpath={.status.podIP}"); !regexp.MustCompile(is).MatchString(ip) {
			t.Fatalf("%s has the address %s first", name, ip)
		}
	}
	f.Apply(t, ns, policy)
	t.Run("controller", func(t *testing.T) { captures(t, ns) })
	t.Run("plugin", func(t *testing.T) { plugin(t, ns) })
}

// captures: both families are scraped, and an address is named as people write it.
func captures(t *testing.T, ns string) {
	for _, name := range []string{"four", "six"} {
		f.Within(t, 15*time.Second+f.Slack, "profiles of "+name, func() error {
			return f.Some("namespace="+ns+"&type=heap&selector=k8s.pod%3D"+name, nil)
		})
	}
	f.PolicyIs(t, 15*time.Second+f.Slack, ns, "all", "a failure that names the address", func(p *f.Policy) error {
		for _, failure := range p.Status.Failures {
			if failure.Pod == "only-six" && regexp.MustCompile(`nothing listens on fd77:244:2::[0-9a-f]+ port 6060: .* listens on \[::\], not only on \[::1\]`).MatchString(failure.Message) {
				return nil
			}
		}
		return fmt.Errorf("failures are %+v", p.Status.Failures)
	})
}

// plugin: by the pod proxy, by port-forward, and what listens on loopback of one family only; files have the pod's name, no address.
func plugin(t *testing.T, ns string) {
	program, err := f.Plugin()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, way := range []string{"four --via proxy", "six --via proxy", "four --via port-forward", "six --via port-forward", "only-six"} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cmd := f.Command(ctx, append([]string{program, "capture", "-n", ns, "-t", "heap,goroutine", "--output-dir", dir}, strings.Fields(way)...)...)
		cmd.Stdin = nil
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("capture %s: %v\n%s", way, err, out)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 6 {
		t.Fatalf("files %v, %v", entries, err)
	}
	for _, e := range entries {
		if !regexp.MustCompile(`^` + ns + `_(four|six|only-six)_app_(heap|goroutine)_[0-9TZ.-]+\.pb\.gz$`).MatchString(e.Name()) {
			t.Errorf("a file is named %s", e.Name())
		}
	}
	out, err := exec.Command("go", "tool", "pprof", "-symbolize=none", "-top", filepath.Join(dir, entries[0].Name())).CombinedOutput()
	if err != nil {
		t.Errorf("go tool pprof: %v\n%s", err, out)
	}
}
