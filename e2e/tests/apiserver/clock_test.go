package apiserver

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const (
	shortInterval = 10 * time.Second
	shortDuration = 2 * time.Second
	settled       = 2*shortInterval + shortDuration + 2*f.Slack // captured, confirmed, delivered; and told
)

const shortPolicy = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: checkout}
spec:
  selector: {matchLabels: {app: checkout}}
  profiles:
  - {type: cpu, interval: 10s, duration: 2s}
  - {type: heap, interval: 10s}
  budget: {overheadPercent: 10, concurrentPerWorkload: 100%}
`

// clockWorld is the sample workload, captured by a controller whose clock is set.
type clockWorld struct {
	*f.Clock
	direct   *f.Direct
	ns       string
	restarts string
	lease    lease
	before   []f.Profile
	lines    int // of the log, read already
	edits    int
}

type lease struct {
	HolderIdentity   string
	RenewTime        time.Time
	LeaseTransitions int
}

func getLease(t *testing.T) lease {
	t.Helper()
	var object struct{ Spec lease }
	if err := json.Unmarshal([]byte(f.K(t, "get", "lease", "kube-pprof-controller", "-n", f.Namespace, "-o", "json")), &object); err != nil {
		t.Fatal(err)
	}
	return object.Spec
}

// The registry's clock is set an hour ahead, right again, and an hour behind, while it runs. The controller's is right. What is captured is
// stored all the while, with the controller's times, and nothing of before is gone.
func TestRegistryClock(t *testing.T) {
	f.NeedOwn(t)
	w := &clockWorld{Clock: f.NewClock(t, "registry", "statefulset/kube-pprof-registry"), direct: f.NewDirect(t), ns: f.NewNamespace(t)}
	w.begin(t)
	for _, step := range []struct {
		name  string
		ahead time.Duration
	}{{"AnHourAhead", time.Hour}, {"RightAgain", 0}, {"AnHourBehind", -time.Hour}} {
		if !t.Run(step.name, func(t *testing.T) { w.setRegistry(t, step.ahead) }) {
			return
		}
	}
}

func (w *clockWorld) setRegistry(t *testing.T, ahead time.Duration) {
	at := time.Now()
	w.Set(t, ahead)
	var items []f.Profile
	f.Within(t, settled, "what is captured since is stored", func() error {
		items = w.list(t)
		have := map[string]bool{}
		for _, p := range items {
			if p.StartTime.After(at) && p.StartTime.Before(time.Now()) {
				have[p.Pod+" "+p.Type] = true
			}
		}
		return w.each(have)
	})
	early := at.Add(min(ahead, 0)) // what is younger than the namespace is received when that was made
	for _, p := range items {
		if off := p.ReceivedTime.Sub(p.EndTime); p.StartTime.After(at) && (p.ReceivedTime.Before(early) || off > max(ahead, 0)+settled) {
			t.Errorf("%s ended at %s and was received at %s", p.ID, p.EndTime, p.ReceivedTime)
		}
	}
	w.whole(t, at, ahead)
	window := "&from=" + at.UTC().Format(time.RFC3339) + "&to=" + at.Add(time.Minute).UTC().Format(time.RFC3339) // without one: by the registry's clock
	if out, err := f.Raw("/api/v1/merge?startup=true&type=cpu&namespace=" + w.ns + window); err != nil {
		t.Errorf("merge: %v: %.300s", err, out)
	}
	if now := restarts(t); now != w.restarts {
		t.Errorf("restarts: %s; before %s", now, w.restarts)
	}
	well(t, f.Slack)
	if out, err := f.Readyz(t, "registry"); err != nil || !strings.Contains(out, "[+]writes ok") {
		t.Errorf("the registry says %q (%v)", out, err)
	}
	for _, line := range w.news(t) {
		t.Errorf("the controller warns: %s", line)
	}
}

// The controller's clock is set an hour ahead, right again, and an hour behind, while it runs. The registry's is right.
func TestClock(t *testing.T) {
	f.NeedOwn(t)
	w := &clockWorld{Clock: f.NewClock(t, "controller", "deployment/kube-pprof-controller"), direct: f.NewDirect(t), ns: f.NewNamespace(t)}
	w.begin(t)
	for _, step := range []struct {
		name  string
		ahead time.Duration
	}{{"AnHourAhead", time.Hour}, {"RightAgain", 0}, {"AnHourBehind", -time.Hour}} {
		if !t.Run(step.name, func(t *testing.T) { w.set(t, step.ahead) }) {
			return
		}
	}
}

func (w *clockWorld) begin(t *testing.T) {
	f.Apply(t, w.ns, f.Workload(t, "checkout"))
	f.Apply(t, w.ns, shortPolicy)
	f.Rollout(t, w.ns, "deploy/checkout")
	f.Within(t, 60*time.Second, "captures run", func() error { return w.eachStored(time.Time{}) })
	w.restarts, w.lease, w.before = restarts(t), getLease(t), w.list(t)
	w.news(t)
}

func (w *clockWorld) set(t *testing.T, ahead time.Duration) {
	counted := w.captured(t)
	at := time.Now()
	w.Set(t, ahead)
	f.Within(t, settled, "every pod was captured since, and the registry was told", func() error { return w.eachTold(at.Add(ahead)) })
	// of before the namespace was made nothing is kept: where the clock is behind, the times are by the API server's
	f.Within(t, f.Slack, "that is stored", func() error { return w.eachStored(at) })
	w.calm(t, counted, at)
	w.edits++ // which is answered at once, the time alone is written once a minute
	f.K(t, "patch", "profilingpolicies.kube-pprof.dev", "checkout", "-n", w.ns, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"budget":{"overheadPercent":%d}}}`, 10+w.edits))
	f.PolicyIs(t, 10*time.Second+f.Slack, w.ns, "checkout", "status is kept up", func(p *f.Policy) error {
		last, err := time.Parse(time.RFC3339, p.Status.LastCaptureTime)
		if now := time.Now().Add(ahead); err != nil || last.Before(at.Add(ahead).Add(-time.Second)) || last.After(now.Add(time.Second)) {
			return fmt.Errorf("lastCaptureTime is %s, the controller's clock says %s", p.Status.LastCaptureTime, now.UTC())
		}
		return f.Is("CapturesSucceeding", "True", "")(p)
	})
	w.leads(t, ahead)
	w.whole(t, at, ahead)
	if now := restarts(t); now != w.restarts {
		t.Errorf("restarts: %s; before %s", now, w.restarts)
	}
	well(t, f.Slack)
	behind := 0
	for _, line := range w.news(t) {
		if ahead < 0 && strings.Contains(line, "the clock is behind that of the API server") {
			behind++
		} else {
			t.Errorf("the controller warns: %s", line)
		}
	}
	if ahead < 0 && behind != 1 {
		t.Errorf("the controller warns %d times that its clock is behind", behind)
	}
}

