// Package policies: the life of a policy as a person works with it. What waits long runs beside others, in a namespace of its own.
package policies

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

func heapPolicy(name, interval, more string) string {
	return fmt.Sprintf(`
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: %s}
spec:
  selector: {matchLabels: {app: checkout}}
  profiles: [{type: heap, interval: %s}]
  budget: {overheadPercent: 5, concurrentPerWorkload: 100%%}
%s`, name, interval, more)
}

func count(t *testing.T, query string) int {
	t.Helper()
	items, err := f.List(query)
	if err != nil {
		t.Fatal(err)
	}
	return len(items)
}

// none wants no capture to have begun after a time; one that was in flight then may be stored late.
func none(t *testing.T, query string, after time.Time, why string) {
	t.Helper()
	items, err := f.List(query)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range items {
		if p.StartTime.After(after) {
			t.Errorf("%s of %s was captured at %s, after %s, although %s", p.Type, p.Pod, p.StartTime, after, why)
		}
	}
}

func checkout(t *testing.T) string {
	t.Helper()
	ns := f.NewNamespace(t)
	f.Apply(t, ns, f.Workload(t, "checkout"))
	f.Rollout(t, ns, "deploy/checkout")
	return ns
}

func TestEditSuspendResumeDelete(t *testing.T) {
	t.Parallel()
	ns := checkout(t)
	f.Apply(t, ns, heapPolicy("checkout", "10s", ""))
	f.Within(t, 60*time.Second, "heap profiles", func() error { return f.Some("namespace="+ns+"&type=heap", nil) })

	// edit: another type
	f.K(t, "patch", "ppol", "checkout", "-n", ns, "--type=merge", "-p", `{"spec":{"profiles":[{"type":"goroutine","interval":"10s"}]}}`)
	f.PolicyIs(t, time.Second+f.Slack, ns, "checkout", "the edit is seen", f.Is("Accepted", "True", ""))
	edited := time.Now()
	f.Within(t, 60*time.Second, "goroutine profiles after the edit", func() error { return f.Some("namespace="+ns+"&type=goroutine", nil) })

	// suspend: nothing more is captured, and that is fine
	f.K(t, "patch", "ppol", "checkout", "-n", ns, "--type=merge", "-p", `{"spec":{"suspend":true}}`)
	f.PolicyIs(t, time.Second+f.Slack, ns, "checkout", "suspended", f.Is("Ready", "True", "Suspended"))
	suspended := time.Now()
	time.Sleep(13*time.Second + f.Slack) // a whole interval, and what it takes to be confirmed, delivered, stored
	none(t, "namespace="+ns, suspended, "the policy is suspended")
	none(t, "namespace="+ns+"&type=heap", edited, "the policy stopped asking for it")

	// resume
	resumed := time.Now()
	f.K(t, "patch", "ppol", "checkout", "-n", ns, "--type=merge", "-p", `{"spec":{"suspend":false}}`)
	f.PolicyIs(t, time.Second+f.Slack, ns, "checkout", "resumed", func(p *f.Policy) error {
		if p.Condition("Ready").Reason == "Suspended" {
			return fmt.Errorf("still suspended")
		}
		return nil
	})
	f.Within(t, 60*time.Second, "profiles after resuming", func() error {
		items, err := f.List("namespace=" + ns)
		if err == nil && !slices.ContainsFunc(items, func(p f.Profile) bool { return p.StartTime.After(resumed) }) {
			err = fmt.Errorf("none of %d", len(items))
		}
		return err
	})

	// delete
	f.K(t, "delete", "ppol", "checkout", "-n", ns, "--timeout=10s")
	f.Within(t, 3*time.Second+f.Slack, "no targets after deletion", func() error {
		targets, err := f.Targets(ns)
		if err == nil && len(targets) > 0 {
			err = fmt.Errorf("targets are %+v", targets)
		}
		return err
	})
	deleted := time.Now()
	time.Sleep(12*time.Second + f.Slack)
	none(t, "namespace="+ns, deleted, "the policy was deleted")
}

