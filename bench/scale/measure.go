package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

type options struct {
	program, crds, corpus, dir, only     string
	pods, updates, rate, rounds, seconds int
	small, check                         bool
}

// bench is one run.
type bench struct {
	options
	ctx    context.Context
	config *rest.Config
	world  *world
	table  table
}

const (
	controllerMetrics = "http://127.0.0.1:18080/metrics"
	registryURL       = "http://127.0.0.1:10100"
	completeWord      = "caches complete"
)

// schedulePolicy makes every pod a target and captures next to nothing: the schedule is what is measured.
const schedulePolicy = `{type: heap, interval: 24h}`

func measure(o options) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	b := &bench{options: o, ctx: context.Background(), config: config}
	if b.world, err = newWorld(config, o.pods); err != nil {
		return err
	}
	steps := []struct {
		name string
		do   func() error
	}{{"idle", b.idle}, {"sync", b.sync}, {"updates", b.observe}, {"flight", b.flight}, {"day", b.day}}
	if err := b.prepare(); err != nil {
		return err
	}
	posted := false
	for _, step := range steps {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), step.name) {
			continue
		}
		if step.name != "idle" && !posted {
			posted = true
			if err := b.post(); err != nil {
				return err
			}
		}
		say("%s", step.name)
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w (logs in %s)", step.name, err, o.dir)
		}
	}
	if missed := b.table.print(); missed > 0 && o.check {
		return fmt.Errorf("%d figures are not reached", missed)
	}
	return nil
}

func say(format string, a ...any) { fmt.Fprintf(os.Stderr, "==> "+format+"\n", a...) }

func (b *bench) prepare() error {
	if err := kubectl("apply", "-f", b.crds); err != nil {
		return err
	}
	if err := kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"); err != nil {
		return err
	}
	return b.world.prepare(b.ctx)
}

func (b *bench) post() error {
	say("posting %d pods", b.pods)
	began := time.Now()
	if err := b.world.post(b.ctx); err != nil {
		return err
	}
	pod, err := b.world.client.CoreV1().RESTClient().Get().Namespace(namespaceOf(0)).Resource("pods").Name(podName(0, 0)).
		SetHeader("Accept", "application/json").DoRaw(b.ctx)
	b.table.add("pods, of so many bytes as JSON", fmt.Sprintf("%d, %d", b.pods, len(pod)), fmt.Sprintf("posted in %.0f s", time.Since(began).Seconds()))
	return err
}

func kubectl(args ...string) error {
	out, err := exec.Command("kubectl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// policy replaces the one policy there is.
func (b *bench) policy(profiles string) error {
	file := filepath.Join(b.dir, "policy.yaml")
	text := fmt.Sprintf(`apiVersion: kube-pprof.dev/v1alpha1
kind: ClusterProfilingPolicy
metadata: {name: all}
spec:
  selector: {}
  profiles: [%s]
  sampling: {replicas: "100%%"}
  budget: {concurrentPerWorkload: 50%%}
  labels: {fromPod: [team, release]}
`, profiles)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	return kubectl("apply", "-f", file)
}

// controller starts one with limits that let all pods be captured as often as the policy says.
func (b *bench) controller() (*process, error) {
	return start("controller", filepath.Join(b.dir, "controller.log"), completeWord, b.program, "controller", "--kubeconfig", os.Getenv("KUBECONFIG"),
		"--registry-url", registryURL, "--listen", "127.0.0.1:18080", "--lease-namespace", "default",
		"--max-captures", "10000", "--max-captures-per-node", "1000", "--max-captures-per-namespace", "10000", "--max-bytes-in-flight", "512Mi")
}

func (b *bench) informer(kind string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start("informer "+kind, filepath.Join(b.dir, "informer-"+kind+".log"), "synced", self, "informer", kind)
}

// scheduled waits until every pod is a target of the sample.
func (b *bench) scheduled(n int) error {
	var have float64
	for range 600 {
		if m, err := readMetrics(controllerMetrics); err == nil {
			if have = m.sum("kube_pprof_targets", `state="sampled"`); int(have) == n {
				return nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%v targets are scheduled after a minute, not %d", have, n)
}

func (b *bench) idle() error {
	p, err := b.controller()
	if err != nil {
		return err
	}
	defer p.end()
	if _, err := p.waitSynced(time.Minute); err != nil {
		return err
	}
	b.settle()
	m, err := p.memory()
	if err != nil {
		return err
	}
	b.table.want("idle, anonymous memory", mb(m.anonymous), "", m.anonymous, 8, "MB")
	b.table.want("idle, RSS", mb(m.rss), "", m.rss, 20, "MB")
	return nil
}

// settle lets garbage be collected, reports be written and allocators come to rest.
func (b *bench) settle() {
	if b.small {
		time.Sleep(4 * time.Second)
	} else {
		time.Sleep(10 * time.Second)
	}
}

func mb(v float64) string { return fmt.Sprintf("%.1f MB", v) }
