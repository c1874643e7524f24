package lifecycle

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const (
	shop  = "lifecycle-shop"  // has a policy of its own, and one of the platform
	notes = "lifecycle-notes" // opts in by annotation
	crds  = "crd/profilingpolicies.kube-pprof.dev"
)

// What is captured, and by which policy.
var captured = map[string]string{
	"ppol/checkout":        "namespace=" + shop + "&type=goroutine",
	"cppol/platform":       "namespace=" + shop + "&type=threadcreate",
	"cppol/annotated-pods": "namespace=" + notes + "&type=goroutine",
}

// So that it is captured often; the same at every step.
var values = []string{"annotatedPods.profiles[0].type=goroutine", "annotatedPods.profiles[0].interval=10s"}

var only = append([]string{"watchNamespaces={" + shop + "}"}, values...)

const policies = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: checkout, namespace: ` + shop + `}
spec:
  selector: {matchLabels: {app: checkout}}
  budget: {overheadPercent: 20, concurrentPerWorkload: 100%}
  profiles: [{type: goroutine, interval: 10s}]
---
apiVersion: kube-pprof.dev/v1alpha1
kind: ClusterProfilingPolicy
metadata: {name: platform}
spec:
  selector: {matchLabels: {app: checkout}}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ` + shop + `}}
  profiles: [{type: threadcreate, interval: 10s}]
`

type state struct {
	UID       string
	ReadyAt   string // when Ready became what it is
	Succeeded int
}

type world struct {
	states   map[string]state // of the policies
	profiles []string
	served   string // of the CRD, what is given back by an upgrade
}

func build(t *testing.T) *world {
	t.Helper()
	t.Cleanup(func() {
		f.K(t, "delete", "cppol", "platform", "--ignore-not-found", "--wait=false")
		f.K(t, "delete", "namespace", shop, notes, "--ignore-not-found", "--wait=false")
	})
	return &world{}
}

func clean(t *testing.T) {
	t.Helper()
	if out, err := f.Helm("list", "-n", f.Namespace, "-q", "-a"); err == nil && strings.TrimSpace(out) != "" {
		remove(t)
	}
	f.K(t, "delete", "crd", "profilingpolicies.kube-pprof.dev", "clusterprofilingpolicies.kube-pprof.dev", "--ignore-not-found", "--timeout=60s")
}

func remove(t *testing.T) {
	t.Helper()
	if _, err := f.Helm("uninstall", "kube-pprof", "-n", f.Namespace, "--wait", "--timeout", "180s"); err != nil {
		t.Fatal(err)
	}
}

func earlier() string { return filepath.Join(f.Root(), "e2e/testdata/kube-pprof-0.1.0.tgz") }

// until waits for captures of now by each of the policies.
func until(t *testing.T, policies ...string) {
	t.Helper()
	since := time.Now().UTC().Format(time.RFC3339)
	for _, policy := range policies {
		f.Within(t, 60*time.Second, policy+" captures", func() error { return f.Some(captured[policy]+"&from="+since, nil) })
	}
}

func get(t *testing.T, policy string) state {
	t.Helper()
	args := []string{"get", policy, "-o", "json"}
	if strings.HasPrefix(policy, "ppol") {
		args = append(args, "-n", shop)
	}
	var o struct {
		Metadata struct{ UID string }
		Status   struct {
			Captures   struct{ Succeeded int }
			Conditions []struct{ Type, Status, LastTransitionTime string }
		}
	}
	if err := json.Unmarshal([]byte(f.K(t, args...)), &o); err != nil {
		t.Fatal(err)
	}
	s := state{UID: o.Metadata.UID, Succeeded: o.Status.Captures.Succeeded}
	for _, c := range o.Status.Conditions {
		if c.Type == "Ready" {
			s.ReadyAt = c.Status + " " + c.LastTransitionTime
		}
	}
	return s
}

func profiles(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, ns := range []string{shop, notes} {
		items, err := f.List("namespace=" + ns)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range items {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// remember notes what the next step may not lose.
func (w *world) remember(t *testing.T) {
	t.Helper()
	w.states = map[string]state{}
	for policy := range captured {
		w.states[policy] = get(t, policy)
	}
	w.profiles = profiles(t)
}

// kept checks that the policies are those of before, with their status, go on to be captured, and that no profile is lost.
func (w *world) kept(t *testing.T, policies ...string) {
	t.Helper()
	until(t, policies...)
	for _, policy := range policies {
		before, now := w.states[policy], get(t, policy)
		if now.UID != before.UID {
			t.Errorf("%s is another one", policy)
		}
		if now.ReadyAt != before.ReadyAt {
			t.Errorf("%s: Ready was %s, is %s", policy, before.ReadyAt, now.ReadyAt)
		}
	}
	now := profiles(t)
	for _, id := range w.profiles {
		if !slices.Contains(now, id) {
			t.Errorf("profile %s is lost", id)
		}
	}
}

func everything() []string {
	return []string{"ppol/checkout", "cppol/platform", "cppol/annotated-pods"}
}

func test(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	told, err := f.Command(ctx, "helm", "test", "kube-pprof", "-n", f.Namespace, "--timeout", "90s").CombinedOutput()
	out := string(told)
	if err != nil {
		t.Fatal(err, out)
	}
	if n := strings.Count(out, "ok      http"); n != 3 {
		t.Errorf("helm test says %d times ok: %s", n, out)
	}
	if left := f.K(t, "get", "pods,services", "-n", f.Namespace, "-o", "name"); strings.Contains(left, "-test") {
		t.Errorf("it leaves %s", left)
	}
}

// labelled are all objects of the release, of every kind the cluster has.
func labelled(t *testing.T) []string {
	t.Helper()
	kinds := strings.Fields(f.K(t, "api-resources", "--verbs=list", "-o", "name"))
	kinds = slices.DeleteFunc(kinds, func(k string) bool {
		return strings.HasPrefix(k, "events") || strings.HasSuffix(k, "data.kube-pprof.dev")
	})
	out := f.K(t, "get", strings.Join(kinds, ","), "-A", "-l", "app.kubernetes.io/instance=kube-pprof", "-o", "name")
	names := strings.Fields(out)
	slices.Sort(names)
	return slices.Compact(names)
}

// nothingButWhatStays waits until no object of the release is left but those that are to stay.
func nothingButWhatStays(t *testing.T, claims int) {
	t.Helper()
	f.Within(t, 60*time.Second, "nothing else is left", func() error {
		var more []string
		for _, name := range labelled(t) {
			switch {
			case strings.HasPrefix(name, "customresourcedefinition"), strings.HasPrefix(name, "secret/kube-pprof-registry-"):
			case strings.HasPrefix(name, "persistentvolumeclaim/") && claims > 0:
			default:
				more = append(more, name)
			}
		}
		if len(more) > 0 {
			return fmt.Errorf("left are %v", more)
		}
		return nil
	})
	if out := f.K(t, "get", "apiservices", "-o", "name"); strings.Contains(out, "data.kube-pprof.dev") {
		t.Errorf("the APIService is left: %s", out)
	}
	if out := f.K(t, "get", "cppol", "-o", "name"); strings.Contains(out, "annotated-pods") {
		t.Errorf("annotated-pods is left")
	}
}
