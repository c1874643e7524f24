// Package capture: a policy applied with kubectl makes profiles of real programs appear.
package capture

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
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
  profiles:
  - {type: cpu, interval: 15s, duration: 5s}
  - {type: heap, interval: 15s}
  - {type: goroutine, interval: 15s}
  - {type: mutex, interval: 15s}
  - {type: block, interval: 15s}
  budget: {overheadPercent: 5, concurrentPerWorkload: 100%}
`

func TestAPolicyMakesProfilesAppear(t *testing.T) {
	ns := f.NewNamespace(t)
	f.Apply(t, ns, f.Workload(t, "checkout"))
	f.Rollout(t, ns, "deploy/checkout")
	applied := time.Now()
	f.Apply(t, ns, policy)

	f.PolicyIs(t, time.Second+f.Slack, ns, "checkout", "Accepted", f.Is("Accepted", "True", ""))
	f.PolicyIs(t, 5*time.Second+f.Slack, ns, "checkout", "targets found", func(p *f.Policy) error {
		if s := p.Status.Targets; s.Selected != 3 || s.Sampled != 3 || s.LeftOut != 0 {
			return fmt.Errorf("targets are %+v", s)
		}
		return nil
	})
	f.K(t, "wait", "-n", ns, "--for=condition=Ready", "profilingpolicy/checkout", "--timeout=10s")
	p, err := f.GetPolicy(ns, "checkout")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"Ready", "Accepted", "TargetsDiscovered", "Feasible", "CapturesSucceeding"} {
		if c := p.Condition(kind); c.Status == "" || c.Reason == "" {
			t.Errorf("condition %s is not there: %+v", kind, c)
		}
	}

	// interval + duration, and the way to the disk
	f.Within(t, 20*time.Second+f.Slack-time.Since(applied), "first CPU profile stored", func() error {
		return f.Some("namespace="+ns+"&type=cpu", nil)
	})
	for _, kind := range []string{"heap", "goroutine", "mutex", "block"} {
		f.Within(t, 20*time.Second+f.Slack, "first "+kind+" profile stored", func() error { return f.Some("namespace="+ns+"&type="+kind, nil) })
	}
	columns(t, ns)
	contents(t, ns)
	architecture(t, ns)
}

func columns(t *testing.T, ns string) {
	f.PolicyIs(t, 20*time.Second, ns, "checkout", "last capture shown", func(p *f.Policy) error {
		if p.Status.LastCaptureTime == "" {
			return fmt.Errorf("no lastCaptureTime")
		}
		return nil
	})
	lines := strings.Split(f.K(t, "get", "profilingpolicies", "-n", ns), "\n")
	if got := strings.Join(strings.Fields(lines[0]), " "); got != "NAME READY TARGETS FAILING LAST CAPTURE AGE" {
		t.Errorf("columns are %q", got)
	}
	row := strings.Fields(lines[1])
	if len(row) != 6 || row[1] != "True" || row[2] != "3" || row[3] != "0" {
		t.Errorf("row is %q", row)
	}
	wide := strings.Split(f.K(t, "get", "ppol", "-n", ns, "-o", "wide"), "\n")[0]
	if got := strings.Join(strings.Fields(wide), " "); got != "NAME READY TARGETS FAILING LAST CAPTURE AGE SUSPENDED REASON MESSAGE" {
		t.Errorf("wide columns are %q", got)
	}
}

func contents(t *testing.T, ns string) {
	for kind, want := range map[string]string{
		"cpu": "checkout.hashOrders", "heap": "checkout.keepCart", "goroutine": "checkout.Run", "mutex": "checkout.keepCart", "block": "checkout.keepCart",
	} {
		var p f.Profile
		if err := f.Some("namespace="+ns+"&type="+kind, &p); err != nil {
			t.Error(err)
			continue
		}
		if top := f.Top(t, p.ID, "-cum", "-nodecount=100"); !strings.Contains(top, want) {
			t.Errorf("%s profile %s does not hold %s:\n%s", kind, p.ID, want, top)
		}
		if p.Namespace != ns || p.Pod == "" || p.Container != "app" || !strings.Contains(p.Workload, "checkout") || p.Revision == "" {
			t.Errorf("what was captured is not all there: %+v", p)
		}
	}
}

// The node is read while the first captures run; those that are over before go without.
func architecture(t *testing.T, ns string) {
	f.Within(t, 20*time.Second+f.Slack, "a profile says the architecture of its node", func() error {
		items, err := f.List("namespace=" + ns)
		if err != nil {
			return err
		}
		known := 0
		for _, p := range items {
			if p.Architecture == runtime.GOARCH {
				known++
			} else if p.Architecture != "" {
				return fmt.Errorf("profile %s is of %q, the node of %q", p.ID, p.Architecture, runtime.GOARCH)
			}
		}
		if known == 0 {
			return fmt.Errorf("none of %d profiles says it", len(items))
		}
		return nil
	})
}

// Programs nobody here wrote, from their Go modules.
func TestCoreDNSAndPrometheus(t *testing.T) {
	own := f.NeedOwn(t)
	for _, image := range []string{"coredns", "prometheus"} {
		if err := own.Load(context.Background(), own.Tools.ImageFile(image)); err != nil {
			t.Fatal(err, "(kp-cluster build --extra makes the images)")
		}
	}
	ns := f.NewNamespace(t)
	f.Apply(t, ns, f.Workload(t, "others"))
	f.Rollout(t, ns, "deploy/coredns")
	f.Rollout(t, ns, "deploy/prometheus")
	var stop atomic.Bool
	defer stop.Store(true)
	ip := f.K(t, "get", "pods", "-n", ns, "-l", "app=coredns", "-o", "jsonpath={.items[0].status.podIP}")
	go func() { // an idle name server has an empty CPU profile
		query := append([]byte{1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 6, 'w', 'h', 'o', 'a', 'm', 'i', 0}, 0, 1, 0, 1)
		for !stop.Load() {
			conn, err := own.Dial(context.Background(), "udp", net.JoinHostPort(ip, "5353"))
			if err != nil {
				time.Sleep(100 * time.Millisecond)
				continue
			}
			for i := 0; i < 2000 && !stop.Load(); i++ {
				_, _ = conn.Write(query)
				time.Sleep(200 * time.Microsecond)
			}
			conn.Close()
		}
	}()
	f.Apply(t, ns, `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: others}
