// Package leader has two controllers of which one leads: however the leader ends, the other goes on in time, no process is profiled by
// both, and nothing is stored twice.
package leader

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const (
	pods     = 12
	interval = 10 * time.Second
	duration = 5 * time.Second // longer than from the renewal's deadline to the lease's end
)

const policy = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: all}
spec:
  selector: {matchLabels: {app: posted}}
  profiles:
  - {type: cpu, interval: 10s, duration: 5s}
  - {type: heap, interval: 10s}
  sampling: {replicas: 100%}
  budget: {overheadPercent: 5, concurrentPerWorkload: 100%}
`

func setup(t *testing.T) *world {
	t.Helper()
	w := &world{own: f.NeedOwn(t), Direct: f.NewDirect(t), fleet: f.NewFleet(t, true), ns: f.NewNamespace(t)}
	w.PostNode(t, "posted-1")
	for i := range pods {
		uid, err := w.PostOwner(w.ns, fmt.Sprintf("w%d", i))
		if err == nil {
			err = w.PostPod(w.ns, fmt.Sprintf("p%d", i), fmt.Sprintf("%s.0.%d", f.FleetNetwork, 10+i), "posted-1", map[string]string{"app": "posted"}, fmt.Sprintf("w%d", i), uid)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f.Apply(t, w.ns, policy)
	f.Within(t, 30*time.Second, "captures run", func() error { return f.Some("namespace="+w.ns+"&type=cpu", nil) })
	return w
}

// All in one, since each takes over from the one before.
func TestLeader(t *testing.T) {
	w := setup(t)
	for _, fault := range []struct {
		name string
		run  func(t *testing.T, w *world)
	}{
		{"ToldToGo", toldToGo}, {"StoppedAndContinued", stoppedAndContinued}, {"CutOffFromTheAPIServer", cutOff}, {"Killed", killed},
	} {
		if !t.Run(fault.name, func(t *testing.T) { fault.run(t, w) }) {
			break
		}
	}
	w.alone(t)
	w.once(t)
	f.PolicyIs(t, 30*time.Second, w.ns, "all", "captures succeed", f.Is("CapturesSucceeding", "True", ""))
}

// standby remembers what a replica that takes over must not have had to do anew.
func (w *world) standby(t *testing.T, r replica) (check func(t *testing.T)) {
	t.Helper()
	relists, err := w.metric(r, "kube_pprof_watch_relists_total")
	if err != nil {
		t.Fatal(err)
	}
	missed, _ := w.metric(r, "kube_pprof_captures_missed_total")
	if leads, _ := w.metric(r, "leader_election_master_status"); leads != 0 {
		t.Errorf("%s waits, and its leader_election_master_status is %.0f", r.pod, leads)
	}
	if known, _ := w.metric(r, "kube_pprof_pods"); known < pods {
		t.Errorf("%s waits, and knows %.0f pods", r.pod, known)
	}
	return func(t *testing.T) {
		t.Helper()
		now, err := w.metric(r, "kube_pprof_watch_relists_total")
		if err != nil || now != relists {
			t.Errorf("%s read its caches anew when it took over: %.0f times, before %.0f; %v", r.pod, now, relists, err)
		}
		if leads, _ := w.metric(r, "leader_election_master_status"); leads != 1 {
			t.Errorf("%s leads, and its leader_election_master_status is %.0f", r.pod, leads)
		}
		if now, _ := w.metric(r, "kube_pprof_captures_missed_total"); now > missed {
			t.Errorf("%s counts %.0f captures as missed that were not its own", r.pod, now-missed)
		}
	}
}

// Of some hand-overs the quickest counts: the machine does other things as well.
func toldToGo(t *testing.T, w *world) {
	var took []time.Duration
	for len(took) < 2 || (slices.Min(took) > 2*time.Second && len(took) < 5) {
		leads, waits := w.both(t)
		check := w.standby(t, waits)
		told := lastWords(t, leads, "stopping")
		f.K(t, "delete", "pod", leads.pod, "-n", f.Namespace, "--wait=false")
		now := w.taken(t, 30*time.Second, leads)
		at := told()
		took = append(took, now.AcquireTime.Sub(at))
		if now.HolderIdentity == waits.pod { // or the one that was made for who went
			check(t)
		}
		w.captures(t, find(t, w.own, now.HolderIdentity), at)
		w.quiet(t, leads, at, time.Now(), "it was told to go")
	}
	t.Logf("the other led after %v (bound 2s)", took)
	if slices.Min(took) > 2*time.Second {
		t.Errorf("the other led after %v, more than 2 s", took)
	}
}

// overdue checks how long nobody led: from the last renewal of who led on.
func overdue(t *testing.T, last, now record) {
	t.Helper()
	took := now.AcquireTime.Sub(last.RenewTime)
	t.Logf("the other led %.1f s after the last renewal (bound 15s)", took.Seconds())
	if took > 15*time.Second+f.Slack || took < lease-100*time.Millisecond {
		t.Errorf("the other led %s after the last renewal, not after 12 to 15 s", took)
	}
}

func stoppedAndContinued(t *testing.T, w *world) {
	leads, waits := w.both(t)
	check := w.standby(t, waits)
	t.Cleanup(func() { w.signal(t, leads, "CONT") })
	writes := w.freeze(t, leads)
	last := w.lease(t)
	now := w.taken(t, 15*time.Second+f.Slack, leads)
	overdue(t, last, now)
	w.captures(t, waits, now.AcquireTime)
	check(t)
	w.edited(t, waits) // what who goes on sees first
	w.signal(t, leads, "CONT")
	said(t, leads, "this process was stopped for a while")
	time.Sleep(interval / 2)
	w.quiet(t, leads, last.RenewTime.Add(deadline), time.Now(), "its lease was over when it went on")
	w.waitsNow(t, leads)
	w.edited(t, waits)
	w.wroteNone(t, leads, writes, "it was stopped")
}

// statusWrites so far.
func (w *world) statusWrites(t *testing.T, r replica) float64 {
	t.Helper()
	n, err := w.metric(r, `kube_pprof_status_writes_total{result="success"}`)
	if err != nil {
		t.Fatal(err)
	}
	return max(n, 0) // before the first it is not there
}

// freeze stops a replica and returns how many statuses it has written by then: none between the question and the stop.
func (w *world) freeze(t *testing.T, r replica) (writes float64) {
	t.Helper()
	versions := func() string {
		return f.K(t, "get", "ppol,cppol", "-A", "-o", "jsonpath={.items[*].metadata.resourceVersion}")
	}
	f.Within(t, 60*time.Second, r.pod+" stands still", func() error {
		before := versions()
		writes = w.statusWrites(t, r)
		w.signal(t, r, "STOP")
		if after := versions(); after != before {
			w.signal(t, r, "CONT")
			return fmt.Errorf("the policies' versions were %s and are %s", before, after)
		}
		return nil
	})
	return writes
}

// edited changes the policy, which who leads answers at once in its status.
func (w *world) edited(t *testing.T, leads replica) {
	t.Helper()
	before := w.statusWrites(t, leads)
	w.edits++
	f.K(t, "patch", "ppol", "all", "-n", w.ns, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"budget":{"overheadPercent":%d}}}`, 5+w.edits))
	f.PolicyIs(t, 5*time.Second+f.Slack, w.ns, "all", "the edit is seen", f.Is("Accepted", "True", ""))
	f.Within(t, f.Slack, leads.pod+" wrote that", func() error {
		if n := w.statusWrites(t, leads); n <= before {
			return fmt.Errorf("it has written %.0f statuses, before %.0f", n, before)
		}
		return nil
	})
}

