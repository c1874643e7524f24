package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const interval = 10 * time.Second

const policy = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: checkout}
spec:
  selector: {matchLabels: {app: checkout}}
  profiles:
  - {type: heap, interval: 10s}
  - {type: goroutine, interval: 10s}
`

// everything is what is captured: two types of three pods.
const everything = 6

type world struct {
	*disk
	ns       string
	restarts string
	before   counts // this step
}

func (w *world) list(t *testing.T) []f.Profile {
	t.Helper()
	items, err := f.List("namespace=" + w.ns)
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// since wants profiles of every type of all pods whose capture began after a time.
func (w *world) since(t *testing.T, after time.Time) error {
	t.Helper()
	items, err := f.List("namespace=" + w.ns)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, p := range items {
		if p.StartTime.After(after) {
			seen[p.Type+" of "+p.Pod] = true
		}
	}
	if len(seen) < everything {
		return fmt.Errorf("%d of %d: %v", len(seen), everything, seen)
	}
	return nil
}

// series are profiles by what is captured, in order of their slots.
func series(items []f.Profile) map[string][]f.Profile {
	by := map[string][]f.Profile{}
	for _, p := range items {
		key := fmt.Sprintf("%s/%s of %s", p.Container, p.Type, p.Pod)
		by[key] = append(by[key], p)
	}
	for _, list := range by {
		sort.Slice(list, func(i, j int) bool { return list[i].SlotTime.Before(list[j].SlotTime) })
	}
	return by
}

// whole checks that nothing of before is missing and nothing is there twice.
func (w *world) whole(t *testing.T, before []f.Profile) []f.Profile {
	t.Helper()
	after := w.list(t)
	ids := map[string]bool{}
	for _, p := range after {
		if ids[p.ID] {
			t.Errorf("%s is listed twice", p.ID)
		}
		ids[p.ID] = true
	}
	for _, p := range before {
		if !ids[p.ID] {
			t.Errorf("profile %s (%s of %s) was acknowledged and is gone", p.ID, p.Type, p.Pod)
		}
	}
	for what, list := range series(after) {
		for i := 1; i < len(list); i++ {
			if !list[i].SlotTime.After(list[i-1].SlotTime) {
				t.Errorf("%s: slot %s is there twice", what, list[i].SlotTime)
			}
		}
	}
	return after
}

// counts of captures as the controller tells them: lost were taken and came to nothing, omitted were not taken or have failed.
type counts struct{ lost, omitted int }

func counted(t *testing.T) (n counts) {
	t.Helper()
	for line := range strings.Lines(f.Metrics(t, "controller")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		count, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil || strings.Contains(name, `result="Succeeded"`):
		case regexp.MustCompile(`^kube_pprof_captures_total{.*result="(Undelivered|StoreFull|Invalid|TooLarge)"`).MatchString(name):
			n.lost += int(count)
		case regexp.MustCompile(`^kube_pprof_captures_(total{|missed_total|throttled_total)`).MatchString(name):
			n.omitted += int(count)
		}
	}
	return n
}

// complete wants a capture in every slot of the pairs of neighbours that concern holds for. A busy machine may leave one out, and more if
// the controller says so. What was captured is not lost: see nothingLost.
func (w *world) complete(t *testing.T, items []f.Profile, concerns func(one, next f.Profile) bool) {
	t.Helper()
	var missing []string
	n := 0
	for what, list := range series(items) {
		for i := 1; i < len(list); i++ {
			d := list[i].SlotTime.Sub(list[i-1].SlotTime)
			if more := int(d.Round(interval)/interval) - 2; more > 0 && concerns(list[i-1], list[i]) {
				n += more
				missing = append(missing, fmt.Sprintf("%s: %s between slots", what, d))
			}
		}
	}
	if excused := counted(t).omitted - w.before.omitted; n > excused {
		t.Errorf("captures are missing, and only %d were not taken or have failed: %s", excused, strings.Join(missing, "; "))
	}
}

// wait keeps the disk as it is until the policy says that captures wait, and as many do as there are in two intervals, so that there is an
// order for them to come in. It returns how many.
func (w *world) wait(t *testing.T) (p *f.Policy, waiting int) {
	t.Helper()
	p = f.PolicyIs(t, 90*time.Second, w.ns, "checkout", "the policy says that captures wait", func(p *f.Policy) error {
		if p.Status.Captures.Spooled == 0 {
			return errors.New("none spooled")
		}
		return f.Is("CapturesSucceeding", "True", "WaitingForRegistry")(p)
	})
	f.Within(t, 120*time.Second, "captures of two intervals wait", func() error { // status counts once a minute
		if waiting = int(value(f.Metrics(t, "controller"), "kube_pprof_sink_waiting")); waiting < 2*everything {
			return fmt.Errorf("%d wait", waiting)
		}
		return nil
	})
	return p, waiting
}

// value of a metric without labels.
func value(page, name string) float64 {
	for line := range strings.Lines(page) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			if v, err := strconv.ParseFloat(rest, 64); err == nil {
				return v
			}
		}
	}
	return -1
}

// drained waits until nothing is spooled, and checks that the captures of an outage, of which so many waited, are all there and came in
// their order.
func (w *world) drained(t *testing.T, waited int, from, to time.Time) {
	t.Helper()
	f.PolicyIs(t, 120*time.Second, w.ns, "checkout", "nothing waits any more", func(p *f.Policy) error {
		if p.Status.Captures.Spooled > 0 {
			return fmt.Errorf("%d spooled", p.Status.Captures.Spooled)
		}
		return w.since(t, to)
	})
	late, items := 0, w.list(t)
	several := 0 // of which more than one waited
	for what, list := range series(items) {
		before := late
		for i, p := range list {
			if p.EndTime.Before(to) && p.ReceivedTime.After(to) {
				late++
			}
			if i > 0 && !p.StartTime.Before(from) && p.ReceivedTime.Before(list[i-1].ReceivedTime) {
				t.Errorf("%s: slot %s came before slot %s", what, p.SlotTime, list[i-1].SlotTime)
			}
		}
		if late > before+1 {
			several++
		}
	}
	w.complete(t, items, func(one, next f.Profile) bool { return !next.StartTime.Before(from) && !one.SlotTime.After(to) })
	if late < waited {
		t.Errorf("%d captures waited, %d came later", waited, late)
	}
	if several == 0 {
		t.Error("nothing had two captures that waited")
	}
	t.Logf("%d captures waited and came in order", late)
}

func TestStorage(t *testing.T) {
	f.NeedOwn(t)
	f.NeedNodes(t, 2)
	w := &world{disk: newDisk(t), ns: f.NewNamespace(t)}
	f.Apply(t, w.ns, f.Workload(t, "checkout"))
	f.Apply(t, w.ns, policy)
	f.Rollout(t, w.ns, "deploy/checkout")
	f.Within(t, 60*time.Second, "captures are stored", func() error { return w.since(t, time.Time{}) })
	for _, step := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"Full", full},
		{"ReadOnly", refused("readonly", "Read-only file system")},
		{"Broken", refused("broken", "Input/output error")},
		{"Slow", slow},
		{"FlippedBitsAndNoIndex", damaged},
		{"OnAnotherNodeAfterANewerProgram", moved},
	} {
		w.restarts, w.before = f.RestartCount(t, "registry"), counted(t)
		if !t.Run(step.name, func(t *testing.T) { step.run(t, w) }) {
			t.Log(f.Describe(w.ns))
			break
		}
	}
}

// stays wants the pod to be as it was: not started again, and in its Service.
func (w *world) stays(t *testing.T) {
	t.Helper()
	if now := f.RestartCount(t, "registry"); now != w.restarts {
		t.Errorf("the registry was started again: %s times, before %s", now, w.restarts)
	}
	f.Within(t, 30*time.Second, "the pod is Ready", func() error { // a busy machine may have failed its probes a while
		if ready := f.K(t, "get", "pod", "kube-pprof-registry-0", "-n", f.Namespace, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); ready != "True" {
			return fmt.Errorf("its condition Ready is %s", ready)
		}
		return nil
	})
}

func (w *world) nothingLost(t *testing.T) {
	t.Helper()
	if n := counted(t).lost - w.before.lost; n != 0 {
		t.Errorf("%d captures were taken and came to nothing", n)
	}
}

func full(t *testing.T, w *world) {
	before := w.list(t)
	w.fails(t, "full")
	f.Within(t, 60*time.Second, "readyz says that the store is full", func() error {
		return readyz("/readyz", "503", "[-]writes failed: the store is full: '/data' has 0.0 MiB free", "[+]store ok")
	})
	if err := errors.Join(readyz("/readyz?exclude=writes", "200", "the store is full"), metric("kube_pprof_registry_store_full 1"),
		metric("kube_pprof_registry_store_failing 0"), logged(t, `"level":"error"`, "profiles cannot be stored", "the store is full")); err != nil {
		t.Error(err)
	}
	f.PolicyIs(t, 90*time.Second, w.ns, "checkout", "the policy says it", func(p *f.Policy) error {
		for _, failure := range p.Status.Failures {
			if failure.Reason == "StoreFull" && strings.Contains(failure.Message, "MiB free") {
				return nil
			}
		}
		return errors.New("no failure StoreFull")
	})
	w.whole(t, before) // reading goes on
	w.stays(t)
	_, back := w.fails(t, "")
	f.Within(t, 90*time.Second, "profiles are stored again", func() error { return w.since(t, back) })
	f.Within(t, 30*time.Second, "all is well", func() error {
		return errors.Join(readyz("/readyz", "200"), metric("kube_pprof_registry_store_full 0"), logged(t, "profiles are stored again"))
	})
	w.whole(t, before)
	w.stays(t)
}

// refused: nothing can be written, for a reason that says so; captures wait in the spool.
func refused(how, why string) func(t *testing.T, w *world) {
	return func(t *testing.T, w *world) {
		before := w.list(t)
		_, from := w.fails(t, how)
		f.Within(t, 60*time.Second, "readyz says why nothing is stored", func() error {
			return readyz("/readyz", "503", "[-]writes failed: cannot write to '/data/log/", why, "[+]store ok")
		})
		if err := errors.Join(readyz("/readyz?exclude=writes", "200"), metric("kube_pprof_registry_store_failing 1"),
			logged(t, `"level":"error"`, "profiles cannot be stored", why)); err != nil {
			t.Error(err)
		}
		p, waited := w.wait(t)
		if message := p.Condition("CapturesSucceeding").Message; !strings.Contains(message, why) {
			t.Errorf("the policy does not say why: %s", message)
		}
		w.whole(t, before)
		w.stays(t)
		to, _ := w.fails(t, "")
		w.drained(t, waited, from, to)
		f.Within(t, 30*time.Second, "all is well", func() error {
			return errors.Join(readyz("/readyz", "200"), metric("kube_pprof_registry_store_failing 0"))
		})
		w.whole(t, before)
		w.stays(t)
		w.nothingLost(t)
	}
}

// A write of half a second: captures come late, none is lost, and who asks is answered.
func slow(t *testing.T, w *world) {
	before := w.list(t)
	_, from := w.fails(t, "slow 500ms")
	for end := from.Add(interval + 2*time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		if status, body, err := asked("/healthz"); err != nil || status != "200" {
			t.Errorf("healthz is %s %s (%v)", status, body, err)
		}
		if err := readyz("/readyz", "200"); err != nil {
			t.Error(err)
		}
	}
	w.whole(t, before)
	_, to := w.fails(t, "")
	f.Within(t, 90*time.Second, "all that was captured is stored", func() error { return w.since(t, to) })
	w.complete(t, w.whole(t, before), func(_, next f.Profile) bool { return next.StartTime.After(from) })
	w.stays(t)
	w.nothingLost(t)
}

// flip turns a bit round.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := make([]byte, 1)
	if _, err := file.ReadAt(b, at); err != nil {
		t.Fatal(path, at, err)
	}
	b[0] ^= 4
	if _, err := file.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

func biggest(t *testing.T, pattern string) (path string, size int64) {
	t.Helper()
	files, _ := filepath.Glob(pattern)
	for _, file := range files {
		if st, err := os.Stat(file); err == nil && st.Size() > size {
			path, size = file, st.Size()
		}
	}
	if path == "" {
		t.Fatalf("no %s", pattern)
	}
	return path, size
}

// Bits are flipped in a segment and in the log, the index is overwritten, the process is killed: what is damaged is said and not served, the
// rest is there.
func damaged(t *testing.T, w *world) {
	token, err := f.ReaderToken()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := f.PostAs(token, "/api/v1/admin/seal", ""); err != nil {
		t.Fatal(out, err)
	}
	sealed := time.Now()
	f.Within(t, 90*time.Second, "the log has profiles again", func() error { return w.since(t, sealed) })
	before := w.list(t)
	segment, size := biggest(t, filepath.Join(w.data, "segments", w.ns, "*.seg"))
	flip(t, segment, size/2)
	log, size := biggest(t, filepath.Join(w.data, "log", "*.log"))
	flip(t, log, size/2)
	if err := os.WriteFile(filepath.Join(w.data, "index.db"), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	f.Kill9(t, "registry")
	back := time.Now()
	if err := logged(t, `"level":"warn"`, "damage in the folder"); err != nil {
		t.Error(err)
	}
	for _, kind := range []string{"heap", "goroutine"} { // what is damaged is found when it is read
		if out, err := f.Raw("/api/v1/merge?namespace=" + w.ns + "&type=" + kind); err != nil && !strings.Contains(out, "NotFound") {
			t.Error(out, err)
		}
	}
	read, lost, lostInLog := map[string]bool{}, 0, 0
	for _, p := range w.list(t) {
		read[p.ID] = true
	}
	for _, p := range before {
		if !read[p.ID] {
			lost++
			if p.ReceivedTime.After(sealed) {
				lostInLog++
			}
		}
	}
	// what was sealed shares its names: a bit of those is missed by all
	t.Logf("%d of %d profiles were in damaged places, %d of them in the log", lost, len(before), lostInLog)
	if lost == 0 || lostInLog > 1 {
		t.Errorf("%d of %d profiles are lost by two flipped bits, %d of them in the log", lost, len(before), lostInLog)
	}
	f.Within(t, 30*time.Second, "the metric says it", func() error {
		if metric("kube_pprof_registry_corrupt_total 0") == nil {
			return errors.New("nothing is corrupt")
		}
		return nil
	})
	f.Within(t, 90*time.Second, "new profiles are stored", func() error { return w.since(t, back) })
	f.Within(t, 30*time.Second, "all is well", func() error { return readyz("/readyz", "200") })
}

// The pod goes to the other node and takes its volume along, where a newer program has been meanwhile: it runs, is not ready and says why.
// When that program's mark is gone it goes on by itself.
func moved(t *testing.T, w *world) {
	before := w.list(t)
	format := filepath.Join(w.data, "format")
	ours, err := os.ReadFile(format)
	if err != nil {
		t.Fatal(err)
	}
	here, _, err := pod()
	if err != nil {
		t.Fatal(err)
	}
	f.K(t, "cordon", here)
	if err := os.WriteFile(format, []byte("kube-pprof data 2 by 9.8.7 f3d9b47b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.K(t, "delete", "pod", "kube-pprof-registry-0", "-n", f.Namespace, "--timeout=120s")
	from := time.Now() // the old one took captures to its end
	f.Within(t, 120*time.Second, "readyz says that a newer program wrote it", func() error {
		return readyz("/readyz?exclude=writes", "503", "[-]store failed: '/data' is in format 2 of kube-pprof 9.8.7")
	})
	there, _, err := pod()
	if err != nil || there == here {
		t.Errorf("the pod is on %s, and was on %s (%v)", there, here, err)
	}
	if err := errors.Join(logged(t, `"level":"error"`, "the data folder cannot be opened", "kube-pprof 9.8.7"), metric("kube_pprof_registry_store_failing 1")); err != nil {
		t.Error(err)
	}
	_, waited := w.wait(t)
	if now := f.RestartCount(t, "registry"); now != "0" {
		t.Errorf("the container was started again %s times", now)
	}
	to := time.Now()
	if err := os.WriteFile(format, ours, 0o600); err != nil {
		t.Fatal(err)
	}
	f.Ready(t, 120*time.Second, "registry")
	f.K(t, "uncordon", here)
	w.whole(t, before)
	w.drained(t, waited, from, to)
	w.whole(t, before)
	w.nothingLost(t)
}