spec:
  selector: {matchExpressions: [{key: app, operator: In, values: [coredns, prometheus]}]}
  endpoints: [{name: pprof, port: pprof}]
  profiles:
  - {type: cpu, interval: 15s, duration: 5s}
  - {type: heap, interval: 20s}
  budget: {overheadPercent: 5, concurrentPerWorkload: 100%}
`)
	for service, want := range map[string]string{"coredns": "github.com/coredns/coredns", "prometheus": "github.com/prometheus/prometheus"} {
		for _, kind := range []string{"cpu", "heap"} {
			args := []string{"-cum", "-nodecount=200"}
			if kind == "heap" { // of what is in use few allocations are sampled, and the program's own need not be among them
				args = append(args, "-sample_index=alloc_space")
			}
			f.Within(t, 60*time.Second, service+"'s "+kind+" profile holds its functions", func() error {
				items, err := f.List("namespace=" + ns + "&type=" + kind + "&service=" + service)
				if err != nil {
					return err
				}
				if len(items) == 0 {
					time.Sleep(time.Second)
					return fmt.Errorf("no profile")
				}
				last := items[0] // newest first
				if top := f.Top(t, last.ID, args...); !strings.Contains(top, want) {
					time.Sleep(2 * time.Second)
					return fmt.Errorf("profile %s does not hold %s:\n%s", filepath.Base(last.ID), want, top)
				}
				return nil
			})
		}
	}
}

// The same program with one function made costlier: the profiles tell the revisions apart.
func TestAVersionThatCostsMoreIsSeen(t *testing.T) {
	ns := f.NewNamespace(t)
	f.Apply(t, ns, strings.Replace(f.Workload(t, "checkout"), `-version, "1"`, `-version, "2"`, 1))
	f.Rollout(t, ns, "deploy/checkout")
	f.Apply(t, ns, policy)
	var p f.Profile
	f.Within(t, 60*time.Second, "CPU profile stored", func() error { return f.Some("namespace="+ns+"&type=cpu", &p) })
	if top := f.Top(t, p.ID, "-cum", "-nodecount=100"); !strings.Contains(top, "checkout.priceCart") {
		t.Errorf("checkout.priceCart is not in the profile of version 2:\n%s", top)
	}
}
