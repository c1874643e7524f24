// Package charttest checks what the chart renders, without a cluster.
package charttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

var chart = filepath.Join(framework.Root(), "charts/kube-pprof")

func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program := harness.FindTools().Helm
	if _, err := os.Stat(program); err != nil {
		t.Skip("helm is not built: run kp-cluster build")
	}
	cmd := exec.Command(program, args...)
	dir := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+dir, "HELM_CONFIG_HOME="+dir, "HELM_DATA_HOME="+dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func render(t *testing.T, set ...string) (string, error) {
	t.Helper()
	args := []string{"template", "kube-pprof", chart, "--kube-version", "1.29", "-n", "prof"}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	return helm(t, args...)
}

const trial = "registry.insecureAllowEveryone=true"

func rendered(t *testing.T, set ...string) string {
	t.Helper()
	out, err := render(t, append(set, trial)...)
	if err != nil {
		t.Fatal(out)
	}
	return out
}

func TestLint(t *testing.T) {
	if out, err := helm(t, "lint", "--strict", chart, "--set", trial); err != nil {
		t.Fatal(out)
	}
}

func TestTheRegistryIsNotOpenedByAccident(t *testing.T) {
	out, err := render(t)
	if err == nil || !strings.Contains(out, "--set registry.insecureAllowEveryone=true") || !strings.Contains(out, "no authentication") {
		t.Fatalf("must be refused with the way out: %s", out)
	}
}

func TestARegistryElsewhere(t *testing.T) {
	if out, err := render(t, "registry.enabled=false"); err == nil || !strings.Contains(out, "controller.registryURL") {
		t.Fatalf("must be refused: %s", out)
	}
	out, err := render(t, "registry.enabled=false", "controller.registryURL=http://profiles.example:10100")
	if err != nil || strings.Contains(out, "StatefulSet") || !strings.Contains(out, "registry-url: http://profiles.example:10100") {
		t.Fatal(out)
	}
}

func TestUnknownAndWrongValuesAreRefused(t *testing.T) {
	for _, set := range []string{"contoller.logLevel=info", "controller.logLevel=loud", "registry.service.port=0", "image.digest=sha256:12",
		"registry.config.keep-original=always", "registry.config.max-merges=0", "registry.config.retention=5x", "registry.config.max-bytes=a lot"} {
		if out, err := render(t, trial, set); err == nil {
			t.Errorf("%s was taken", set)
		} else if !strings.Contains(out, "values don't meet the specifications") {
			t.Errorf("%s: %s", set, out)
		}
	}
}

