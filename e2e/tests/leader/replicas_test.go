package leader

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

const (
	lease    = 12 * time.Second
	deadline = 8 * time.Second
)

// world is two replicas, and pods that see who asks them for what.
type world struct {
	*f.Direct
	own   *harness.Cluster
	fleet *f.Fleet
	ns    string
	edits int // of the policy
}

// replica is a pod of the controller as it was found.
type replica struct{ pod, ip, node, pid string }

// record of the Lease. Its times are of the replicas' clocks, which are one here.
type record struct {
	HolderIdentity         string
	AcquireTime, RenewTime time.Time
	LeaseTransitions       int
}

func (w *world) lease(t *testing.T) (r record) {
	t.Helper()
	text, err := w.API("GET", "/apis/coordination.k8s.io/v1/namespaces/"+f.Namespace+"/leases/kube-pprof-controller", nil)
	if err != nil {
		t.Fatal(err)
	}
	var object struct{ Spec record }
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	return object.Spec
}

func find(t *testing.T, own *harness.Cluster, pod string) replica {
	t.Helper()
	text := strings.Fields(f.K(t, "get", "pod", pod, "-n", f.Namespace, "-o", "jsonpath={.status.podIP} {.spec.nodeName}"))
	r := replica{pod: pod, ip: text[0], node: text[1]}
	// its host name, the pod's name, is in its environment
	r.pid = strings.TrimSpace(onNode(t, own, r.node, `exec 2>/dev/null; for p in /proc/[0-9]*; do
		[ "$(tr '\0' ' ' <$p/cmdline 2>/dev/null | cut -d' ' -f1,2)" = "/kube-pprof controller" ] &&
		tr '\0' '\n' <$p/environ | grep -qx "HOSTNAME=$1" && echo ${p#/proc/}; done; true`, pod))
	if r.pid == "" || strings.Contains(r.pid, "\n") {
		t.Fatalf("process of %s: %q", pod, r.pid)
	}
	return r
}

