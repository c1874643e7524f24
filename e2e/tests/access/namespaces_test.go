package access

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
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

func namespacesGoWithoutTheRegistry(t *testing.T, w *world) {
	const ns = "e2e-goes-7"
	w.appears(t, ns)
	old := w.push(t, w.pusher, "namespace="+ns+"&service=s", "e2e.Old")
	w.holds(t, ns, 1)
	scale := func(n string) { f.K(t, "scale", "sts/kube-pprof-registry", "-n", f.Namespace, "--replicas="+n) }
	scale("0")
	t.Cleanup(func() { scale("1") })
	f.K(t, "wait", "pod/kube-pprof-registry-0", "-n", f.Namespace, "--for=delete", "--timeout=60s")
	took := goes(t, w.namespaceWithout+90*time.Second+f.Slack, ns)
	t.Logf("with the registry away a namespace goes in %s; %s without the APIService", took, w.namespaceWithout)
	w.appears(t, ns)
	scale("1")
	f.Within(t, 60*time.Second, "the registry answers", func() error {
		_, err := w.reg.try("GET", "/api/v1/profiles?limit=1&namespace="+shop, w.viewer.direct, "")
		return err
	})
	// the controller tells the registry how old its namespaces are
	f.Within(t, 30*time.Second, "the past of a name is gone", func() error {
		if a := w.reg.get(t, "/api/v1/profiles/"+old, w.pusher); a.status != 404 {
			return fmt.Errorf("%v", a)
		}
		return nil
	})
	w.untilAvailable(t, 60*time.Second)
	w.holds(t, ns, 0)
	same(t, "what is left of others", names(t, w.reg.get(t, "/api/v1/profiles?limit=1000&namespace="+shop, w.viewer.direct)), ids(w.mine))
	goes(t, 60*time.Second, ns)
}
