package targets

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const (
	bad, good, nodes = 500, 100, 60
	measured         = 45 * time.Second
)

const stormPolicy = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: storm}
spec:
  selector: {}
  profiles: [{type: heap, interval: 30s}]
  budget: {overheadPercent: 5, concurrentPerWorkload: 100%, profileBytes: 2Mi}
`

const calmPolicy = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: calm}
spec:
  selector: {matchLabels: {app: good}}
  profiles: [{type: heap, interval: 10s}, {type: cpu, interval: 20s, duration: 1s}]
  budget: {overheadPercent: 5, concurrentPerWorkload: 100%}
`

// A tenant's 500 pods misbehave in every way; another's 100 are captured as if they were alone.
func TestBadTargetsHurtNobody(t *testing.T) {
	w := newWorld(t)
	calm, storm := w.namespace(t), w.namespace(t)
	controller, registry := w.process(t, "controller"), w.process(t, "registry")
	metadata := w.lure(t, controller)
	w.alone(t)
	var pods []*pod
	for i := range bad + good {
		p := &pod{ns: storm, name: fmt.Sprintf("%s-%d", kinds[i%len(kinds)].name, i), app: kinds[i%len(kinds)].name, ip: podIP(i),
			node: fmt.Sprintf("far-%d", i%nodes), hostIP: fmt.Sprintf(farIP, i%nodes+1)}
		if i >= bad {
			p.ns, p.app, p.name = calm, "good", fmt.Sprintf("good-%d", i)
		} else {
			w.server.kind[p.ip] = i % len(kinds)
		}
		pods = append(pods, p)
	}
	pods = append(pods, &pod{ns: calm, name: "stirred", app: "stirred", ip: podIP(bad + good), node: "far-0"})
	f.Apply(t, storm, stormPolicy)
	f.Apply(t, calm, calmPolicy)
	w.postAll(t, pods)
	forget(t, controller)
	forget(t, registry)
	time.Sleep(5 * time.Second) // new pods are captured soon: that is no part of the schedule
	began := time.Now()
	budget := 0.0
	for i := 0; time.Since(began) < measured; i++ {
		w.stir(t, calm, i) // as in every cluster something happens to some pod: that confirms captures
		page := f.Metrics(t, "controller")
		budget = max(budget, metric(page, "kube_pprof_capture_bytes_in_flight"))
		time.Sleep(300 * time.Millisecond)
	}
	tell(t, f.Metrics(t, "controller"))
	now, most := memory(t, controller)
	t.Logf("controller: %d MiB now, %d at most; bytes in flight: %.1f MiB at most", now, most, budget/(1<<20))
	if most > 120 {
		t.Errorf("the controller took %d MiB", most)
	}
	if budget > 66<<20 { // the budget, and one that reads on so that something ends
		t.Errorf("%.1f MiB were in flight", budget/(1<<20))
	}
	now, most = memory(t, registry)
	t.Logf("registry: %d MiB now, %d at most", now, most)
	if most > 512 {
		t.Errorf("the registry took %d MiB", most)
	}
	lag(t, calm, began)
	captured(t, calm, began)
	outcomes(t, storm)
	if n := metadata(); n != 0 {
		t.Errorf("%d connections came for the metadata address", n)
	}
	if restarts := f.RestartCount(t, "controller") + f.RestartCount(t, "registry"); restarts != "00" {
		t.Errorf("restarts: %s", restarts)
	}
}

// lag is how late captures of a namespace started, as the controller's log tells.
func lag(t *testing.T, ns string, since time.Time) {
	t.Helper()
	var late []float64
	log := f.K(t, "logs", "-n", f.Namespace, "deploy/kube-pprof-controller", "--since-time="+since.UTC().Format(time.RFC3339))
	for _, line := range strings.Split(log, "\n") {
		var l struct {
			Msg, Namespace string
			Lag            float64 `json:"lag_seconds"`
		}
		if !strings.Contains(line, "capture starts") || json.Unmarshal([]byte(line), &l) != nil || l.Namespace != ns {
			continue
		}
		late = append(late, l.Lag)
	}
	if len(late) < good {
		t.Fatalf("%d captures started", len(late))
	}
	slices.Sort(late)
	p99 := late[len(late)*99/100]
	t.Logf("%d captures of the good ones: start lag p50 %.3f s, p99 %.3f s, most %.3f s", len(late), late[len(late)/2], p99, late[len(late)-1])
	if p99 > (time.Second + f.Slack).Seconds() {
		t.Errorf("the good ones start %.1f s late", p99)
	}
}

