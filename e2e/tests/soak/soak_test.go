// Package soak lets pods, policies and namespaces come and go, and questions be asked, for a while: memory, descriptors, targets and
// metrics stay what they are meanwhile, and are what they were when it is over. KP_E2E_SOAK is how long (default 40s; by hand: 30m).
package soak

import (
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

// sample is one look at a role.
type sample struct {
	at      time.Duration
	anon    float64 // MiB
	metrics map[string]float64
}

type role struct {
	name, pod, node, pid string
	samples              []sample
}

func (r *role) anon(own *harness.Cluster) (float64, error) {
	argv, err := own.Node(r.node, "sed", "-n", "s/RssAnon:[^0-9]*\\([0-9]*\\).*/\\1/p", "/proc/"+r.pid+"/status")
	if err != nil {
		return 0, err
	}
	out, err := f.Host(context.Background(), argv)
	if err != nil {
		return 0, err
	}
	var kib float64
	_, err = fmt.Sscan(out, &kib)
	return kib / 1024, err
}

func findRole(t *testing.T, own *harness.Cluster, name string) *role {
	t.Helper()
	r := &role{name: name}
	r.pod = f.Pods(t, f.Namespace, "app.kubernetes.io/component="+name)[0]
	r.node = f.K(t, "get", "pod", r.pod, "-n", f.Namespace, "-o", "jsonpath={.spec.nodeName}")
	argv, err := own.Node(r.node, "sh", "-c", `exec 2>/dev/null; for p in /proc/[0-9]*; do
		[ "$(tr '\0' ' ' <$p/cmdline 2>/dev/null | cut -d' ' -f1,2)" = "/kube-pprof $1" ] && echo ${p#/proc/}; done; true`, "sh", name)
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.Host(context.Background(), argv)
	if r.pid = strings.TrimSpace(out); err != nil || r.pid == "" || strings.Contains(r.pid, "\n") {
		t.Fatalf("process of the %s: %q, %v", name, out, err)
	}
	return r
}

func (r *role) look(c *f.Direct, own *harness.Cluster, at time.Duration) (sample, error) {
	metrics, err := c.Metrics(r.pod)
	if err != nil {
		return sample{}, err
	}
	anon, err := r.anon(own)
	return sample{at, anon, metrics}, err
}

// sum of a family.
func (s sample) sum(name string) (n float64) {
	for key, value := range s.metrics {
		if key == name || strings.HasPrefix(key, name+"{") {
			n += value
		}
	}
	return n
}

func (s sample) families() map[string]int {
	n := map[string]int{}
	for key := range s.metrics {
		name, _, _ := strings.Cut(key, "{")
		n[name]++
	}
	return n
}

// growth by the straight line that fits best, over all samples from a time on; and their mean.
func growth(samples []sample, from time.Duration, value func(sample) float64) (grown, mean float64) {
	var n, sx, sy, sxx, sxy float64
	var first, last time.Duration
	for _, s := range samples {
		if s.at < from {
			continue
		}
		if n == 0 {
			first = s.at
		}
		last = s.at
		x, y := s.at.Seconds(), value(s)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if d := n*sxx - sx*sx; d > 0 {
		grown = (n*sxy - sx*sy) / d * (last - first).Seconds()
	}
	return grown, sy / max(n, 1)
}

func duration(t *testing.T) time.Duration {
	text := os.Getenv("KP_E2E_SOAK")
	if text == "" {
		return 40 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal("KP_E2E_SOAK: ", err)
	}
	return d
}

func settle(d time.Duration) time.Duration { return min(d/3, 3*time.Minute) }

func anonOf(s sample) float64    { return s.anon }
func fdsOf(s sample) float64     { return s.metrics["process_open_fds"] }
func linesOf(s sample) float64   { return float64(len(s.metrics)) }
func seriesOf(s sample) float64  { return s.metrics["kube_pprof_registry_series"] }
func waitingOf(s sample) float64 { return s.metrics["kube_pprof_sink_waiting"] }

func TestSoak(t *testing.T) {
	own := f.NeedOwn(t)
	c := &churn{Direct: f.NewDirect(t), ns: f.NewNamespace(t)} // it is deleted before the end
	fleet := f.NewFleet(t, false)
	c.makeOwners(t)
	f.Apply(t, c.ns, fmt.Sprintf(policy, "all", "soak", 10, 0))
	roles := []*role{findRole(t, own, "controller"), findRole(t, own, "registry")}
	before := lookAll(t, c.Direct, own, roles)

	length := duration(t)
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	began, over := time.Now(), make(chan struct{})
	go func() { c.run(ctx); close(over) }()
	for tick := time.NewTicker(max(length/200, time.Second)); ctx.Err() == nil; <-tick.C {
		for _, r := range roles {
			s, err := r.look(c.Direct, own, time.Since(began))
			if err != nil {
				t.Logf("%s: %v", r.name, err)
				continue
			}
			r.samples = append(r.samples, s)
		}
	}
	<-over
	rate := float64(c.gone.Load()) / length.Seconds()
	t.Logf("%d pods came and went (%.0f/s), %d edits of policies, %d namespaces, %d queries (%d not answered), %d requests failed; last: %.300s",
		c.gone.Load(), rate, c.edits.Load(), c.spaces.Load(), c.queries.Load(), c.refused.Load(), c.failed.Load(), c.trouble)
	t.Logf("the pods answered: %s", fleet.Counts())
	if n := fleet.Refused(); n > 0 {
		t.Errorf("%d times a CPU profile was asked for while another one was taken", n)
	}
	if rate < perSecond/4 { // of a machine that does other things as well
		t.Errorf("only %.1f pods a second", rate)
	}
	if c.failed.Load() > c.made.Load()/100 {
		t.Errorf("%d requests of the churn itself failed: %s", c.failed.Load(), c.trouble)
	}
	if c.refused.Load() > c.queries.Load()/4 {
		t.Errorf("%d of %d queries failed: %s", c.refused.Load(), c.queries.Load(), c.trouble)
	}
	flat(t, roles, settle(length))
	back(t, c, own, roles, before)
}

func lookAll(t *testing.T, c *f.Direct, own *harness.Cluster, roles []*role) (all []sample) {
	t.Helper()
	for _, r := range roles {
		s, err := r.look(c, own, 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// flat: nothing grows with the pods that came and went.
func flat(t *testing.T, roles []*role, from time.Duration) {
	t.Helper()
	for _, r := range roles {
		// what there is more of, and says so: series with profiles, one a pod and type; captures that wait for a registry that is slow
		series, _ := growth(r.samples, from, seriesOf)
		waiting, _ := growth(r.samples, from, waitingOf)
		kept := max(series, 0)*2/1024 + max(waiting, 0)*4/1024
		for _, row := range []struct {
			what  string
			value func(sample) float64
			bound func(mean float64) float64
		}{
			{"anonymous MiB", anonOf, func(mean float64) float64 { return 2 + mean/10 + kept }},
			{"descriptors", fdsOf, func(mean float64) float64 { return 16 + mean/2 }},
			// what happens for the first time has a histogram from then on; see also named
			{"lines of metrics", linesOf, func(float64) float64 { return 80 }},
		} {
			grown, mean := growth(r.samples, from, row.value)
			last := r.samples[len(r.samples)-1]
			t.Logf("%s: %s: mean %.1f, grown by %.2f of at most %.1f, last %.1f", r.name, row.what, mean, grown, row.bound(mean), row.value(last))
			if grown > row.bound(mean) {
				t.Errorf("%s: %s grow: by %.2f from %s on, mean %.1f", r.name, row.what, grown, from, mean)
			}
		}
		named(t, r)
	}
	last := roles[0].samples[len(roles[0].samples)-1]
	stored := roles[1].samples[len(roles[1].samples)-1]
	t.Logf("captures %.0f (missed %.0f, throttled %.0f), stored %.0f; loop held at most %.1f ms; log %.1f MiB, segments %.1f MiB, index %.1f MiB",
		last.sum("kube_pprof_captures_total"), last.sum("kube_pprof_captures_missed_total"), last.sum("kube_pprof_captures_throttled_total"),
		stored.metrics["kube_pprof_registry_profiles_stored_total"], held(roles[0]), stored.metrics["kube_pprof_registry_log_bytes"]/(1<<20),
		stored.metrics["kube_pprof_registry_segment_bytes"]/(1<<20), stored.metrics["kube_pprof_registry_index_bytes"]/(1<<20))
	// one a pod and type, as long as there are profiles of it
	t.Logf("series %.0f of %.0f profiles; %.0f captures wait", seriesOf(stored), stored.metrics["kube_pprof_registry_profiles"], waitingOf(last))
	if stored.metrics["kube_pprof_registry_profiles_stored_total"] < 100 {
		t.Errorf("hardly anything was stored: %.0f", stored.metrics["kube_pprof_registry_profiles_stored_total"])
	}
}

// named: no line of metrics is of a pod, a policy or a namespace that came and went.
func named(t *testing.T, r *role) {
	t.Helper()
	for line := range r.samples[len(r.samples)-1].metrics {
		if regexp.MustCompile(`"([^"]*/)?(p[0-9]+|w[0-9]+|e2e-[0-9]+-[0-9]+-[0-9]+)"`).MatchString(line) {
			t.Errorf("%s: a line of metrics for what comes and goes: %s", r.name, line)
		}
	}
}

func held(r *role) (most float64) {
	for _, s := range r.samples {
		most = max(most, s.metrics["kube_pprof_loop_max_hold_seconds"]*1000)
	}
	return most
}

// back: when all is over both are as they were.
func back(t *testing.T, c *churn, own *harness.Cluster, roles []*role, before []sample) {
	t.Helper()
	if _, err := c.API("DELETE", "/apis/kube-pprof.dev/v1alpha1/namespaces/"+c.ns+"/profilingpolicies/all", nil); err != nil {
		t.Error(err)
	}
	patience := 60*time.Second + f.Slack + duration(t)/15
	f.Within(t, patience, "what waited is delivered", func() error {
		if s, err := roles[0].look(c.Direct, own, 0); err != nil || waitingOf(s) > 0 {
			return fmt.Errorf("%.0f wait, %v", waitingOf(s), err)
		}
		return nil
	})
	if _, err := c.API("DELETE", "/api/v1/namespaces/"+c.ns, nil); err != nil {
		t.Error(err)
	}
	var after []sample
	f.Within(t, patience, "both are back where they were", func() error {
		after = lookAll(t, c.Direct, own, roles)
		now, was := after[0], before[0]
		if n, was := seriesOf(after[1]), seriesOf(before[1]); n > was {
			return fmt.Errorf("the registry has %.0f series, before %.0f: those of a namespace that is gone are not", n, was)
		}
		for _, name := range []string{"kube_pprof_targets", "kube_pprof_pods", "kube_pprof_captures_running", "kube_pprof_capture_bytes_in_flight",
			"kube_pprof_captures_waiting", "kube_pprof_captures_unconfirmed", "kube_pprof_sink_waiting", "kube_pprof_spool_bytes"} {
			if now.sum(name) > was.sum(name) {
				return fmt.Errorf("%s is %.0f, before %.0f", name, now.sum(name), was.sum(name))
			}
		}
		for i, r := range roles {
			// connections to the API server are kept for a minute or two: 32 of them
			if fdsOf(after[i]) > fdsOf(before[i])+40 {
				return fmt.Errorf("%s: %.0f descriptors, before %.0f", r.name, fdsOf(after[i]), fdsOf(before[i]))
			}
		}
		return nil
	})
	for i, r := range roles {
		t.Logf("%s: before %.1f MiB anonymous, %.0f descriptors, %d lines; after %.1f, %.0f, %d", r.name, before[i].anon, fdsOf(before[i]), len(before[i].metrics),
			after[i].anon, fdsOf(after[i]), len(after[i].metrics))
		// what is kept of more and more pods is more at the end than it was on average
		_, was := growth(r.samples, settle(r.samples[len(r.samples)-1].at), anonOf)
		was = max(was, r.samples[len(r.samples)-1].anon)
		if after[i].anon > was+2+was/10 {
			t.Errorf("%s: %.1f MiB anonymous when it is over, %.1f meanwhile", r.name, after[i].anon, was)
		}
		for _, name := range slices.Sorted(maps.Keys(after[i].families())) {
			if n, was := after[i].families()[name], before[i].families()[name]; n > was+20 && !strings.HasSuffix(name, "_bucket") {
				t.Errorf("%s: %d lines of %s, before %d", r.name, n, name, was)
			}
		}
	}
}
