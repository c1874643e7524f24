// Package install: what the chart puts into a cluster, and that it goes again.
package install

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

func TestItRunsUnderRestrictedPodSecurity(t *testing.T) {
	f.NeedCluster(t)
	if got := f.K(t, "get", "namespace", f.Namespace, "-o", `jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce}`); got != "restricted" {
		t.Fatalf("the namespace enforces %q", got)
	}
	for _, component := range []string{"controller", "registry"} {
		if pods := f.Pods(t, f.Namespace, "app.kubernetes.io/component="+component); len(pods) != 1 {
			t.Errorf("%s runs in %d pods", component, len(pods))
		}
	}
}

func TestTheControllerMayNotReadSecrets(t *testing.T) {
	f.NeedCluster(t)
	as := "--as=system:serviceaccount:" + f.Namespace + ":kube-pprof-controller"
	for _, no := range []string{"get secrets", "list secrets", "create pods", "delete pods", "get pods --subresource=log", "create pods --subresource=exec",
		"get pods --subresource=proxy", "update profilingpolicies", "delete profilingpolicies", "get nodes --subresource=proxy", "list nodes", "get configmaps"} {
		if out, _ := f.Kubectl(append([]string{"auth", "can-i", as, "-A"}, strings.Fields(no)...)...); strings.TrimSpace(out) != "no" {
			t.Errorf("may it %s? %s", no, out)
		}
	}
	// in its own namespace: the two of the registry's certificates, and it makes none
	for what, want := range map[string]string{"create secrets": "no", "get secrets": "no", "delete secrets/kube-pprof-registry-ca": "no", "get secrets/kube-pprof-registry-ca": "yes",
		"update secrets/kube-pprof-registry-tls": "yes"} {
		if out, _ := f.Kubectl(append([]string{"auth", "can-i", as, "-n", f.Namespace}, strings.Fields(what)...)...); strings.TrimSpace(out) != want {
			t.Errorf("may it %s in its namespace? %s", what, out)
		}
	}
	for _, yes := range []string{"list pods", "watch pods", "get nodes", "list profilingpolicies.kube-pprof.dev", "watch clusterprofilingpolicies.kube-pprof.dev"} {
		if out, err := f.Kubectl(append([]string{"auth", "can-i", as, "-A"}, strings.Fields(yes)...)...); err != nil || strings.TrimSpace(out) != "yes" {
			t.Errorf("may it %s? %s", yes, out)
		}
	}
}

func TestTenantsGetPoliciesWithTheirRoles(t *testing.T) {
	ns := f.NewNamespace(t)
	for _, role := range []string{"view", "edit"} {
		f.K(t, "create", "rolebinding", role, "-n", ns, "--clusterrole="+role, "--user="+role+"-"+ns)
	}
	can := func(user, verb string) string {
		out, _ := f.Kubectl("auth", "can-i", verb, "profilingpolicies.kube-pprof.dev", "-n", ns, "--as="+user+"-"+ns)
		return strings.TrimSpace(out)
	}
	f.Within(t, 60*time.Second, "aggregated roles", func() error { // the controller-manager aggregates a moment later
		if can("edit", "create") != "yes" || can("view", "list") != "yes" {
			return fmt.Errorf("edit may not create or view may not list")
		}
		return nil
	})
	if can("view", "create") != "no" {
		t.Error("view may create")
	}
}

func TestNoShellInTheImage(t *testing.T) {
	f.NeedCluster(t)
	pod := f.Pods(t, f.Namespace, "app.kubernetes.io/component=controller")[0]
	for _, shell := range []string{"/bin/sh", "/bin/bash", "sh"} {
		if out, err := f.Kubectl("exec", "-n", f.Namespace, pod, "--", shell, "-c", "true"); err == nil {
			t.Errorf("%s runs: %s", shell, out)
		}
	}
	if out := f.K(t, "exec", "-n", f.Namespace, pod, "--", "/kube-pprof", "version"); !strings.HasPrefix(out, "kube-pprof 0.") {
		t.Errorf("version is %q", out)
	}
}

func TestHealthAndMetrics(t *testing.T) {
	f.NeedCluster(t)
	for _, component := range []string{"controller", "registry"} {
		metrics := f.Metrics(t, component)
		for _, want := range []string{"process_resident_memory_bytes", "# HELP", "# TYPE"} {
			if !strings.Contains(metrics, want) {
				t.Errorf("%s: no %s in the metrics", component, want)
			}
		}
	}
	if !strings.Contains(f.Metrics(t, "controller"), "kube_pprof_") {
		t.Error("no kube_pprof_ metrics")
	}
}

