// Package annotations: pods opt in by annotation, without a policy of their own.
package annotations

import (
	"fmt"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

// annotated is the sample program with a port that is not declared and annotations.
func annotated(t *testing.T, name, annotations string) string {
	t.Helper()
	text := f.Workload(t, "checkout")
	for from, to := range map[string]string{
		"{name: checkout, labels": "{name: " + name + ", labels", "app: checkout": "app: " + name, "replicas: 3": "replicas: 1",
		"        ports: [{name: pprof, containerPort: 6060}]\n": "", "metadata: {labels:": "metadata: {annotations: {" + annotations + "}, labels:",
	} {
		if !strings.Contains(text, from) {
			t.Fatalf("checkout.yaml has no %q", from)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	return text
}

func TestAProfefePodIsProfiledWithoutAPolicy(t *testing.T) {
	ns := f.NewNamespace(t)
	f.Apply(t, ns, annotated(t, "migrated", `profefe.com/enable: "true", profefe.com/port: "6060"`))
	f.Apply(t, ns, annotated(t, "stranger", `example.com/enable: "true"`))
	f.Rollout(t, ns, "deploy/migrated")
	var p f.Profile
	f.Within(t, 100*time.Second, "its CPU profile is stored", func() error { return f.Some("namespace="+ns+"&type=cpu", &p) })
	if top := f.Top(t, p.ID, "-cum"); !strings.Contains(top, "checkout.hashOrders") {
		t.Errorf("no hashOrders in\n%s", top)
	}
	if p.Service != "migrated" {
		t.Errorf("the service is %q, not the workload's name", p.Service)
	}
	f.Within(t, 30*time.Second, "annotated-pods counts it", func() error {
		policy, err := f.GetPolicy("", "annotated-pods")
		if err == nil && policy.Status.Targets.Sampled < 1 {
			err = fmt.Errorf("targets are %+v", policy.Status.Targets)
		}
		return err
	})
	items, err := f.List("namespace=" + ns + "&service=stranger")
	if err != nil || len(items) > 0 {
		t.Errorf("a pod that did not ask was profiled: %v %+v", err, items)
	}
}

func TestWrongAnnotationsAreReported(t *testing.T) {
	ns := f.NewNamespace(t)
	f.Apply(t, ns, annotated(t, "wrong", `kube-pprof.dev/enable: "true", kube-pprof.dev/port: "http-port!"`))
	f.Rollout(t, ns, "deploy/wrong")
	pod := f.Pods(t, ns, "app=wrong")[0]
	f.Within(t, 30*time.Second, "an event on the pod", func() error {
		out, err := f.Kubectl("events", "-n", ns, "--for", "pod/"+pod)
		if err == nil && !strings.Contains(out, "kube-pprof.dev/port") {
			err = fmt.Errorf("events are %s", out)
		}
		return err
	})
	f.Within(t, 30*time.Second, "left out with a reason", func() error {
		targets, err := f.Targets(ns)
		if err != nil {
			return err
		}
		for _, target := range targets {
			if target.Pod == pod && target.LeftOutReason == "BadAnnotation" && strings.Contains(target.Message, "kube-pprof.dev/port") {
				return nil
			}
		}
		return fmt.Errorf("targets are %+v", targets)
	})
}

func TestAGrafanaPodIsLeftAloneUntilSwitchedOn(t *testing.T) {
	ns := f.NewNamespace(t)
	f.Apply(t, ns, annotated(t, "grafana", `profiles.grafana.com/memory.scrape: "true", profiles.grafana.com/memory.port: "6060",
      profiles.grafana.com/cpu.scrape: "true", profiles.grafana.com/cpu.port: "6060"`))
	f.Rollout(t, ns, "deploy/grafana")
	time.Sleep(8 * time.Second) // what must not happen gets the time to happen
	if items, err := f.List("namespace=" + ns); err != nil || len(items) > 0 {
		t.Fatalf("it was profiled: %v %+v", err, items)
	}
	if err := f.Install("controller.config.annotation-dialects={kube-pprof,profefe,grafana}"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Install(); err != nil {
			t.Error(err)
		}
	})
	f.Within(t, 100*time.Second, "its CPU profile is stored", func() error { return f.Some("namespace="+ns+"&type=cpu", nil) })
}

func TestOptingOutWins(t *testing.T) {
	ns := f.NewNamespace(t)
	f.Apply(t, ns, f.Workload(t, "checkout"))
	f.Apply(t, ns, `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: all}
spec: {selector: {}, profiles: [{type: heap, interval: 10s}]}
`)
	f.Rollout(t, ns, "deploy/checkout")
	f.PolicyIs(t, 20*time.Second, ns, "all", "three targets", func(p *f.Policy) error {
		if p.Status.Targets.Selected != 3 {
			return fmt.Errorf("%d targets", p.Status.Targets.Selected)
		}
		return nil
	})
	f.K(t, "annotate", "pods", "-n", ns, "-l", "app=checkout", "kube-pprof.dev/enable=false")
	f.PolicyIs(t, 20*time.Second, ns, "all", "no targets", func(p *f.Policy) error {
		if p.Status.Targets.Selected != 0 {
			return fmt.Errorf("%d targets", p.Status.Targets.Selected)
		}
		return nil
	})
}