// wroteNone: of a replica that does not lead no status is written since it had written so many.
func (w *world) wroteNone(t *testing.T, r replica, writes float64, since string) {
	t.Helper()
	if n := w.statusWrites(t, r); n != writes {
		t.Errorf("%s wrote %.0f statuses since %s", r.pod, n-writes, since)
	}
}

// waitsNow: who led waits again, with nothing left to deliver.
func (w *world) waitsNow(t *testing.T, r replica) {
	t.Helper()
	f.Within(t, 30*time.Second, "who led has delivered what it had, and waits", func() error {
		all, err := w.MetricsAt(r.ip)
		if err != nil {
			return err
		}
		for _, name := range []string{"kube_pprof_captures_running", "kube_pprof_captures_unconfirmed", "kube_pprof_sink_waiting",
			`leader_election_master_status{name="kube-pprof-controller"}`} {
			if all[name] != 0 {
				return fmt.Errorf("%s is %.0f", name, all[name])
			}
		}
		_, err = w.API("GET", "/api/v1/namespaces/"+f.Namespace+"/pods/"+r.pod+":8080/proxy/readyz", nil)
		return err
	})
}

// Only the API server is out of its reach: packets to it vanish. Pods and registry can be reached.
func cutOff(t *testing.T, w *world) {
	leads, waits := w.both(t)
	check := w.standby(t, waits)
	rule := func(what string) {
		// on a link that nobody listens on
		onNode(t, w.own, leads.node, `nsenter -t "$1" -n ip route "$2" 10.96.0.1/32 dev lo`, leads.pid, what)
	}
	before, err := f.List("namespace=" + w.ns)
	if err != nil {
		t.Fatal(err)
	}
	rule("add")
	healed := false
	t.Cleanup(func() {
		if !healed {
			rule("del")
		}
	})
	last := w.lease(t)
	now := w.taken(t, 15*time.Second+f.Slack, leads)
	overdue(t, last, now)
	w.captures(t, waits, now.AcquireTime)
	check(t)
	w.quiet(t, leads, last.RenewTime.Add(deadline), time.Now(), "it could not renew its Lease")
	if n, err := w.metric(leads, "leader_election_master_status"); err != nil || n != 0 {
		t.Errorf("its leader_election_master_status is %.0f, %v", n, err)
	}
	writes := w.statusWrites(t, leads)
	w.edited(t, waits)
	rule("del")
	healed = true
	said(t, leads, "the API server could not be reached")
	w.waitsNow(t, leads)
	w.edited(t, waits)
	w.wroteNone(t, leads, writes, "another leads")
	// what it captured while it led it delivered, though it could not be confirmed before
	after, err := f.List("namespace=" + w.ns)
	if err != nil {
		t.Fatal(err)
	}
	late := 0
	for _, p := range after {
		known := slices.ContainsFunc(before, func(b f.Profile) bool { return b.ID == p.ID })
		if !known && p.StartTime.Before(last.RenewTime.Add(deadline)) {
			late++
		}
	}
	t.Logf("%d profiles of before the deadline were delivered since", late)
	if late == 0 {
		t.Error("what was captured before the deadline was not delivered")
	}
}