// docs/operations.md names metrics that people look at and alert on.
func TestTheMetricsOfTheDocumentationAreThere(t *testing.T) {
	f.NeedCluster(t)
	text, err := os.ReadFile(filepath.Join(f.Root(), "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`((?:kube_pprof|rest_client|leader_election)_[a-z_]+)").FindAllStringSubmatch(string(text), -1)
	if len(names) < 10 {
		t.Fatalf("only %d metrics in docs/operations.md", len(names))
	}
	served := f.Metrics(t, "controller") + f.Metrics(t, "registry")
	for _, name := range names {
		if !strings.Contains(served, "# TYPE "+name[1]+" ") {
			t.Errorf("%s is not served", name[1])
		}
	}
	for _, label := range []string{"pod=", "pod_uid=", "target="} {
		if strings.Contains(served, label) {
			t.Errorf("a metric has a label %s: one per target must not be", label)
		}
	}
}

func TestNotesNameTheNextCommands(t *testing.T) {
	f.NeedCluster(t)
	out, err := f.Helm("get", "notes", "kube-pprof", "-n", f.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kubectl apply", "kubectl get profilingpolicies", "port-forward", "kubectl get profiles.data.kube-pprof.dev", "--audience kube-pprof", "helm test kube-pprof -n kube-pprof", "/metrics"} {
		if !strings.Contains(out, want) {
			t.Errorf("the notes do not say %q:\n%s", want, out)
		}
	}
}

func TestAnnotatedPodsHasAStatus(t *testing.T) {
	f.NeedCluster(t)
	f.PolicyIs(t, 30*time.Second, "", "annotated-pods", "annotated-pods is Ready", f.Is("Ready", "True", ""))
	f.K(t, "wait", "--for=condition=Ready", "cppol/annotated-pods", "--timeout=10s")
	lines := strings.Split(f.K(t, "get", "cppol"), "\n")
	if got := strings.Join(strings.Fields(lines[0]), " "); got != "NAME READY TARGETS FAILING LAST CAPTURE AGE" {
		t.Errorf("columns are %q", got)
	}
	if out := f.K(t, "get", "kube-pprof", "-A"); !strings.Contains(out, "annotated-pods") {
		t.Errorf("the category kube-pprof does not list it: %s", out)
	}
}

func TestLogsAreJSONLines(t *testing.T) {
	f.NeedCluster(t)
	for _, what := range []string{"deploy/kube-pprof-controller", "sts/kube-pprof-registry"} {
		for _, line := range strings.Split(f.K(t, "logs", "-n", f.Namespace, what), "\n") {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s: not JSON: %s", what, line)
				break
			}
		}
	}
}

// Outside of pods the controller has a kubeconfig; this one's user is a client certificate.
func TestAKubeconfigWithAClientCertificate(t *testing.T) {
	own := f.NeedOwn(t)
	build := os.Getenv("KUBE_PPROF_BUILD")
	if build == "" {
		build = filepath.Join(f.Root(), "build")
	}
	program := filepath.Join(build, "release/bin/kube-pprof")
	if _, err := os.Stat(program); err != nil {
		t.Skip("tools/image did not build the program here: ", err)
	}
	text, err := os.ReadFile(own.Kubeconfig())
	if err != nil || !strings.Contains(string(text), "client-certificate") || strings.Contains(string(text), "token") {
		t.Fatalf("the kubeconfig is of another kind: %v", err)
	}
	ns, socket := f.NewNamespace(t), filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := f.Command(ctx, program, "controller", "--kubeconfig="+own.Kubeconfig(), "--watch-namespaces="+ns, "--listen=unix:"+socket,
		"--registry-url=http://127.0.0.1:1", "--shutdown-grace=1s")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	f.Within(t, 60*time.Second, "its caches are complete", func() error {
		response, err := client.Get("http://x/readyz")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz: %s", response.Status)
		}
		return nil
	})
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v: %s", err, out.String())
	}
}

// Last in this package: it ends the installation and makes a new one.
func TestUninstallAndAgain(t *testing.T) {
	f.NeedCluster(t)
	if _, err := f.Helm("uninstall", "kube-pprof", "-n", f.Namespace, "--wait", "--timeout", "180s"); err != nil {
		t.Fatal(err)
	}
	if out := f.K(t, "get", "apiservices", "-o", "name"); strings.Contains(out, "data.kube-pprof.dev") {
		t.Errorf("the APIService is left: every namespace would stay in Terminating: %s", out)
	}
	f.Within(t, 90*time.Second, "nothing is left behind", func() error { // pods take their grace period
		if out := f.K(t, "get", "pods,clusterroles,clusterrolebindings,clusterprofilingpolicies", "-A", "-l", "app.kubernetes.io/instance=kube-pprof", "-o", "name"); out != "" {
			return fmt.Errorf("left behind: %s", out)
		}
		return nil
	})
	f.K(t, "get", "crd", "profilingpolicies.kube-pprof.dev", "clusterprofilingpolicies.kube-pprof.dev") // people's policies stay
	if err := f.Install(); err != nil {
		t.Fatal(err)
	}
}