func TestTwoPoliciesShareACapture(t *testing.T) {
	t.Parallel()
	ns := checkout(t)
	f.Apply(t, ns, heapPolicy("slow", "20s", "  labels: {static: {team: slow}}\n")+"---"+heapPolicy("fast", "10s", "  labels: {static: {env: prod}}\n"))
	for _, name := range []string{"slow", "fast"} {
		f.PolicyIs(t, 30*time.Second, ns, name, name+" is known", f.Is("Ready", "True", ""))
	}
	both := time.Now().Add(time.Second) // what began before may be of the first alone
	// counters are written at most once a minute, and a pass may come a few seconds later
	for _, name := range []string{"slow", "fast"} {
		f.PolicyIs(t, 100*time.Second, ns, name, name+" counts captures", func(p *f.Policy) error {
			if p.Status.Captures.Succeeded < 3 || p.Status.Targets.Sampled != 3 {
				return fmt.Errorf("not yet")
			}
			return nil
		})
	}
	time.Sleep(12 * time.Second)
	items, err := f.List("namespace=" + ns + "&type=heap")
	if err != nil {
		t.Fatal(err)
	}
	// All captures of a pod lie in slots of the shorter interval, one in each: apart, each policy would have slots of its own. (Two captures
	// may be close: at the end of a slot and at the start of the next.)
	slots, first := map[string]bool{}, map[string]time.Time{}
	items = slices.DeleteFunc(items, func(p f.Profile) bool { return p.StartTime.Before(both) })
	if len(items) < 3 {
		t.Errorf("%d profiles after both policies were known", len(items))
	}
	for _, p := range items {
		slot := fmt.Sprintf("%s %s", p.Pod, p.SlotTime.Format(time.RFC3339Nano))
		if slots[slot] {
			t.Errorf("two captures in slot %s: one must serve both policies", slot)
		}
		slots[slot] = true
		if _, ok := first[p.Pod]; !ok {
			first[p.Pod] = p.SlotTime
		}
		if apart := p.SlotTime.Sub(first[p.Pod]); apart%(10*time.Second) != 0 {
			t.Errorf("slots of %s are %s apart, not whole intervals of 10 s", p.Pod, apart)
		}
		if p.Labels["env"] != "prod" || p.Labels["team"] != "slow" {
			t.Errorf("the labels of both policies must be there: %v", p.Labels)
			break
		}
	}
}

func TestAnInfeasiblePolicySaysByHowMuch(t *testing.T) {
	t.Parallel()
	ns := checkout(t)
	// 9 s of CPU profile in every 10: 2.7 % of each process, 0.5 are allowed
	f.Apply(t, ns, `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: greedy}
spec:
  selector: {matchLabels: {app: checkout}}
  profiles: [{type: cpu, interval: 10s, duration: 8s}]
  budget: {overheadPercent: "0.5"}
`)
	p := f.PolicyIs(t, 30*time.Second, ns, "greedy", "Feasible is False", f.Is("Feasible", "False", ""))
	if message := p.Condition("Feasible").Message; len(regexp.MustCompile(`[0-9]+`).FindAllString(message, -1)) < 2 {
		t.Errorf("the message holds no numbers: %q", message)
	}
	if c := p.Condition("Ready"); c.Status != "True" {
		t.Errorf("a stretched policy is still ready: %+v", c)
	}
}

func TestNothingMatchesIsNoFailure(t *testing.T) {
	ns := f.NewNamespace(t)
	f.Apply(t, ns, heapPolicy("lonely", "10s", ""))
	f.PolicyIs(t, time.Second+f.Slack, ns, "lonely", "NoPods", f.Is("TargetsDiscovered", "True", "NoPods"))
	f.K(t, "wait", "-n", ns, "--for=condition=Ready", "ppol/lonely", "--timeout=10s")
}

func TestAClusterPolicyWithANamespaceSelector(t *testing.T) {
	t.Parallel()
	in, out := checkout(t), checkout(t)
	f.K(t, "label", "namespace", in, "e2e-team=blue")
	f.Apply(t, "", `
apiVersion: kube-pprof.dev/v1alpha1
kind: ClusterProfilingPolicy
metadata: {name: e2e-blue}
spec:
  selector: {}
  namespaceSelector: {matchLabels: {e2e-team: blue}}
  profiles: [{type: heap, interval: 10s}]
`)
	t.Cleanup(func() { _, _ = f.Kubectl("delete", "cppol", "e2e-blue", "--ignore-not-found") })
	f.Within(t, 60*time.Second, "profiles of the namespace with the label", func() error { return f.Some("namespace="+in+"&type=heap", nil) })
	if n := count(t, "namespace="+out); n > 0 {
		t.Errorf("%d profiles of a namespace without the label", n)
	}
	f.K(t, "label", "namespace", out, "e2e-team=blue")
	f.Within(t, 60*time.Second, "profiles after labelling", func() error { return f.Some("namespace="+out+"&type=heap", nil) })
}

