// Package follow: targets follow the pods.
package follow

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const policy = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: checkout}
spec:
  selector: {matchLabels: {app: checkout}}
  sampling: {replicas: 3}
  profiles:
  - {type: cpu, interval: 12s, duration: 4s}
  - {type: heap, interval: 10s}
  budget: {overheadPercent: 5, concurrentPerWorkload: 100%}
`

// targets wants exactly the pods that run to be targets.
func targets(ns string, pods []string, sampled int) error {
	all, err := f.Targets(ns)
	if err != nil {
		return err
	}
	var names []string
	n := 0
	for _, t := range all {
		if t.LeftOutReason == "" {
			names = append(names, t.Pod)
			if t.Sampled {
				n++
			}
		}
	}
	slices.Sort(names)
	slices.Sort(pods)
	if !slices.Equal(names, pods) {
		return fmt.Errorf("targets are %v, pods %v", names, pods)
	}
	if sampled >= 0 && n != sampled {
		return fmt.Errorf("%d sampled, not %d", n, sampled)
	}
	return nil
}

func TestTargetsFollowScaling(t *testing.T) {
	ns := f.NewNamespace(t)
	f.Apply(t, ns, f.Workload(t, "checkout"))
	f.Apply(t, ns, policy)
	f.Rollout(t, ns, "deploy/checkout")
	for _, replicas := range []int{10, 2} {
		f.K(t, "scale", "deploy/checkout", "-n", ns, fmt.Sprintf("--replicas=%d", replicas))
		f.Rollout(t, ns, "deploy/checkout")
		f.Within(t, 60*time.Second, "pods are there", func() error {
			if n := len(f.Pods(t, ns, "app=checkout")); n != replicas {
				return fmt.Errorf("%d pods", n)
			}
			return nil
		})
		pods := f.Pods(t, ns, "app=checkout")
		// 2 s, and the second between two posts of a namespace's targets
		f.Within(t, 3*time.Second+f.Slack, fmt.Sprintf("targets after scaling to %d", replicas), func() error { return targets(ns, pods, min(replicas, 3)) })
		// counts are written at most every 5 s, by a pass that comes some seconds later
		f.PolicyIs(t, 15*time.Second, ns, "checkout", "status after scaling", func(p *f.Policy) error {
			if p.Status.Targets.Selected != replicas {
				return fmt.Errorf("%d selected", p.Status.Targets.Selected)
			}
			return nil
		})
	}
}

func TestBothRevisionsAreSampledDuringAnUpdate(t *testing.T) {
	ns := f.NewNamespace(t)
	f.Apply(t, ns, f.Workload(t, "checkout"))
	f.Apply(t, ns, policy)
	f.Rollout(t, ns, "deploy/checkout")
	f.K(t, "patch", "deploy/checkout", "-n", ns, "--patch", `{"spec":{"minReadySeconds":8,"template":{"metadata":{"labels":{"change":"1"}}}}}`)
	f.Within(t, 60*time.Second, "both revisions sampled", func() error {
		all, err := f.Targets(ns)
		if err != nil {
			return err
		}
		hashes := map[string]bool{}
		for _, target := range all {
			if target.Sampled && target.LeftOutReason == "" {
				parts := strings.Split(target.Pod, "-")
				hashes[parts[len(parts)-2]] = true
			}
		}
		if len(hashes) != 2 {
			return fmt.Errorf("revisions sampled: %v", hashes)
		}
		return nil
	})
	f.K(t, "rollout", "status", "deploy/checkout", "-n", ns, "--timeout=240s")
	f.Within(t, 30*time.Second, "only the new one is left", func() error { return targets(ns, f.Pods(t, ns, "app=checkout,change=1"), 3) })
	f.Within(t, 60*time.Second, "profiles of both revisions", func() error {
		items, err := f.List("namespace=" + ns)
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, p := range items {
			seen[p.Revision] = true
		}
		if len(seen) != 2 {
			return fmt.Errorf("revisions are %v", seen)
		}
		return nil
	})
}

func TestNoCaptureStartsAfterAPodWasDeleted(t *testing.T) {
	ns := f.NewNamespace(t)
	f.Apply(t, ns, f.Workload(t, "checkout"))
	f.Apply(t, ns, policy)
	f.Rollout(t, ns, "deploy/checkout")
	f.Within(t, 60*time.Second, "captures run", func() error { return f.Some("namespace="+ns+"&type=cpu", nil) })
	for round := range 3 {
		pod := f.Pods(t, ns, "app=checkout")[0]
		f.K(t, "delete", "pod", pod, "-n", ns, "--wait=true", "--grace-period=1")
		gone := time.Now()
		f.Within(t, 3*time.Second+f.Slack, "its target is gone", func() error {
			all, err := f.Targets(ns)
			if err != nil {
				return err
			}
			for _, target := range all {
				if target.Pod == pod && target.LeftOutReason == "" {
					return fmt.Errorf("still there: %+v", target)
				}
			}
			return nil
		})
		f.Rollout(t, ns, "deploy/checkout")
		time.Sleep(2 * time.Second)
		items, err := f.List("namespace=" + ns)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range items {
			if p.Pod == pod && p.StartTime.After(gone.Add(200*time.Millisecond)) {
				t.Errorf("round %d: a capture of %s started at %s, it was gone at %s", round, pod, p.StartTime, gone)
			}
			// one in flight ended with the pod or was dropped: nothing may be stored under its name from another process
			if p.Pod == pod && p.EndTime.After(gone.Add(time.Second)) {
				t.Errorf("round %d: a window of %s ends %s after the pod", round, pod, p.EndTime.Sub(gone))
			}
		}
	}
}

// podGone counts CPU profiles that were dropped because their pod went away.
func podGone(t *testing.T) float64 {
	t.Helper()
	match := regexp.MustCompile(`(?m)^kube_pprof_captures_total\{result="PodGone",type="cpu"\} ([0-9.e+]+)$`).FindStringSubmatch(f.Metrics(t, "controller"))
	if match == nil {
		return 0
	}
	n, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestACaptureInFlightIsDroppedWithItsPod(t *testing.T) {
	ns := f.NewNamespace(t)
	f.Apply(t, ns, f.Workload(t, "checkout"))
	f.Apply(t, ns, strings.Replace(policy, "interval: 12s, duration: 4s", "interval: 20s, duration: 15s", 1)) // nearly always one runs
	f.Rollout(t, ns, "deploy/checkout")
	f.Within(t, 60*time.Second, "captures run", func() error { return f.Some("namespace="+ns+"&type=cpu", nil) })
	before := podGone(t)
	for round := 0; podGone(t) == before; round++ {
		if round == 6 {
			t.Fatal("six pods were deleted, none of them while its CPU profile was taken")
		}
		pod := f.Pods(t, ns, "app=checkout")[0]
		deleted := time.Now()
		f.K(t, "delete", "pod", pod, "-n", ns, "--wait=true", "--grace-period=1")
		gone := time.Now()
		f.Rollout(t, ns, "deploy/checkout")
		time.Sleep(3 * time.Second)
		items, err := f.List("namespace=" + ns + "&type=cpu")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range items {
			if p.Pod == pod && p.EndTime.After(gone) {
				t.Errorf("a profile of %s was stored that ended %s after its deletion", pod, p.EndTime.Sub(deleted))
			}
		}
	}
}