const restartCount = "jsonpath={.status.containerStatuses[0].restartCount}"

// Nobody starts it again meanwhile.
func killed(t *testing.T, w *world) {
	leads, waits := w.both(t)
	check := w.standby(t, waits)
	ctx, restarts := context.Background(), f.K(t, "get", "pod", leads.pod, "-n", f.Namespace, "-o", restartCount)
	if err := w.own.Stop(ctx, leads.node, "kubelet", "KILL"); err != nil {
		t.Fatal(err)
	}
	started := false
	t.Cleanup(func() {
		if !started {
			_ = w.own.Start(ctx, leads.node, "kubelet")
		}
	})
	w.signal(t, leads, "KILL")
	last := w.lease(t)
	now := w.taken(t, 15*time.Second+f.Slack, leads)
	overdue(t, last, now)
	w.captures(t, waits, now.AcquireTime)
	check(t)
	started = true
	if err := w.own.Start(ctx, leads.node, "kubelet"); err != nil {
		t.Fatal(err)
	}
	f.Within(t, 30*time.Second+f.Slack, "who was killed is there again", func() error {
		n := f.K(t, "get", "pod", leads.pod, "-n", f.Namespace, "-o", restartCount)
		if n == restarts {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	w.both(t)
	w.waitsNow(t, leads)
	if holder := w.lease(t).HolderIdentity; holder != waits.pod {
		t.Errorf("who was killed leads again: %s", holder)
	}
}
