package access

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const apiService = "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.data.kube-pprof.dev"

// theAPIService is whether it is there and available, and how many authorities it believes.
func theAPIService(admin *server) (there, available bool, cas int) {
	a, err := admin.try("GET", apiService, "", "")
	if err != nil || a.status != 200 {
		return false, false, 0
	}
	var s struct {
		Spec   struct{ CABundle string }
		Status struct{ Conditions []f.Condition }
	}
	_ = json.Unmarshal([]byte(a.body), &s)
	for _, c := range s.Status.Conditions {
		available = available || c.Type == "Available" && c.Status == "True"
	}
	bundle, _ := base64.StdEncoding.DecodeString(s.Spec.CABundle)
	return true, available, strings.Count(string(bundle), "BEGIN CERTIFICATE")
}

func (w *world) untilAvailable(t *testing.T, limit time.Duration) {
	t.Helper()
	f.Within(t, limit, "the APIService is available", func() error {
		if _, available, _ := theAPIService(w.admin); !available {
			return fmt.Errorf("it is not")
		}
		if a, err := w.api.try("GET", in(shop)+"?limit=1", w.viewer.api, ""); err != nil || a.status != 200 {
			return fmt.Errorf("a list: %v, %v", a, err)
		}
		return nil
	})
}

// goes deletes namespaces at once and says how long it took until the last was gone.
func goes(t *testing.T, limit time.Duration, namespaces ...string) time.Duration {
	t.Helper()
	began := time.Now()
	f.K(t, append([]string{"delete", "namespace", "--wait=false"}, namespaces...)...)
	f.Within(t, limit, strings.Join(namespaces, ", ")+" gone", func() error {
		if out := f.K(t, append([]string{"get", "namespace", "--ignore-not-found", "-o", "name"}, namespaces...)...); out != "" {
			return fmt.Errorf("%s is left", out)
		}
		return nil
	})
	return time.Since(began)
}

func (w *world) appears(t *testing.T, namespaces ...string) {
	t.Helper()
	for _, ns := range namespaces {
		f.K(t, "create", "namespace", ns)
		f.K(t, "create", "serviceaccount", "viewer", "-n", ns)
		f.K(t, "create", "rolebinding", "viewer", "-n", ns, "--clusterrole=view", "--serviceaccount="+ns+":viewer")
	}
}

func (w *world) holds(t *testing.T, ns string, n int) {
	t.Helper()
	token := w.token(t, ns, "viewer", "--audience", "kube-pprof")
	f.Within(t, 10*time.Second, "its viewer reads", func() error {
		if a := w.reg.get(t, "/api/v1/profiles?namespace="+ns, token); a.status != 200 {
			return fmt.Errorf("%v", a)
		}
		return nil
	})
	for what, a := range map[string]answer{"direct": w.reg.get(t, "/api/v1/profiles?namespace="+ns, token), "all, direct": w.reg.get(t, "/api/v1/profiles?namespace="+ns, w.pusher),
		"aggregated": w.admin.get(t, in(ns), "")} {
		if got := names(t, a); len(got) != n {
			t.Errorf("%s: %s has %v, not %d profiles", what, ns, got, n)
		}
	}
}

func namespacesGo(t *testing.T, w *world) {
	w.untilAvailable(t, 30*time.Second)
	first := []string{"e2e-goes-1", "e2e-goes-2", "e2e-goes-3"}
	w.appears(t, first...)
	var old string
	for _, ns := range first {
		old = w.push(t, w.pusher, "namespace="+ns+"&service=s", ns+".Old")
		w.push(t, w.pusher, "namespace="+ns+"&service=s", ns+".Old")
		w.holds(t, ns, 2)
	}
	with := goes(t, 60*time.Second, first...)
	w.reg.get(t, "/api/v1/profiles/"+old, w.pusher).is(t, "a profile of a namespace that is gone", 404)
	w.appears(t, first[0])
	w.holds(t, first[0], 0)
	w.push(t, w.pusher, "namespace="+first[0]+"&service=s", "New")
	w.holds(t, first[0], 1)

	// the same without the APIService: by the switch
	saved := f.K(t, "get", "configmap", "-n", f.Namespace, "kube-pprof-api-service", "-o", "json")
	f.K(t, "delete", "configmap", "-n", f.Namespace, "kube-pprof-api-service")
	f.Within(t, 30*time.Second, "the APIService is withdrawn", func() error {
		if there, _, _ := theAPIService(w.admin); there {
			return fmt.Errorf("it is there")
		}
		return nil
	})
	second := []string{"e2e-goes-4", "e2e-goes-5", "e2e-goes-6"}
	w.appears(t, second...)
	without := goes(t, 60*time.Second, second...)
	if out, err := f.KubectlIn(saved, "create", "-f", "-"); err != nil {
		t.Fatal(err, out)
	}
	w.untilAvailable(t, 60*time.Second)
	t.Logf("three namespaces go in %s, without the APIService in %s", with, without)
	if with > without+3*time.Second {
		t.Errorf("namespaces go in %s, without the APIService in %s", with, without)
	}
	w.namespaceWithout = without
	goes(t, 60*time.Second, first[0])
}