func TestFlagsReachTheConfiguration(t *testing.T) {
	values := filepath.Join(t.TempDir(), "values.yaml")
	text := `{registry: {insecureAllowEveryone: true, config: {retention: 14d, max-retention: 0, max-bytes: 10000000000, max-profiles-per-service: 1000000,
  seal-after: 1h30m, keep-original: Always, max-merges: 8, accept-empty: true}}, controller: {config: {captures-per-second-per-namespace: 0.5, denied-cidrs: [10.0.0.0/8, 10.1.0.0/16]}}}`
	if err := os.WriteFile(values, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := helm(t, "template", "kube-pprof", chart, "--kube-version", "1.29", "-f", values)
	if err != nil {
		t.Fatal(out)
	}
	for _, want := range []string{"retention: 14d", "max-retention: 0", "max-bytes: 10000000000", "max-profiles-per-service: 1000000", "seal-after: 1h30m",
		"keep-original: Always", "max-merges: 8", "accept-empty: true", "captures-per-second-per-namespace: 0.5", "denied-cidrs: [10.0.0.0/8, 10.1.0.0/16]"} {
		if !strings.Contains(out, "\n    "+want+"\n") {
			t.Errorf("no line %q in %s", want, out)
		}
	}
}

func TestLeastRights(t *testing.T) {
	out := rendered(t)
	role := out[strings.Index(out, "kind: ClusterRole\n"):]
	role = role[:strings.Index(role, "\n---")]
	for _, bad := range []string{"secrets", `"*"`, "create, delete", "pods/exec", "pods/proxy", "nodes/"} {
		if strings.Contains(strings.ReplaceAll(role, "# No right on Secrets", ""), "resources: ["+bad) {
			t.Errorf("the controller's role has %s:\n%s", bad, role)
		}
	}
	if !strings.Contains(role+"\n", "- apiGroups: [networking.k8s.io]\n  resources: [servicecidrs]\n  verbs: [list]\n") {
		t.Errorf("the controller's role must let it list the service ranges, and no more of them:\n%s", role)
	}
	if strings.Count(role, "nodes") != 2 || !strings.Contains(role, "  resources: [nodes]\n  verbs: [get]\n") {
		t.Errorf("of nodes the controller gets one at a time, for the architecture, and no more:\n%s", role)
	}
	multi := rendered(t, "watchNamespaces={a,b}")
	if strings.Contains(multi, "nodes") {
		t.Error("nodes cannot be read without cluster-wide rights")
	}
	if strings.Contains(multi, "servicecidrs") {
		t.Error("with watchNamespaces there must be no right on ServiceCIDRs")
	}
	if strings.Contains(multi, "kind: ClusterRoleBinding") || strings.Count(multi, "kind: RoleBinding") != 2 {
		t.Error("with watchNamespaces there must be a RoleBinding per namespace and nothing cluster-wide")
	}
	if strings.Contains(multi, "kind: ClusterProfilingPolicy") {
		t.Error("annotated-pods cannot be served without cluster-wide rights")
	}
}

func TestPodsAreRestricted(t *testing.T) {
	out := rendered(t)
	for _, want := range []string{"runAsNonRoot: true", "readOnlyRootFilesystem: true", "capabilities: {drop: [ALL]}", "allowPrivilegeEscalation: false",
		"seccompProfile: {type: RuntimeDefault}", "enableServiceLinks: false"} {
		if n := strings.Count(out, want); n != 2 {
			t.Errorf("%q is there %d times, not in both pods", want, n)
		}
	}
}

func TestReplicasElectALeader(t *testing.T) {
	one, two := rendered(t), rendered(t, "controller.replicaCount=2")
	if !strings.Contains(one, "--leader-elect=false") || !strings.Contains(one, "type: Recreate") || strings.Contains(one, "leases") {
		t.Error("one replica works without a Lease, and never two at once")
	}
	if !strings.Contains(two, "--leader-elect=true") || strings.Contains(two, "type: Recreate") || !strings.Contains(two, "leases") {
		t.Error("two replicas need a Lease")
	}
}

func TestAnnotatedPodsCanBeBounded(t *testing.T) {
	out := rendered(t, "annotatedPods.spec.sampling.replicas=1", "annotatedPods.profiles[0].type=heap")
	for _, want := range []string{"annotationPolicy: Require", "replicas: 1", "type: heap"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in the policy", want)
		}
	}
	if strings.Contains(rendered(t, "annotatedPods.enabled=false"), "kind: ClusterProfilingPolicy") {
		t.Error("it can be left out")
	}
}

func TestCRDsAreTheRepositorys(t *testing.T) {
	want, err := filepath.Glob(filepath.Join(framework.Root(), "crds/*.yaml"))
	if err != nil || len(want) == 0 {
		t.Fatalf("no crds/*.yaml: %v", err)
	}
	for _, name := range want {
		a, errA := os.ReadFile(name)
		b, errB := os.ReadFile(filepath.Join(chart, "crds", filepath.Base(name)))
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Errorf("%s is not the same in the chart: cp crds/*.yaml charts/kube-pprof/crds/", filepath.Base(name))
		}
	}
	have, _ := filepath.Glob(filepath.Join(chart, "crds/*"))
	if len(have) != len(want) {
		t.Errorf("%d files in the chart's crds, %d in crds", len(have), len(want))
	}
}