// captured wants what was asked for of each good pod.
func captured(t *testing.T, ns string, since time.Time) {
	t.Helper()
	count := map[string]int{}
	items, err := f.List("namespace=" + ns)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range items {
		if p.StartTime.After(since) {
			count[p.Pod+" "+p.Type]++
		}
	}
	t.Logf("%d profiles of the good ones are stored, %d pods and types began since", len(items), len(count))
	for kind, want := range map[string]int{"heap": int(measured/(10*time.Second)) - 1, "cpu": int(measured/(20*time.Second)) - 1} {
		fewest, poor := 1<<30, 0
		for i := bad; i < bad+good; i++ {
			n := count[fmt.Sprintf("good-%d %s", i, kind)]
			if fewest = min(fewest, n); n < want {
				poor++
			}
		}
		t.Logf("%s: %d of each good pod at least, %d pods have less than %d", kind, fewest, poor, want)
		if fewest < want {
			t.Errorf("a good pod has %d captures of %s, not %d", fewest, kind, want)
		}
	}
}

// outcomes wants each kind's outcome and sentence of every pod, and the reasons in the policy.
func outcomes(t *testing.T, ns string) {
	t.Helper()
	targets, err := f.Targets(ns)
	if err != nil {
		t.Fatal(err)
	}
	right, wrong := map[string]int{}, map[string]string{}
	for _, target := range targets {
		for _, k := range kinds {
			if !strings.HasPrefix(target.Pod, k.name+"-") || len(target.Profiles) != 1 {
				continue
			}
			if p := target.Profiles[0]; p.LastResult == k.outcome && strings.Contains(p.Message, k.says) {
				right[k.name]++
				if right[k.name] == 1 {
					t.Logf("%s: %s: %s", k.name, p.LastResult, p.Message)
				}
			} else if p.LastResult != "" && p.LastResult != "Throttled" { // its own namespace's limits hold it
				wrong[k.name] = fmt.Sprintf("%s: %s", p.LastResult, p.Message)
			}
		}
	}
	for _, k := range kinds {
		// some wait for what their own namespace may: but none is told wrong
		if right[k.name] < 3 || wrong[k.name] != "" {
			t.Errorf("%s: %d of %d are %s; one is %q", k.name, right[k.name], bad/len(kinds), k.outcome, wrong[k.name])
		}
	}
	p := f.PolicyIs(t, 30*time.Second, ns, "storm", "the policy names what fails", func(p *f.Policy) error {
		if len(p.Status.Failures) < 5 {
			return fmt.Errorf("%d reasons", len(p.Status.Failures))
		}
		return f.Is("CapturesSucceeding", "False", "")(p)
	})
	for _, failure := range p.Status.Failures {
		t.Logf("status: %s (%d targets) %s", failure.Reason, failure.Targets, failure.Message)
	}
	for _, c := range p.Status.Conditions {
		t.Logf("status: %s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
	}
}

// tell logs the metrics that say what waited for what.
func tell(t *testing.T, page string) {
	t.Helper()
	for _, line := range strings.Split(page, "\n") {
		for _, name := range []string{"captures_waited", "captures_waiting", "captures_throttled", "captures_unconfirmed", "sink_", "captures_running", "bytes_in_flight", "spool", "captures_total", "process_resident", "loop"} {
			if strings.HasPrefix(line, "kube_pprof_"+name) || strings.HasPrefix(line, name) {
				t.Log(line)
			}
		}
	}
}