func (w *clockWorld) list(t *testing.T) []f.Profile {
	t.Helper()
	items, err := f.List("namespace=" + w.ns)
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// each pod has a profile of both types.
func (w *clockWorld) each(have map[string]bool) error {
	pods, err := f.Kubectl("get", "pods", "-n", w.ns, "-l", "app=checkout", "-o", "jsonpath={.items[*].metadata.name}")
	if err != nil {
		return err
	}
	for _, pod := range strings.Fields(pods) {
		for _, kind := range []string{"cpu", "heap"} {
			if !have[pod+" "+kind] {
				return fmt.Errorf("no %s of %s; there are %v", kind, pod, have)
			}
		}
	}
	return nil
}

// eachStored goes by the registry's clock.
func (w *clockWorld) eachStored(after time.Time) error {
	items, err := f.List("namespace=" + w.ns)
	have := map[string]bool{}
	for _, p := range items {
		have[p.Pod+" "+p.Type] = have[p.Pod+" "+p.Type] || p.ReceivedTime.After(after)
	}
	if err != nil {
		return err
	}
	return w.each(have)
}

// eachTold goes by the controller's.
func (w *clockWorld) eachTold(after time.Time) error {
	targets, err := f.Targets(w.ns)
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, target := range targets {
		for _, p := range target.Profiles {
			last, err := time.Parse(time.RFC3339, p.LastSuccessTime)
			have[target.Pod+" "+p.Type] = err == nil && p.LastResult == "Succeeded" && last.After(after) && last.Before(after.Add(time.Minute))
		}
	}
	return w.each(have)
}

// captured is how many captures were begun.
func (w *clockWorld) captured(t *testing.T) (n float64) {
	t.Helper()
	all, err := w.direct.Metrics(f.Pods(t, f.Namespace, "app.kubernetes.io/component=controller")[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range all {
		if strings.HasPrefix(name, "kube_pprof_captures_total{") {
			n += value
		}
	}
	return n
}

// calm: nobody was captured more often than once in each slot, and once more.
func (w *clockWorld) calm(t *testing.T, before float64, since time.Time) {
	t.Helper()
	n, pods, slots := w.captured(t)-before, len(f.Pods(t, w.ns, "app=checkout")), int(time.Since(since)/shortInterval)+2
	t.Logf("%.0f captures of %d pods in %.1f s", n, pods, time.Since(since).Seconds())
	if int(n) > 2*pods*(slots+1) {
		t.Errorf("%.0f captures of %d pods within %d slots", n, pods, slots)
	}
}

// leads: it holds its Lease all the time, and renews it with the time it has.
func (w *clockWorld) leads(t *testing.T, ahead time.Duration) {
	t.Helper()
	now := getLease(t)
	if now.HolderIdentity != w.lease.HolderIdentity || now.LeaseTransitions != w.lease.LeaseTransitions {
		t.Errorf("the Lease is %+v; before %+v", now, w.lease)
	}
	if off := time.Now().Add(ahead).Sub(now.RenewTime); off < -time.Second || off > 8*time.Second+f.Slack {
		t.Errorf("the Lease was renewed at %s by the controller's clock, %s ago", now.RenewTime, off)
	}
}

// whole: what was stored is stored, once, and a capture is as long as it is, even where the clock was set meanwhile.
func (w *clockWorld) whole(t *testing.T, at time.Time, ahead time.Duration) {
	t.Helper()
	after := w.list(t)
	ids, keys := map[string]bool{}, map[string]bool{}
	for _, p := range after {
		key := fmt.Sprintf("%s/%s/%s/%d", p.PodUID, p.Container, p.Type, p.SlotTime.UnixMilli())
		if ids[p.ID] || keys[key] {
			t.Errorf("%s (%s) is there twice", p.ID, key)
		}
		ids[p.ID], keys[key] = true, true
		if took := p.EndTime.Sub(p.StartTime); took < 0 || took > shortDuration+f.Slack {
			t.Errorf("%s: a %s profile from %s to %s", p.ID, p.Type, p.StartTime, p.EndTime)
		}
	}
	for _, p := range w.before {
		if !ids[p.ID] {
			t.Errorf("profile %s (%s of %s, %s) was acknowledged and is gone", p.ID, p.Type, p.Pod, p.StartTime)
		}
	}
	w.before = after
}

// news are the warnings in the controller's log since the last call.
func (w *clockWorld) news(t *testing.T) (fresh []string) {
	t.Helper()
	lines := strings.Split(f.K(t, "logs", "-n", f.Namespace, "deploy/kube-pprof-controller"), "\n")
	for _, line := range lines[min(w.lines, len(lines)):] {
		if strings.Contains(line, `"level":"warn"`) || strings.Contains(line, `"level":"error"`) {
			fresh = append(fresh, line)
		}
	}
	w.lines = len(lines)
	return fresh
}
