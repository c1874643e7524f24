package access

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

func uninstallAndAnonymousAgents(t *testing.T, w *world) {
	if _, err := f.Helm("uninstall", "kube-pprof", "-n", f.Namespace, "--wait", "--timeout", "120s"); err != nil {
		t.Fatal(err)
	}
	if there, _, _ := theAPIService(w.admin); there {
		t.Error("the APIService is left")
	}
	w.appears(t, "e2e-goes-8")
	t.Logf("without kube-pprof a namespace goes in %s", goes(t, 30*time.Second, "e2e-goes-8"))

	// the certificates stay; these have short lives
	f.K(t, "delete", "secret", "-n", f.Namespace, "kube-pprof-registry-ca", "kube-pprof-registry-tls")
	const legacy = "legacy"
	if err := f.Install(append([]string{"registry.allowAnonymousNamespace=" + legacy}, install...)...); err != nil {
		t.Fatal(err)
	}
	w.reg = registry(t, w.own, w.admin)
	w.untilAvailable(t, 60*time.Second)
	same(t, "what was there before", names(t, w.reg.get(t, "/api/v1/profiles?limit=1000&namespace="+shop, w.viewer.direct)), ids(w.mine))

	// an agent of profefe, which says nothing of itself
	window := "&from=2020-01-01T00:00:00&to=2036-01-01T00:00:00"
	a := w.reg.ask(t, "POST", "/api/0/profiles?service=old&type=cpu&labels=region%3Dx", "", profile("old.Main"))
	a.is(t, "an old agent's push", 200)
	var made struct{ Body struct{ ID string } }
	if err := json.Unmarshal([]byte(a.body), &made); err != nil || made.Body.ID == "" {
		t.Fatalf("push: %v", a)
	}
	id := made.Body.ID
	for path, words := range map[string]string{"services": `"old"`, "profiles?service=old&type=cpu" + window: id, "profiles/" + id: "", "profiles/merge?service=old&type=cpu" + window: "", "version": ""} {
		w.reg.get(t, "/api/0/"+path, "").is(t, "an old agent's "+path, 200, words)
	}
	if a := w.reg.get(t, "/api/v1/profiles/"+id+"?meta=true", w.pusher); !strings.Contains(a.body, `"namespace":"`+legacy+`"`) {
		t.Errorf("it is not of %s: %v", legacy, a)
	}
	w.reg.get(t, "/api/v1/profiles/"+id, w.viewer.direct).is(t, "an old agent's profile for the viewer of another namespace", 404)
	// and nothing else
	direct, through := w.requests(t)
	for _, path := range append(direct, through...) {
		a := w.reg.get(t, path, "")
		if l := w.leak(path, a); l != "" || strings.Contains(a.body, shop) && !strings.Contains(path, shop) {
			t.Errorf("anonymous: %s tells %s%v", path, l, a)
		}
		if !strings.HasPrefix(path, "/api/0/") && a.status < 400 && path != agg && path != "/openapi/v3"+agg {
			t.Errorf("anonymous: %s: %v", path, a)
		}
	}
	for _, p := range ids(w.mine, w.theirs) {
		w.reg.get(t, "/api/0/profiles/"+p, "").is(t, "anonymous, another's", 404)
	}
	for _, p := range []string{id, w.theirCPU} {
		for _, api := range []string{"0", "v1"} {
			if a := w.reg.ask(t, "DELETE", "/api/"+api+"/profiles/"+p, "", ""); a.status != 401 && a.status != 403 && a.status != 404 {
				t.Errorf("anonymous delete: %v", a)
			}
		}
	}
	w.reg.get(t, "/api/0/profiles/"+id, "").is(t, "an old agent's profile afterwards", 200)
	w.reg.ask(t, "POST", "/api/0/profiles?service=x&type=cpu&namespace="+pay, "", profile("x")).is(t, "anonymous, into another", 403)
	w.reg.ask(t, "POST", "/api/v1/profiles?service=x&type=cpu", "", profile("x")).is(t, "anonymous, new push", 401)
	w.reg.get(t, "/api/0/services", "nonsense").is(t, "a bad token is not nobody", 401)
	if log := f.K(t, "logs", "-n", f.Namespace, "sts/kube-pprof-registry"); !strings.Contains(log, legacy) {
		t.Error("the log does not say that everybody may read a namespace")
	}
	if m := f.Metrics(t, "registry"); !strings.Contains(m, "kube_pprof_registry_anonymous_allowed 1") {
		t.Error("nor do the metrics")
	}
	same(t, "what the tenants have afterwards", names(t, w.reg.get(t, "/api/v1/profiles?limit=1000&namespace="+shop, w.viewer.direct)), ids(w.mine))
}
