package follow

import (
	"fmt"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const fleetPolicy = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: posted}
spec:
  selector: {matchLabels: {app: posted}}
  profiles: [{type: cpu, interval: 10s, duration: 1s}]
  sampling: {replicas: 100%}
  budget: {overheadPercent: 5, concurrentPerWorkload: 100%}
`

// What the pods themselves see: none is asked for anything once it is being deleted, were it also dropped afterwards.
func TestNothingIsAskedOfAPodThatWasDeleted(t *testing.T) {
	f.NeedOwn(t)
	const pods = 9
	direct, fleet, ns := f.NewDirect(t), f.NewFleet(t, true), f.NewNamespace(t)
	address := direct.PostWorkload(t, ns, "posted", 2, pods)
	f.Apply(t, ns, fleetPolicy)
	asked := func(i int, from time.Time) (n int) {
		for _, v := range fleet.Visits() {
			if v.Of == address(i) && v.Start.After(from) {
				n++
			}
		}
		return n
	}
	all := func(from time.Time, which func(i int) bool) error {
		for i := range pods {
			if which(i) && asked(i, from) == 0 {
				return fmt.Errorf("posted-%d was not", i)
			}
		}
		return nil
	}
	f.Within(t, 30*time.Second+f.Slack, "every pod was asked", func() error { return all(time.Time{}, func(int) bool { return true }) })

	// a third is told to end and lives on, since no kubelet ends it; a third is gone at once; a third stays
	for i := range pods {
		grace := map[int]string{0: "30", 1: "0"}[i%3]
		if grace == "" {
			continue
		}
		if _, err := direct.API("DELETE", fmt.Sprintf("/api/v1/namespaces/%s/pods/posted-%d?gracePeriodSeconds=%s", ns, i, grace), nil); err != nil {
			t.Fatal(err)
		}
	}
	seen := time.Now().Add(2*time.Second + f.Slack)
	f.Within(t, 27*time.Second+2*f.Slack, "those that stay were asked twice since", func() error {
		if time.Now().Before(seen) {
			return fmt.Errorf("not yet")
		}
		for i := 2; i < pods; i += 3 {
			if n := asked(i, seen); n < 2 {
				return fmt.Errorf("posted-%d: %d times", i, n)
			}
		}
		return nil
	})
	for i := range pods {
		if n := asked(i, seen); i%3 != 2 && n > 0 {
			t.Errorf("posted-%d was asked %d times after it was deleted", i, n)
		}
	}
}
