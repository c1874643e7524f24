package targets

import (
	"encoding/json"
	"fmt"
	"regexp"
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
	bombBytes()
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
	for kind, want := range map[string]int{"heap": int(measured/(10*time.Second)) - 1, "cpu": int(measured/(20*time.Second)) - 1} {
		f.Within(t, 30*time.Second, "what was captured has come", func() error {
			items, err := f.List("namespace=" + ns)
			if err != nil {
				return err
			}
			count := map[string]int{}
			for _, p := range items {
				if p.StartTime.After(since) && p.StartTime.Before(since.Add(measured)) {
					count[p.Pod+" "+p.Type]++
				}
			}
			fewest, poor := 1<<30, 0
			for i := bad; i < bad+good; i++ {
				n := count[fmt.Sprintf("good-%d %s", i, kind)]
				if fewest = min(fewest, n); n < want {
					poor++
				}
			}
			if fewest < want {
				return fmt.Errorf("%d good pods have less than %d captures of %s, one has %d", poor, want, kind, fewest)
			}
			t.Logf("%s: %d of each good pod at least", kind, fewest)
			return nil
		})
	}
}

// inTime says whether a capture came to what its kind comes to. It may not have had the time: where all read as fast as they can, the
// machine decides whether the size or the time is over first, and a server that shares it may be slow to answer. That is told as well.
func inTime(p f.TargetProfile, outcome, says string) (ok, slow bool) {
	ok = p.LastResult == outcome && strings.Contains(p.Message, says)
	slow = p.LastResult == "Timeout" && regexp.MustCompile("gave no whole answer in time|stopped within its answer and was cut off|^no connection to .* in time").MatchString(p.Message)
	return ok, slow && !ok
}

// outcomes wants each kind's outcome and sentence of some pods and another of none, and the reasons in the policy.
func outcomes(t *testing.T, ns string) {
	t.Helper()
	told := map[string]bool{}
	f.Within(t, 60*time.Second, "each kind's outcome is told", func() error {
		targets, err := f.Targets(ns)
		if err != nil {
			return err
		}
		for _, k := range kinds {
			right, late := 0, 0
			for _, target := range targets {
				if !strings.HasPrefix(target.Pod, k.name+"-") || len(target.Profiles) != 1 {
					continue
				}
				p := target.Profiles[0]
				if p.LastResult == "" || p.LastResult == "Throttled" { // its own namespace's limits hold it
					continue
				}
				switch ok, slow := inTime(p, k.outcome, k.says); {
				case ok:
					right++
					if !told[k.name] {
						t.Logf("%s: %s: %s", k.name, p.LastResult, p.Message)
					}
					told[k.name] = true
				case slow:
					late++
				case !told[target.Pod]:
					told[target.Pod] = true
					t.Errorf("%s is not %s: %s: %s", target.Pod, k.outcome, p.LastResult, p.Message)
				}
			}
			if late > 0 {
				t.Logf("%s: %d are %s, %d had not the time", k.name, right, k.outcome, late)
			}
			if right < 3 {
				return fmt.Errorf("%s: %d of %d are %s, %d had not the time", k.name, right, bad/len(kinds), k.outcome, late)
			}
		}
		return nil
	})
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