// prying asks for what a namespace held before it was made anew, as its viewer, without rest: by the Service and at the registry's
// own address, from before it answers.
type prying struct {
	stop           chan struct{}
	done           sync.WaitGroup
	refused, empty atomic.Int64
	mu             sync.Mutex
	seen           []string // answers that show something
}

func (w *world) pry(t *testing.T, ns, old string) *prying {
	t.Helper()
	p := &prying{stop: make(chan struct{})}
	token := w.token(t, ns, "viewer", "--audience", "kube-pprof")
	ca, err := bundle(w.admin)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/v1/profiles?namespace=" + ns, "/api/v1/profiles/" + old, "/api/v1/profiles/" + old + "?namespace=" + ns,
		"/api/v1/merge?type=cpu&namespace=" + ns, "/api/0/profiles/" + old, "/api/v1/services?namespace=" + ns} {
		for _, direct := range []bool{false, true} {
			p.done.Add(1)
			go func() {
				defer p.done.Done()
				s := w.reg
				if direct {
					s = w.registryPod(p.stop, ca)
				}
				for {
					select {
					case <-p.stop:
						return
					case <-time.After(2 * time.Millisecond):
					}
					if a, err := s.try("GET", path, token, ""); err == nil {
						p.note(path, a)
					}
				}
			}()
		}
	}
	return p
}

func (p *prying) note(path string, a answer) {
	switch {
	case (a.status == 503 || a.status == 429) && strings.Contains(a.body, "how old the namespaces are"):
		p.refused.Add(1)
	case a.status == 404, a.status == 200 && strings.Contains(a.body, `"items":[]`):
		p.empty.Add(1)
	case a.status == 200:
		p.mu.Lock()
		p.seen = append(p.seen, fmt.Sprintf("%s: %v", path, a))
		p.mu.Unlock()
	}
}

// over ends it: nothing was ever shown, reads waited, and then they were answered.
func (p *prying) over(t *testing.T, what string) {
	t.Helper()
	close(p.stop)
	p.done.Wait()
	t.Logf("%s: %d reads refused, %d answered that there is nothing, %d that show the past", what, p.refused.Load(), p.empty.Load(), len(p.seen))
	if len(p.seen) > 0 {
		t.Errorf("%s: the past of the name was shown %d times, first %s", what, len(p.seen), p.seen[0])
	}
	if p.refused.Load() == 0 || p.empty.Load() == 0 {
		t.Errorf("%s: %d reads were refused and %d answered", what, p.refused.Load(), p.empty.Load())
	}
}

// registryPod is the registry's pod, as soon as it has an address.
func (w *world) registryPod(stop chan struct{}, ca []byte) *server {
	var pod struct {
		Metadata struct{ DeletionTimestamp string }
		Status   struct{ PodIP string }
	}
	for {
		a, err := w.admin.try("GET", "/api/v1/namespaces/"+f.Namespace+"/pods/kube-pprof-registry-0", "", "")
		if err == nil && json.Unmarshal([]byte(a.body), &pod) == nil && pod.Status.PodIP != "" && pod.Metadata.DeletionTimestamp == "" {
			break
		}
		select {
		case <-stop:
			return w.reg
		case <-time.After(50 * time.Millisecond):
		}
	}
	s := newServer(w.own, "kube-pprof-registry."+f.Namespace+".svc", net.JoinHostPort(pod.Status.PodIP, "10100"))
	_ = s.trust(ca)
	return s
}

func scale(t *testing.T, what, n string) {
	t.Helper()
	f.K(t, "scale", what, "-n", f.Namespace, "--replicas="+n)
}

