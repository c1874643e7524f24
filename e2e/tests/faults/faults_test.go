// Package faults: processes are killed and networks end; what was acknowledged stays, once.
package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const (
	interval = 12 * time.Second
	duration = 3 * time.Second
	late     = 3 * time.Second // a start, on a machine that does other things as well
)

const policy = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: checkout}
spec:
  selector: {matchLabels: {app: checkout}}
  profiles:
  - {type: cpu, interval: 12s, duration: 3s}
  - {type: heap, interval: 10s}
  - {type: goroutine, interval: 10s}
  budget: {overheadPercent: 5, concurrentPerWorkload: 100%}
`

func setup(t *testing.T) string {
	t.Helper()
	ns := f.NewNamespace(t)
	f.Apply(t, ns, f.Workload(t, "checkout"))
	f.Apply(t, ns, policy)
	f.Rollout(t, ns, "deploy/checkout")
	f.Within(t, 60*time.Second, "captures run", func() error { return f.Some("namespace="+ns+"&type=cpu", nil) })
	return ns
}

func list(t *testing.T, ns string) []f.Profile {
	t.Helper()
	items, err := f.List("namespace=" + ns)
	if err != nil {
		t.Fatal(err)
	}
	return items
}

func whole(t *testing.T, before, after []f.Profile) {
	t.Helper()
	f.Whole(t, before, after)
}

func gap(items []f.Profile, kind string) time.Duration { return f.Gap(items, kind) }

// newCPU wants a CPU profile of each of the three pods that began after a time.
func newCPU(t *testing.T, ns string, after time.Time) error {
	t.Helper()
	seen := map[string]bool{}
	for _, p := range list(t, ns) {
		if p.Type == "cpu" && p.StartTime.After(after) {
			seen[p.Pod] = true
		}
	}
	if len(seen) != 3 {
		return fmt.Errorf("%d pods", len(seen))
	}
	return nil
}

// steady wants profiles of a type of each pod without a gap, from a time (zero: from the first on) to another.
func steady(t *testing.T, items []f.Profile, kind string, from, to time.Time) {
	t.Helper()
	longest, last := 2*interval+late, map[string]time.Time{}
	between := slices.DeleteFunc(slices.Clone(items), func(p f.Profile) bool {
		return p.Type != kind || p.StartTime.Before(from) || p.StartTime.After(to)
	})
	slices.SortFunc(between, func(a, b f.Profile) int { return a.StartTime.Compare(b.StartTime) })
	for _, p := range between {
		before, ok := last[p.Pod]
		if !ok && !from.IsZero() {
			before, ok = from, true
		}
		if ok && p.StartTime.Sub(before) > longest {
			t.Errorf("no %s profile of %s from %s to %s", kind, p.Pod, before, p.StartTime)
		}
		last[p.Pod] = p.StartTime
	}
	if len(last) != 3 {
		t.Errorf("%s profiles of %d pods from %s to %s", kind, len(last), from, to)
	}
	for pod, at := range last {
		if to.Sub(at) > longest {
			t.Errorf("no %s profile of %s from %s to %s", kind, pod, at, to)
		}
	}
}

// resumed wants no more than five seconds between two lines of the controller's log.
func resumed(t *testing.T, from, to string) {
	t.Helper()
	var times [2]time.Time
	f.Within(t, 10*time.Second, "it says "+to, func() error {
		times = [2]time.Time{}
		for _, text := range strings.Split(f.K(t, "logs", "-n", f.Namespace, "deploy/kube-pprof-controller"), "\n") {
			var line struct {
				TS  time.Time
				Msg string
			}
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Errorf("log line %q: %v", text, err)
			}
			for i, part := range []string{from, to} {
				if strings.Contains(line.Msg, part) && times[i].IsZero() {
					times[i] = line.TS
				}
			}
		}
		if times[0].IsZero() || times[1].IsZero() {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	took := times[1].Sub(times[0])
	if took > 5*time.Second {
		t.Errorf("from %q to %q: %s (%s, %s)", from, to, took, times[0], times[1])
	}
	t.Logf("schedule resumed after %.1f s (bound 5s)", took.Seconds())
}

func TestControllerKilledDuringCaptures(t *testing.T) {
	f.NeedOwn(t)
	ns := setup(t)
	before := list(t, ns)
	f.Kill9(t, "controller")
	back := time.Now()
	resumed(t, "controller starts", "this replica leads")
	// a pod's place may just be over, and stand late in the next slot; then it is confirmed, delivered, listed
	f.Within(t, 2*interval+duration+f.Slack, "every pod has a new CPU profile", func() error { return newCPU(t, ns, back) })
	after := list(t, ns)
	whole(t, before, after)
	// counters and times are written once a minute
	f.PolicyIs(t, 100*time.Second, ns, "checkout", "status is kept up", func(p *f.Policy) error {
		at, err := time.Parse(time.RFC3339, p.Status.LastCaptureTime)
		if err != nil || at.Before(back.Add(-time.Second)) {
			return fmt.Errorf("last capture %s", p.Status.LastCaptureTime)
		}
		return f.Is("CapturesSucceeding", "True", "")(p)
	})
}

func TestRegistryKilledDuringIngest(t *testing.T) {
	f.NeedOwn(t)
	ns := setup(t)
	before := list(t, ns)
	f.Kill9(t, "registry")
	back := time.Now()
	f.Within(t, 2*interval+duration+f.Slack, "new profiles are stored", func() error {
		for _, p := range list(t, ns) {
			if p.StartTime.After(back) {
				return nil
			}
		}
		return fmt.Errorf("none after %s", back)
	})
	time.Sleep(interval)
	after := list(t, ns)
	whole(t, before, after)
	if g := gap(after, "cpu"); g > 2*interval+late {
		t.Errorf("a capture was lost: %s between two CPU profiles of a pod", g)
	}
}

// The controller is killed meanwhile, with a spool that is not empty.
func TestRegistryAwayForTwoMinutes(t *testing.T) {
	f.NeedOwn(t)
	if testing.Short() {
		t.Skip("takes three minutes")
	}
	ns := setup(t)
	before := list(t, ns)
	f.K(t, "scale", "sts/kube-pprof-registry", "-n", f.Namespace, "--replicas=0")
	t.Cleanup(func() { _, _ = f.Kubectl("scale", "sts/kube-pprof-registry", "-n", f.Namespace, "--replicas=1") })
	away := time.Now()
	f.PolicyIs(t, 110*time.Second, ns, "checkout", "status says that captures wait", func(p *f.Policy) error {
		if p.Status.Captures.Spooled == 0 {
			return fmt.Errorf("none spooled")
		}
		return nil
	})
	time.Sleep(time.Until(away.Add(5 * interval))) // what waits is on the disk
	killed := time.Now()
	f.Kill9(t, "controller")
	again := time.Now()
	time.Sleep(max(time.Until(away.Add(2*time.Minute)), 2*interval+late)) // the new one captures as well
	f.K(t, "scale", "sts/kube-pprof-registry", "-n", f.Namespace, "--replicas=1")
	f.Ready(t, 60*time.Second, "registry")
	back := time.Now()
	f.Within(t, 10*time.Second, "the registry knows the targets again", func() error {
		targets, err := f.Targets(ns)
		if err == nil && len(targets) == 0 {
			err = fmt.Errorf("none")
		}
		return err
	})
	f.Within(t, 2*interval+duration+30*time.Second, "new captures are stored and the spool is empty", func() error {
		p, err := f.GetPolicy(ns, "checkout")
		if err != nil {
			return err
		}
		if n := len(list(t, ns)); p.Status.Captures.Spooled > 0 || n == len(before) {
			return fmt.Errorf("%d spooled, %d profiles", p.Status.Captures.Spooled, n)
		}
		for _, p := range list(t, ns) {
			if p.Type == "cpu" && p.StartTime.After(back) {
				return nil
			}
		}
		return fmt.Errorf("no new CPU profile")
	})
	now, after := time.Now(), list(t, ns)
	whole(t, before, after)
	for _, kind := range []string{"cpu", "heap"} {
		steady(t, after, kind, time.Time{}, killed.Add(-interval)) // what was on its way to the disk is lost
		steady(t, after, kind, again, now)
	}
}

func TestAPIServerAway(t *testing.T) {
	own := f.NeedOwn(t)
	ns := setup(t)
	before, restarts := list(t, ns), f.RestartCount(t, "controller")
	ctx := context.Background()
	if err := own.Stop(ctx, "0", "apiserver", "KILL"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Second)
	if err := own.Start(ctx, "0", "apiserver"); err != nil {
		t.Fatal(err)
	}
	f.Within(t, 60*time.Second, "API server answers", func() error { _, err := f.Kubectl("get", "--raw", "/readyz"); return err })
	f.Ready(t, 60*time.Second, "controller")
	time.Sleep(interval + duration)
	var after []f.Profile
	f.Within(t, 30*time.Second, "the registry lists", func() (err error) { after, err = f.List("namespace=" + ns); return err })
	whole(t, before, after)
	if g := gap(after, "cpu"); g > 2*interval+late {
		t.Errorf("captures stopped with the API server: %s between two CPU profiles of a pod", g)
	}
	if now := f.RestartCount(t, "controller"); now != restarts {
		t.Errorf("the controller was restarted while the API server was away: %s times, before %s", now, restarts)
	}
}
