package modes

import (
	"fmt"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const (
	maxBytes  = 1 << 20 // in flight; the others' profiles are a few KiB
	largeSize = 600 << 10
	largePods = maxSeries
)

// large are pods whose CPU profiles are so large that one fits among the bytes in flight, and asked for so often that this is not enough.
type large struct {
	fleet *f.Fleet
	ns    string
	size  int
}

func newLarge(t *testing.T) *large {
	t.Helper()
	l := &large{fleet: f.NewFleet(t, true), ns: f.NewNamespace(t)}
	l.size = l.fleet.Grow(t, largeSize)
	f.NewDirect(t).PostWorkload(t, l.ns, "large", 1, largePods)
	f.Apply(t, l.ns, `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: large}
spec:
  selector: {matchLabels: {app: large}}
  profiles: [{type: cpu, interval: 10s, duration: 5s}]
  sampling: {replicas: 100%}
  budget: {overheadPercent: 5, concurrentPerWorkload: 100%}
`)
	return l
}

// alone checks what the pods saw: since the sizes are known, one profile at a time.
func (l *large) alone(t *testing.T) {
	t.Helper()
	first, known, until, of, n := map[string]bool{}, time.Time{}, time.Time{}, "", 0
	visits := l.fleet.Visits()
	for _, v := range visits {
		if !first[v.Of] && v.End.After(known) {
			known = v.End
		}
		first[v.Of] = true
	}
	if len(first) != largePods {
		t.Errorf("%d pods were asked", len(first))
	}
	for _, v := range visits {
		if v.Start.Before(known) {
			continue
		}
		if v.Start.Before(until) {
			t.Errorf("%s was asked at %s, while the profile of %s was taken until %s", v.Of, v.Start, of, until)
		}
		until, of = v.End, v.Of
		n++
	}
	if n < largePods {
		t.Errorf("only %d were taken since", n)
	}
}

// The pods were made with everything else: intervals are stretched once a minute, and most of the first is over.
func bytesInFlight(t *testing.T, w *world) {
	f.PolicyIs(t, 100*time.Second, w.large.ns, "large", "the policy says how much fits among the bytes in flight", func(p *f.Policy) error {
		if err := f.Is("Feasible", "False", "ByteBudget")(p); err != nil {
			return err
		}
		message := p.Condition("Feasible").Message
		for _, want := range []string{"18 captures a minute asked, 9 possible under the controller's --max-bytes-in-flight: cpu of " + w.large.ns + "/", " every 20s instead of 10s",
			fmt.Sprintf(", %.3g MiB each", float64(w.large.size)/(1<<20))} {
			if !strings.Contains(message, want) {
				return fmt.Errorf("%q is not in %q", want, message)
			}
		}
		return nil
	})
	// what does not fit together is captured and stored all the same
	pods := map[string]bool{}
	items, err := f.List("namespace=" + w.large.ns + "&type=cpu")
	for _, p := range items {
		pods[p.Pod] = true
	}
	if err != nil || len(pods) != largePods {
		t.Errorf("there are profiles of %v; %v", pods, err)
	}
	w.large.alone(t)
	f.K(t, "delete", "ppol", "large", "-n", w.large.ns)
}