// untilRead waits until the viewer of a namespace is answered.
func (w *world) untilRead(t *testing.T, limit time.Duration, ns, token string) {
	t.Helper()
	f.Within(t, limit, ns+" is read again", func() error {
		if a, err := w.reg.try("GET", "/api/v1/profiles?limit=1000&namespace="+ns, token, ""); err != nil || a.status != 200 {
			return fmt.Errorf("%v, %v", a, err)
		}
		return nil
	})
}

func namespacesGoWithoutTheRegistry(t *testing.T, w *world) {
	const ns = "e2e-goes-7"
	const registry, controller = "sts/kube-pprof-registry", "deploy/kube-pprof-controller"
	w.appears(t, ns)
	old := w.push(t, w.pusher, "namespace="+ns+"&service=s", "e2e.Old")
	w.holds(t, ns, 1)
	scale(t, registry, "0")
	t.Cleanup(func() { scale(t, registry, "1"); scale(t, controller, "1") })
	f.K(t, "wait", "pod/kube-pprof-registry-0", "-n", f.Namespace, "--for=delete", "--timeout=60s")
	took := goes(t, w.namespaceWithout+90*time.Second+f.Slack, ns)
	t.Logf("with the registry away a namespace goes in %s; %s without the APIService", took, w.namespaceWithout)
	w.appears(t, ns)
	p := w.pry(t, ns, old)
	scale(t, registry, "1")
	// the controller tells the registry how old its namespaces are
	w.untilRead(t, 60*time.Second, shop, w.viewer.direct)
	w.untilAvailable(t, 60*time.Second)
	w.holds(t, ns, 0)
	p.over(t, "the registry is back")
	same(t, "what is left of others", names(t, w.reg.get(t, "/api/v1/profiles?limit=1000&namespace="+shop, w.viewer.direct)), ids(w.mine))

	// the controller was away as well: nobody tells, until it is back
	old = w.push(t, w.pusher, "namespace="+ns+"&service=s", "e2e.Old")
	w.holds(t, ns, 1)
	scale(t, controller, "0")
	f.K(t, "wait", "pod", "-l", "app.kubernetes.io/component=controller", "-n", f.Namespace, "--for=delete", "--timeout=60s")
	scale(t, registry, "0")
	f.K(t, "wait", "pod/kube-pprof-registry-0", "-n", f.Namespace, "--for=delete", "--timeout=60s")
	f.K(t, "delete", "apiservice", "v1alpha1.data.kube-pprof.dev") // as the controller would have, after a minute
	goes(t, w.namespaceWithout+60*time.Second+f.Slack, ns)
	w.appears(t, ns)
	p = w.pry(t, ns, old)
	scale(t, registry, "1")
	f.Within(t, 60*time.Second, "the registry is ready, and reads wait", func() error {
		if out := f.K(t, "get", "pod", "kube-pprof-registry-0", "-n", f.Namespace, "--ignore-not-found", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); out != "True" {
			return fmt.Errorf("it is not ready: %q", out)
		}
		if p.refused.Load() == 0 {
			return fmt.Errorf("none was refused")
		}
		return nil
	})
	time.Sleep(5 * time.Second)
	w.push(t, w.pusher, "namespace=default&service=s", "e2e.Meanwhile") // profiles are taken
	if n := p.empty.Load(); n > 0 {
		t.Errorf("%d reads were answered while nobody had told", n)
	}
	scale(t, controller, "1")
	w.untilRead(t, 60*time.Second, shop, w.viewer.direct)
	w.untilAvailable(t, 60*time.Second)
	w.holds(t, ns, 0)
	p.over(t, "registry and controller are back")
	goes(t, 60*time.Second, ns)

	// killed and there again before the controller misses it
	var refused atomic.Int64
	stop := make(chan struct{})
	var asking sync.WaitGroup
	asking.Add(1)
	go func() {
		defer asking.Done()
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			if a, err := w.reg.try("GET", "/api/v1/profiles?limit=1&namespace="+shop, w.viewer.direct, ""); err == nil && a.status == 503 && strings.Contains(a.body, "how old the namespaces are") {
				refused.Add(1)
			}
		}
	}()
	f.Kill9(t, "registry")
	w.untilRead(t, 30*time.Second, shop, w.viewer.direct)
	close(stop)
	asking.Wait()
	t.Logf("the registry was killed: %d reads refused", refused.Load())
	if refused.Load() == 0 {
		t.Error("no read was refused until the controller had told the new process")
	}
	same(t, "what is left of others", names(t, w.reg.get(t, "/api/v1/profiles?limit=1000&namespace="+shop, w.viewer.direct)), ids(w.mine))
}
