package soak

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const (
	perSecond = 50
	lifetime  = 6 * time.Second // of a pod: 300 are there at a time
	workloads = 20
	atOnce    = 16 // requests of a kind; with more an API server that has little of the machine does less
)

const policy = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: %s}
spec:
  selector: {matchLabels: {app: %s}}
  profiles:
  - {type: cpu, interval: 10s, duration: 1s}
  - {type: heap, interval: %ds}
  sampling: {replicas: 100%%}
  budget: {overheadPercent: 5, concurrentPerWorkload: 100%%}
  labels: {static: {edit: "%d"}}
`

type churn struct {
	*f.Direct
	ns                                 string
	owners                             []string // uids
	made, gone, edits, queries, spaces atomic.Int64
	failed                             atomic.Int64 // of what the churn itself asked for
	refused                            atomic.Int64 // queries that were told to come again, or found nothing yet
	mu                                 sync.Mutex
	trouble                            string // the last
}

func (c *churn) fail(err error) {
	if err == nil {
		return
	}
	c.failed.Add(1)
	c.mu.Lock()
	c.trouble = err.Error()
	c.mu.Unlock()
}

func (c *churn) makeOwners(t *testing.T) {
	t.Helper()
	for i := range workloads {
		uid, err := c.PostOwner(c.ns, fmt.Sprintf("w%d", i))
		if err != nil {
			t.Fatal(err)
		}
		c.owners = append(c.owners, uid)
	}
}

type m = map[string]any

// makePod: one of ten cannot be reached; revisions come and go.
func (c *churn) makePod(i int64) error {
	network, owner := f.FleetNetwork, i%workloads
	if i%10 == 9 {
		network = f.NowhereNetwork
	}
	labels := map[string]string{"app": "soak", "pod-template-hash": fmt.Sprintf("r%d", time.Now().Unix()/30%1000)}
	return c.PostPod(c.ns, fmt.Sprintf("p%d", i), fmt.Sprintf("%s.%d.%d", network, i/250%250, 1+i%250), fmt.Sprintf("soak-%d", i%50), labels,
		fmt.Sprintf("w%d", owner), c.owners[owner])
}

// every calls do so many times a second, each call in a goroutine of its own but for a bound; it catches up.
func every(ctx context.Context, wg *sync.WaitGroup, rate float64, atOnce int, do func(i int64)) {
	wg.Add(1)
	go func() {
		defer wg.Done()
		slots, began := make(chan struct{}, atOnce), time.Now()
		for i := int64(0); ctx.Err() == nil; i++ {
			time.Sleep(time.Until(began.Add(time.Duration(float64(i) / rate * float64(time.Second)))))
			slots <- struct{}{}
			wg.Add(1)
			go func() {
				defer wg.Done()
				do(i)
				<-slots
			}()
		}
	}()
}

// run goes on until ctx ends, and returns when all pods are gone.
func (c *churn) run(ctx context.Context) {
	var wg, pods sync.WaitGroup
	deleting := make(chan struct{}, atOnce)
	every(ctx, &pods, perSecond, atOnce, func(i int64) {
		if err := c.makePod(i); err != nil {
			c.fail(err)
			return
		}
		c.made.Add(1)
		wg.Add(1)
		time.AfterFunc(lifetime, func() {
			defer wg.Done()
			deleting <- struct{}{}
			defer func() { <-deleting }()
			// its node is none: Kubernetes itself may have been quicker
			if err := c.DropPod(c.ns, fmt.Sprintf("p%d", i)); err != nil && !strings.Contains(err.Error(), "404 Not Found") {
				c.fail(err)
			}
			c.gone.Add(1)
		})
	})
	every(ctx, &pods, 0.5, 1, func(i int64) { // two intervals, five labels
		_, err := f.KubectlIn(fmt.Sprintf(policy, "all", "soak", 10+10*(i%2), i%5), "apply", "-n", c.ns, "-f", "-")
		c.fail(err)
		c.edits.Add(1)
	})
	every(ctx, &pods, 1, 1, func(i int64) {
		name := fmt.Sprintf("p%d", i)
		_, err := c.API("POST", "/apis/kube-pprof.dev/v1alpha1/namespaces/"+c.ns+"/profilingpolicies", m{"apiVersion": "kube-pprof.dev/v1alpha1", "kind": "ProfilingPolicy",
			"metadata": m{"name": name}, "spec": m{"selector": m{"matchLabels": m{"app": "soak", "pod-template-hash": name}}, "profiles": []m{{"type": "heap", "interval": "10s"}}}})
		c.fail(err)
		time.Sleep(2 * time.Second)
		_, err = c.API("DELETE", "/apis/kube-pprof.dev/v1alpha1/namespaces/"+c.ns+"/profilingpolicies/"+name, nil)
		c.fail(err)
		c.edits.Add(2)
	})
	every(ctx, &pods, 0.2, 1, func(i int64) {
		name := fmt.Sprintf("%s-%d", c.ns, i)
		_, err := c.API("POST", "/api/v1/namespaces", m{"metadata": m{"name": name}})
		c.fail(err)
		time.Sleep(time.Second)
		_, err = c.API("DELETE", "/api/v1/namespaces/"+name, nil)
		c.fail(err)
		c.spaces.Add(1)
	})
	every(ctx, &pods, 4, 4, c.query)
	pods.Wait()
	wg.Wait()
}

func (c *churn) query(i int64) {
	sum := fmt.Sprintf("namespace=%s&service=w%d&type=cpu&from=-2m&startup=true", c.ns, i%workloads)
	paths := []string{"/api/v1/profiles?limit=200&namespace=" + c.ns, "/api/v1/top?format=json&" + sum, "/api/v1/series?step=10s&" + sum,
		"/api/v1/flamegraph?format=json&" + sum, "/api/v1/merge?" + sum, "/api/v1/targets?namespace=" + c.ns, "/api/v1/services?namespace=" + c.ns,
		"/api/v1/profiles?limit=50&namespace=" + c.ns + "&selector=k8s.pod%3D~p1.*"}
	if _, err := c.Ask(paths[i%int64(len(paths))]); err != nil {
		c.refused.Add(1)
		c.mu.Lock()
		c.trouble = err.Error()
		c.mu.Unlock()
	}
	c.queries.Add(1)
}