func onNode(t *testing.T, own *harness.Cluster, node, script string, args ...string) string {
	t.Helper()
	argv, err := own.Node(node, append([]string{"sh", "-c", script, "sh"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.Host(context.Background(), argv)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (w *world) signal(t *testing.T, r replica, signal string) {
	t.Helper()
	onNode(t, w.own, r.node, `kill "-$1" "$2"`, signal, r.pid)
}

// both waits until two replicas are ready and one of them leads.
func (w *world) both(t *testing.T) (leads, waits replica) {
	t.Helper()
	var pods []string
	f.Within(t, 60*time.Second, "two replicas are ready and one leads", func() error {
		pods = f.Pods(t, f.Namespace, "app.kubernetes.io/component=controller")
		ready := f.K(t, "get", "pods", "-n", f.Namespace, "-l", "app.kubernetes.io/component=controller", "-o",
			`jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status} {end}`)
		holder := w.lease(t).HolderIdentity
		if len(pods) != 2 || ready != "True True" || (holder != pods[0] && holder != pods[1]) {
			return fmt.Errorf("pods %v, ready %s, the Lease is held by %q", pods, ready, holder)
		}
		return nil
	})
	if w.lease(t).HolderIdentity == pods[1] {
		pods[0], pods[1] = pods[1], pods[0]
	}
	return find(t, w.own, pods[0]), find(t, w.own, pods[1])
}

// metric of one replica; asked for directly, since the API server may be what it cannot reach. -1: it is not there.
func (w *world) metric(r replica, name string) (sum float64, err error) {
	all, err := w.MetricsAt(r.ip)
	if err != nil {
		return 0, err
	}
	sum = -1
	for key, value := range all {
		if key == name || strings.HasPrefix(key, name+"{") {
			sum = max(sum, 0) + value
		}
	}
	return sum, nil
}

// taken waits until another than who led leads, and returns the Lease as it was when it was taken.
func (w *world) taken(t *testing.T, limit time.Duration, from replica) record {
	t.Helper()
	var r record
	f.Within(t, limit, "another replica leads", func() error {
		if r = w.lease(t); r.HolderIdentity == "" || r.HolderIdentity == from.pod {
			return fmt.Errorf("the Lease is held by %q", r.HolderIdentity)
		}
		return nil
	})
	return r
}

// captures waits until a replica asked for CPU profiles after a time.
func (w *world) captures(t *testing.T, by replica, after time.Time) {
	t.Helper()
	f.Within(t, 2*interval+f.Slack, "the new leader captures", func() error {
		for _, v := range w.fleet.Visits() {
			if v.By == by.ip && v.Start.After(after) {
				return nil
			}
		}
		return fmt.Errorf("not yet")
	})
}

// quiet: a replica asked nobody for a CPU profile from one time to another; what it asked before a pod may hear a little later.
func (w *world) quiet(t *testing.T, who replica, from, to time.Time, why string) {
	t.Helper()
	from = from.Add(time.Second)
	for _, v := range w.fleet.Visits() {
		if v.By == who.ip && v.Start.After(from) && v.Start.Before(to) {
			t.Errorf("%s asked %s for a CPU profile at %s, after %s, although %s", who.pod, v.Of, v.Start.Format(time.TimeOnly+".000"), from.Format(time.TimeOnly+".000"), why)
		}
	}
}

// alone: no pod was asked for a CPU profile by two at once.
func (w *world) alone(t *testing.T) {
	t.Helper()
	last := map[string]f.Visit{}
	for _, v := range w.fleet.Visits() {
		if before, ok := last[v.Of]; v.Refused || (ok && (before.End.IsZero() || before.End.After(v.Start))) {
			t.Errorf("two CPU profiles of %s at once: by %s from %s to %s, by %s from %s", v.Of, before.By, before.Start, before.End, v.By, v.Start)
		}
		last[v.Of] = v
	}
	t.Logf("the pods answered: %s", w.fleet.Counts())
}

// once: nothing is stored twice.
func (w *world) once(t *testing.T) {
	t.Helper()
	items, err := f.List("namespace=" + w.ns)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	for _, p := range items {
		key := fmt.Sprintf("%s/%s/%d/%s/%d", p.PodUID, p.Container, p.Port, p.Type, p.SlotTime.UnixMilli())
		if other, ok := keys[key]; ok {
			t.Errorf("%s and %s are the same capture: %s", other, p.ID, key)
		}
		keys[key] = p.ID
		if p.Type == "cpu" && p.EndTime.Sub(p.StartTime) > duration+f.Slack {
			t.Errorf("%s: a profile of %s from %s to %s: nobody knows when it ended", p.ID, duration, p.StartTime, p.EndTime)
		}
	}
	t.Logf("%d profiles are stored, each once", len(keys))
}

// said: the log of a replica, or of the process before its container was started again.
func said(t *testing.T, who replica, text string, flags ...string) {
	t.Helper()
	f.Within(t, 30*time.Second, who.pod+" says so", func() error {
		log, err := f.Kubectl(append([]string{"logs", "-n", f.Namespace, who.pod}, flags...)...)
		if err == nil && !strings.Contains(log, text) {
			err = fmt.Errorf("%q is not in its log: ...%s", text, log[max(0, len(log)-1500):])
		}
		return err
	})
}

// lastWords follows the log of a pod that is about to go; what it returns says when it said something.
func lastWords(t *testing.T, who replica, text string) func() time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := f.Command(ctx, "kubectl", "logs", "-f", "--tail=1", "-n", f.Namespace, who.pod)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan() // it follows
	return func() time.Time {
		t.Helper()
		defer func() { cancel(); _ = cmd.Wait() }()
		for lines.Scan() {
			var line struct {
				TS  time.Time
				Msg string
			}
			if json.Unmarshal(lines.Bytes(), &line) == nil && strings.Contains(line.Msg, text) {
				return line.TS
			}
		}
		t.Fatalf("%s never said %q", who.pod, text)
		return time.Time{}
	}
}