func TestAMissingSecretIsSaid(t *testing.T) {
	t.Parallel()
	ns := checkout(t)
	f.Apply(t, ns, heapPolicy("secretive", "10s", `  endpoints:
  - name: main
    port: pprof
    scheme: HTTPS
    authorization: {type: Bearer, secretRef: {name: nowhere, key: token}}
`))
	p := f.PolicyIs(t, 30*time.Second, ns, "secretive", "not accepted", f.Is("Accepted", "False", ""))
	if m := p.Condition("Accepted").Message; !strings.Contains(m, "nowhere") {
		t.Errorf("the message does not name the Secret: %q", m)
	}
}

// The right to read a Secret is not enough: it is meant for us only with the label.
func TestASecretWithoutTheLabelIsNotUsed(t *testing.T) {
	t.Parallel()
	ns := checkout(t)
	f.K(t, "create", "secret", "generic", "unmarked", "-n", ns, "--from-literal=token=hush")
	f.K(t, "create", "rolebinding", "kube-pprof", "-n", ns, "--clusterrole=kube-pprof-credentials", "--serviceaccount="+f.Namespace+":kube-pprof-controller")
	f.Apply(t, ns, heapPolicy("unmarked", "10s", `  endpoints:
  - name: main
    port: pprof
    scheme: HTTPS
    authorization: {type: Bearer, secretRef: {name: unmarked, key: token}}
`))
	p := f.PolicyIs(t, 40*time.Second, ns, "unmarked", "not accepted", f.Is("Accepted", "False", ""))
	if m := p.Condition("Accepted").Message; !strings.Contains(m, "'unmarked'") || !strings.Contains(m, "kube-pprof.dev/use=true") {
		t.Errorf("the message does not say which label is missing: %q", m)
	}
	f.K(t, "label", "secret", "unmarked", "-n", ns, "kube-pprof.dev/use=true")
	f.PolicyIs(t, 60*time.Second, ns, "unmarked", "accepted with the label", f.Is("Accepted", "True", ""))
}

// Examples are documentation: each one has to work.
func TestExamplesApply(t *testing.T) {
	t.Parallel()
	ns := f.NewNamespace(t)
	files, err := filepath.Glob(filepath.Join(f.Root(), "crds/examples/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := regexp.MustCompile(`namespace: [a-z0-9-]+`).ReplaceAllString(string(data), "namespace: "+ns)
		if out, err := f.KubectlIn(text, "apply", "--dry-run=server", "-n", ns, "-f", "-"); err != nil {
			t.Errorf("%s: %v %s", filepath.Base(file), err, out)
		}
	}
}

var messageLine = regexp.MustCompile(`(?m)^# message: *(.*)$`)

func TestWrongPoliciesAreRefusedWithTheMessageBesideThem(t *testing.T) {
	t.Parallel()
	ns := f.NewNamespace(t)
	files, err := filepath.Glob(filepath.Join(f.Root(), "crds/examples/invalid/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := messageLine.FindStringSubmatch(string(data))
		if want == nil {
			t.Errorf("%s has no line '# message: ...'", filepath.Base(file))
			continue
		}
		text := regexp.MustCompile(`namespace: [a-z0-9-]+`).ReplaceAllString(string(data), "namespace: "+ns)
		_, err = f.KubectlIn(text, "apply", "-n", ns, "-f", "-")
		if err == nil {
			t.Errorf("%s was accepted", filepath.Base(file))
		} else if !strings.Contains(err.Error(), strings.Trim(want[1], `"' `)) {
			t.Errorf("%s: not %q but %v", filepath.Base(file), want[1], err)
		}
	}
}

func TestExplainIsTheReference(t *testing.T) {
	f.NeedCluster(t)
	for _, path := range []string{"", ".spec", ".spec.selector", ".spec.annotationPolicy", ".spec.endpoints", ".spec.endpoints.port", ".spec.profiles",
		".spec.profiles.interval", ".spec.sampling", ".spec.budget", ".spec.onBusy", ".spec.service", ".spec.labels", ".spec.retention", ".status"} {
		for _, kind := range []string{"profilingpolicies", "clusterprofilingpolicies"} {
			out := f.K(t, "explain", kind+path)
			if strings.Contains(out, "<empty>") || !strings.Contains(out, "DESCRIPTION") {
				t.Errorf("%s%s is not described:\n%s", kind, path, out)
			}
		}
	}
}

// The check that comes with the CRDs, which a person may run on any cluster; it sees to it that every field is described.
func TestTheCRDsOwnCheck(t *testing.T) {
	f.NeedCluster(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	out, err := f.Command(ctx, filepath.Join(f.Root(), "crds/check"), "kubectl").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}
