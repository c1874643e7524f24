package lifecycle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const columns = `{.spec.versions[0].additionalPrinterColumns[*].name}`

func theEarlierVersion(t *testing.T, w *world) {
	clean(t)
	if err := f.InstallChart(earlier(), nil, values...); err != nil {
		t.Fatal(err)
	}
	f.Apply(t, "", fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", shop, notes))
	f.Apply(t, "", policies)
	f.Apply(t, shop, f.Workload(t, "checkout"))
	f.Apply(t, notes, strings.NewReplacer("replicas: 3", "replicas: 1", "team: shop}}", `team: shop}, annotations: {kube-pprof.dev/enable: "true"}}`).Replace(f.Workload(t, "checkout")))
	// an older CRD: one column less
	w.served = f.K(t, "get", crds, "-o", "jsonpath="+columns)
	less, err := f.KubectlIn(f.K(t, "get", crds, "-o", "json", "--show-managed-fields=false"), "patch", "--local", "-f", "-", "--type=json", "-o", "json",
		"-p", `[{"op":"remove","path":"/spec/versions/0/additionalPrinterColumns/7"},{"op":"remove","path":"/metadata/resourceVersion"}]`)
	if err == nil {
		_, err = f.KubectlIn(less, "apply", "--server-side", "--force-conflicts", "--field-manager=helm", "-f", "-")
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, everything()...)
	for _, policy := range everything() {
		f.Within(t, 90*time.Second, policy+" counts them", func() error {
			if s := get(t, policy); s.Succeeded == 0 || !strings.HasPrefix(s.ReadyAt, "True") {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
	}
	w.remember(t)
}

func upgrade(t *testing.T, w *world) {
	// Helm does not take over what it did not make, and then changes nothing at all
	before := f.K(t, "get", "deploy,sts,crd", "-n", f.Namespace, "-o", "jsonpath={.items[*].metadata.generation}")
	err := f.Install(values...)
	if err == nil || !strings.Contains(err.Error(), "cannot be imported into the current release") {
		t.Fatalf("without --take-ownership: %v", err)
	}
	if now := f.K(t, "get", "deploy,sts,crd", "-n", f.Namespace, "-o", "jsonpath={.items[*].metadata.generation}"); now != before {
		t.Errorf("what was refused has changed something: %s %s", before, now)
	}
	if err := f.InstallChart(f.Root()+"/charts/kube-pprof", []string{"--take-ownership"}, values...); err != nil {
		t.Fatal(err)
	}
	if now := f.K(t, "get", crds, "-o", "jsonpath="+columns); now != w.served {
		t.Errorf("the CRD is not the new one: %s", now)
	}
	w.kept(t, everything()...)
	test(t)
}

func twoReplicas(t *testing.T, w *world) {
	nodes := f.NeedNodes(t, 2)
	if err := f.Install(append([]string{"controller.replicaCount=2"}, values...)...); err != nil {
		t.Fatal(err)
	}
	where := func() []string { // without those that are being deleted
		return strings.Fields(f.K(t, "get", "pods", "-n", f.Namespace, "-l", "app.kubernetes.io/component=controller", "-o",
			`go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.spec.nodeName}} {{end}}{{end}}`))
	}
	f.Within(t, 60*time.Second, "the controllers are on both nodes", func() error {
		if on := where(); len(on) != 2 || on[0] == on[1] {
			return fmt.Errorf("on %v of %v", on, nodes)
		}
		return nil
	})
	until(t, everything()...)
	// a node is drained: the budget lets one go, the other works on
	w.remember(t)
	f.K(t, "drain", nodes[0], "--ignore-daemonsets", "--delete-emptydir-data", "--pod-selector=app.kubernetes.io/component=controller", "--timeout=60s")
	f.Within(t, 60*time.Second, "both are on the other node", func() error {
		if on := where(); len(on) != 2 || on[0] == nodes[0] || on[1] == nodes[0] {
			return fmt.Errorf("on %v", on)
		}
		return nil
	})
	f.K(t, "uncordon", nodes[0])
	w.kept(t, everything()...)
	test(t)
}

func rollback(t *testing.T, w *world) {
	w.remember(t)
	if _, err := f.Helm("rollback", "kube-pprof", "1", "-n", f.Namespace, "--wait", "--timeout", "180s"); err != nil {
		t.Fatal(err)
	}
	if chart := f.K(t, "get", "sts", "-n", f.Namespace, "kube-pprof-registry", "-o", `jsonpath={.metadata.labels.helm\.sh/chart}`); chart != "kube-pprof-0.1.0" {
		t.Errorf("it is %s", chart)
	}
	w.kept(t, everything()...)
	if now := f.K(t, "get", crds, "-o", "jsonpath="+columns); now != w.served {
		t.Errorf("the CRD is another: %s", now)
	}
}

func upgradeAgain(t *testing.T, w *world) {
	w.remember(t)
	if err := f.Install(values...); err != nil { // the CRDs are Helm's now
		t.Fatal(err)
	}
	w.kept(t, everything()...)
}

func uninstall(t *testing.T, w *world) {
	w.remember(t)
	remove(t)
	nothingButWhatStays(t, 1)
	for _, policy := range []string{"ppol/checkout", "cppol/platform"} {
		now, was := get(t, policy), w.states[policy]
		now.Succeeded = was.Succeeded // a controller that ends writes what it has counted
		if now != was {
			t.Errorf("%s: %+v, was %+v", policy, now, was)
		}
	}
}

func installAgain(t *testing.T, w *world) {
	if err := f.Install(values...); err != nil {
		t.Fatal(err)
	}
	w.kept(t, "ppol/checkout", "cppol/platform")
	until(t, "cppol/annotated-pods")
}

// A release for all namespaces becomes one for some, and back.
func someNamespaces(t *testing.T, w *world) {
	w.remember(t)
	if err := f.Install(only...); err != nil {
		t.Fatal(err)
	}
	if out := f.K(t, "get", "clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/instance=kube-pprof", "-o", "name"); out != "clusterrolebinding.rbac.authorization.k8s.io/kube-pprof-registry-reviews" {
		t.Errorf("there is %s", out)
	}
	if out := f.K(t, "get", "apiservices,cppol", "-o", "name"); strings.Contains(out, "data.kube-pprof.dev") || strings.Contains(out, "annotated-pods") {
		t.Errorf("what belongs to the cluster is left: %s", out)
	}
	w.kept(t, "ppol/checkout")
	test(t)
	// who may what there is said by Roles
	f.K(t, "create", "rolebinding", "people", "-n", shop, "--role=kube-pprof-viewer", "--serviceaccount="+shop+":default")
	token := f.K(t, "create", "token", "default", "-n", shop, "--audience", "kube-pprof")
	if out, err := f.RawAs(token, "/api/v1/profiles?limit=1&namespace="+shop); err != nil || !strings.Contains(out, `"id"`) {
		t.Errorf("a viewer sees nothing: %s %v", out, err)
	}
	if out, err := f.RawAs(token, "/api/v1/profiles?limit=1&namespace="+notes); err == nil {
		t.Errorf("a viewer of another namespace sees %s", out)
	}
	remove(t)
	nothingButWhatStays(t, 1)
	if now := get(t, "ppol/checkout"); now.UID != w.states["ppol/checkout"].UID {
		t.Error("the policy is another one")
	}
}

// The first installation brings the kinds and a policy of one of them; values of that policy are obeyed by later upgrades, and rollbacks.
func fresh(t *testing.T, _ *world) {
	clean(t)
	if err := f.Install(values...); err != nil {
		t.Fatal(err)
	}
	spec := func() string {
		return f.K(t, "get", "cppol", "annotated-pods", "-o", "jsonpath={.metadata.uid} {.spec.sampling.replicas} {.spec.profiles[*].type}")
	}
	first := spec()
	f.PolicyIs(t, 30*time.Second, "", "annotated-pods", "annotated-pods is Ready", f.Is("Ready", "True", ""))
	if err := f.Install(append([]string{"annotatedPods.spec.sampling.replicas=2"}, values...)...); err != nil {
		t.Fatal(err)
	}
	if now := spec(); now != strings.Replace(first, "  ", " 2 ", 1) {
		t.Errorf("it was %s, is %s", first, now)
	}
	if _, err := f.Helm("rollback", "kube-pprof", "-n", f.Namespace, "--wait", "--timeout", "180s"); err != nil {
		t.Fatal(err)
	}
	if now := spec(); now != first {
		t.Errorf("it was %s, is %s", first, now)
	}
	if err := f.Install(append([]string{"annotatedPods.enabled=false"}, values...)...); err != nil {
		t.Fatal(err)
	}
	if out := f.K(t, "get", "cppol", "-o", "name"); strings.Contains(out, "annotated-pods") {
		t.Errorf("it is left")
	}
}
