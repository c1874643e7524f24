// Package apiserver: the API server is away, forgets, comes back as another one, trusts nobody, refuses. Captures go on, nothing that
// was acknowledged is lost, people are told, and nobody has to restart anything.
package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

const (
	interval = 12 * time.Second
	duration = 3 * time.Second
	late     = 3 * time.Second
	// every pod had its place in a slot that began after something, was confirmed, delivered, listed
	captured = 2*interval + duration + f.Slack
)

const policy = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: %s, annotations: {note: %q}}
spec:
  selector: {matchLabels: {app: %[1]s}}
  profiles:
  - {type: cpu, interval: 12s, duration: 3s}
  - {type: heap, interval: 12s}
  budget: {overheadPercent: 10, concurrentPerWorkload: 100%%}
`

// world is one namespace with captures that go on through all steps.
type world struct {
	own      *harness.Cluster
	ns       string
	restarts string
	before   []f.Profile
}

func restarts(t *testing.T) string {
	t.Helper()
	return f.RestartCount(t, "controller") + " of the controller, " + f.RestartCount(t, "registry") + " of the registry"
}

// create, since apply would write all of it once more into an annotation.
func create(t *testing.T, ns, manifest string) {
	t.Helper()
	if _, err := f.KubectlIn(manifest, "create", "-n", ns, "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// large is a pod of 900 KiB.
func large() string {
	var env []string
	for i := range 9 {
		env = append(env, fmt.Sprintf(`{"name":"LARGE_%d","value":%q}`, i, strings.Repeat("x", 100<<10)))
	}
	return pod("large", "large", "", strings.Join(env, ","))
}

func pod(name, app, spec, env string) string {
	return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"` + name + `","labels":{"app":"` + app + `"}},"spec":{` + spec + `"automountServiceAccountToken":false,
"terminationGracePeriodSeconds":2,"containers":[{"name":"app","image":"` + harness.AppImage + `","args":["-mode","busy","-version","1","-load","1"],
"ports":[{"name":"pprof","containerPort":6060}],"env":[` + env + `]}]}}`
}

func setup(t *testing.T) *world {
	w := &world{own: f.NeedOwn(t), ns: f.NewNamespace(t)}
	t.Cleanup(func() { // whatever came between
		for _, component := range []string{"etcd", "apiserver"} {
			if err := w.own.Revive(context.Background(), "0", component); err != nil {
				t.Error(err)
			}
		}
		answers(t)
	})
	f.Apply(t, w.ns, f.Workload(t, "checkout"))
	create(t, w.ns, large())
	// the largest annotations that a Kubernetes object may have
	create(t, w.ns, fmt.Sprintf(policy, "large", strings.Repeat("y", 255<<10)))
	create(t, w.ns, fmt.Sprintf(policy, "checkout", ""))
	f.Rollout(t, w.ns, "deploy/checkout")
	f.Within(t, 60*time.Second, "captures run, of a pod of 900 KiB too", func() error { return w.each(time.Time{}, "large", "checkout") })
	w.restarts = restarts(t)
	w.before = w.list(t)
	return w
}

func (w *world) list(t *testing.T) []f.Profile {
	t.Helper()
	items, err := f.List("namespace=" + w.ns)
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// each wants a CPU profile of the pods of these apps that began after a time.
func (w *world) each(after time.Time, apps ...string) error {
	items, err := f.List("namespace=" + w.ns + "&type=cpu")
	if err != nil {
		return err
	}
	pods := map[string]bool{}
	for _, p := range items {
		if p.StartTime.After(after) {
			pods[p.Pod] = true
		}
	}
	for _, app := range apps {
		text, err := f.Kubectl("get", "pods", "-n", w.ns, "-l", "app="+app, "-o", "jsonpath={.items[*].metadata.name}")
		if err != nil {
			return err
		}
		for _, pod := range strings.Fields(text) {
			if !pods[pod] {
				return fmt.Errorf("no CPU profile of %s after %s", pod, after)
			}
		}
	}
	return nil
}

// intact is what holds after every step.
func (w *world) intact(t *testing.T) {
	t.Helper()
	after := w.list(t)
	f.Whole(t, w.before, after)
	w.before = after
	if now := restarts(t); now != w.restarts {
		t.Errorf("restarts: %s; before %s", now, w.restarts)
	}
}

func (w *world) kill(t *testing.T, components ...string) {
	t.Helper()
	for _, component := range components {
		if err := w.own.Stop(context.Background(), "0", component, "KILL"); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) start(t *testing.T, component string, flags ...string) {
	t.Helper()
	if err := w.own.StartWith(context.Background(), "0", component, flags...); err != nil {
		t.Fatal(err)
	}
}

// recover lets the rest of Kubernetes see that the API server is back, which takes it minutes by itself.
func (w *world) recover(t *testing.T) {
	t.Helper()
	if err := w.own.Recover(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func answers(t *testing.T) {
	t.Helper()
	f.Within(t, 60*time.Second, "the API server answers", func() error { _, err := f.Kubectl("get", "--raw", "/readyz"); return err })
}

// says waits until the controller's readyz holds all texts. It is ready all the while: it goes on with what it knows.
func says(t *testing.T, limit time.Duration, what string, texts ...string) {
	t.Helper()
	f.Within(t, limit, what, func() error {
		out, err := f.Readyz(t, "controller")
		if err != nil {
			return err
		}
		for _, text := range texts {
			if !strings.Contains(out, text) {
				return fmt.Errorf("readyz does not say %q: %s", text, out)
			}
		}
		return nil
	})
}

func well(t *testing.T, limit time.Duration) {
	t.Helper()
	says(t, limit, "the controller is in step again", "[+]caches ok\n", "[+]status ok\n")
}

// etcd asks etcd by its HTTP gateway.
func (w *world) etcd(t *testing.T, path, body string) string {
	t.Helper()
	out, err := f.Host(context.Background(), w.own.Net("curl", "-sS", "--fail-with-body", "--max-time", "10", "-d", body, "http://127.0.0.1:2379"+path))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// compact makes etcd forget everything but what is.
func (w *world) compact(t *testing.T) {
	t.Helper()
	var answer struct{ Header struct{ Revision string } }
	text := w.etcd(t, "/v3/kv/range", `{"key":"AA==","limit":1}`)
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Header.Revision == "" {
		t.Fatalf("etcd's revision: %v: %.300s", err, text)
	}
	w.etcd(t, "/v3/kv/compaction", `{"revision":"`+answer.Header.Revision+`"}`)
}

func TestAPIServer(t *testing.T) {
	w := setup(t)
	for _, step := range []struct {
		name string
		run  func(t *testing.T, w *world)
	}{
		{"AwayForAMinute", away},
		{"OlderOne", older},
		{"RightToWriteStatus", statusRight},
		{"OtherAuthorityOtherTokenAndNoRight", everythingElse},
		{"DefinitionDeleted", definition},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, w); w.intact(t) }) {
			return // what follows would say the same
		}
	}
}

// It is killed for 60 s, etcd with it for 15 of them. What was is forgotten then, so that no watch can go on where it was; the one
// that comes back is three minor versions older, without streaming lists, and has another certificate.
func away(t *testing.T, w *world) {
	w.kill(t, "apiserver", "etcd")
	gone := time.Now()
	time.Sleep(15 * time.Second)
	w.start(t, "etcd")
	f.Within(t, 20*time.Second, "etcd answers", func() error {
		_, err := f.Host(context.Background(), w.own.Net("curl", "-sS", "--fail", "--max-time", "5", "http://127.0.0.1:2379/health"))
		return err
	})
	w.compact(t)
	if err := w.own.RenewCertificate(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(gone.Add(60 * time.Second)))
	w.start(t, "apiserver", "--emulated-version=1.33")
	back := time.Now()
	answers(t)
	well(t, 15*time.Second+f.Slack)
	w.recover(t)
	f.Within(t, captured, "captures of the outage are stored, and new ones", func() error { return w.each(back, "checkout", "large") })
	// Kubernetes itself calls pods NotReady for a while after it, since their nodes were not heard of
	var meanwhile []f.Profile
	captures := map[string]int{}
	for _, p := range w.list(t) {
		if p.Type == "cpu" && p.StartTime.Before(back) {
			meanwhile = append(meanwhile, p)
			if p.StartTime.After(gone) {
				captures[p.Pod]++
			}
		}
	}
	if g := f.Gap(meanwhile, "cpu"); g > 2*interval+late {
		t.Errorf("captures stopped with the API server: %s between two CPU profiles of a pod", g)
	}
	for pod, n := range captures { // in 60 s are five slots, of which the first and the last may be cut
		if n < 3 {
			t.Errorf("%d captures of %s while the API server was away", n, pod)
		}
	}
	if len(captures) != 4 {
		t.Errorf("%d of 4 pods were captured while the API server was away", len(captures))
	}
	metrics := f.Metrics(t, "controller")
	for _, want := range []string{`{resource="pods",reason="expired"}`, `reason="fallback"}`} { // the first to fall back does it for all
		if !strings.Contains(metrics, want) {
			t.Errorf("no kube_pprof_watch_relists_total with %s: the watch went on where it was, or the list was streamed", want)
		}
	}
}

// With list and watch everything is followed as with streaming lists.
func older(t *testing.T, w *world) {
	// on its node at once: the scheduler wants an API server of its own version
	create(t, w.ns, pod("new", "checkout", `"nodeName":"`+w.own.Nodes()[0]+`",`, ""))
	f.Within(t, 30*time.Second+captured, "a new pod is captured", func() error { return w.each(time.Time{}, "checkout") })
	f.K(t, "delete", "pod", "new", "-n", w.ns)
	f.PolicyIs(t, 10*time.Second+f.Slack, w.ns, "checkout", "it is no target any more", func(p *f.Policy) error {
		if n := p.Status.Targets.Selected; n != 3 {
			return fmt.Errorf("%d targets", n)
		}
		return nil
	})
}

// rule changes one rule of the controller's role; what is returned gives it back.
func rule(t *testing.T, resource string, verbs []string) (giveBack func()) {
	t.Helper()
	const name = "kube-pprof-controller"
	saved := f.K(t, "get", "clusterrole", name, "-o", "json")
	var role map[string]any
	if err := json.Unmarshal([]byte(saved), &role); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range role["rules"].([]any) {
		r := r.(map[string]any)
		resources, _ := r["resources"].([]any)
		for _, have := range resources {
			if have == resource {
				found = true
				r["verbs"] = verbs
			}
		}
	}
	if !found {
		t.Fatalf("the role has no rule for %s: %s", resource, saved)
	}
	changed, err := json.Marshal(map[string]any{"rules": role["rules"]})
	if err != nil {
		t.Fatal(err)
	}
	f.K(t, "patch", "clusterrole", name, "--type=merge", "-p", string(changed))
	var before struct{ Rules json.RawMessage }
	if err := json.Unmarshal([]byte(saved), &before); err != nil {
		t.Fatal(err)
	}
	done := false
	giveBack = func() {
		if !done {
			done = true
			f.K(t, "patch", "clusterrole", name, "--type=merge", "-p", `{"rules":`+string(before.Rules)+`}`)
		}
	}
	t.Cleanup(giveBack)
	return giveBack
}

func statusRight(t *testing.T, w *world) {
	giveBack := rule(t, "profilingpolicies/status", []string{"get"})
	f.K(t, "patch", "profilingpolicy", "checkout", "-n", w.ns, "--type=merge", "-p", `{"spec":{"priority":7}}`) // to be told at once
	says(t, 10*time.Second+f.Slack, "readyz tells that status cannot be written", "[+]caches ok\n", "[+]status ok, but: ", "profilingpolicies.kube-pprof.dev")
	giveBack()
	f.PolicyIs(t, 15*time.Second+f.Slack, w.ns, "checkout", "status is written again", f.Is("Ready", "True", ""))
	well(t, f.Slack)
	logged(t, "status cannot be written; trying again", "status is written again")
}

// logged wants lines with these words in the controller's log, in this order.
func logged(t *testing.T, words ...string) {
	t.Helper()
	log := f.K(t, "logs", "-n", f.Namespace, "deploy/kube-pprof-controller")
	for _, word := range words {
		_, rest, ok := strings.Cut(log, word)
		if !ok {
			t.Errorf("the log does not say %q (any more)", word)
			return
		}
		log = rest
	}
}

// inside is what a command prints that runs on the node of the controller or the registry, that one's file system in $root.
func (w *world) inside(role, script string) (string, error) {
	for _, node := range w.own.Nodes() {
		argv, err := w.own.Node(node, "sh", "-c", `for p in /proc/[0-9]*; do
			if [ "$(tr '\0' ' ' <$p/cmdline 2>/dev/null | cut -d' ' -f1,2)" = "/kube-pprof `+role+`" ]; then root=$p/root; `+script+`; fi; done; true`)
		if err != nil {
			return "", err
		}
		if out, err := f.Host(context.Background(), argv); err != nil || out != "" {
			return out, err
		}
	}
	return "", fmt.Errorf("no process of the %s was found", role)
}

// renewServiceAccount deletes the controller's account and makes it again: no token of before is good any more.
func renewServiceAccount(t *testing.T) {
	t.Helper()
	const name = "kube-pprof-controller"
	var account map[string]any
	if err := json.Unmarshal([]byte(f.K(t, "get", "sa", "-n", f.Namespace, name, "-o", "json")), &account); err != nil {
		t.Fatal(err)
	}
	meta := account["metadata"].(map[string]any)
	for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields"} {
		delete(meta, field)
	}
	text, err := json.Marshal(account)
	if err != nil {
		t.Fatal(err)
	}
	f.K(t, "delete", "sa", "-n", f.Namespace, name)
	create(t, f.Namespace, string(text))
}

// The authority is another one and the tokens are, as the kubelet sees to it; then the API server comes back with a certificate by that
// authority, in its own version again, and with one right less.
func everythingElse(t *testing.T, w *world) {
	const secrets = "$root/var/run/secrets/kubernetes.io/serviceaccount"
	began := time.Now()
	use, err := w.own.AddAuthority(fmt.Sprintf("ca%d", time.Now().Unix()))
	if err != nil {
		t.Fatal(err)
	}
	token, err := w.inside("controller", "cat "+secrets+"/token")
	if err != nil {
		t.Fatal(err)
	}
	renewServiceAccount(t)
	if err := w.own.RestartClients(context.Background()); err != nil {
		t.Fatal(err)
	}
	f.Within(t, 120*time.Second, "the kubelets bring the authority and a token", func() error {
		for _, role := range []string{"controller", "registry"} {
			ca, err := w.inside(role, "cat "+secrets+"/ca.crt")
			if err != nil {
				return err
			}
			if n := strings.Count(ca, "BEGIN CERTIFICATE"); n < 2 {
				return fmt.Errorf("%d authorities in the %s", n, role)
			}
		}
		now, err := w.inside("controller", "cat "+secrets+"/token")
		if err == nil && now == token {
			err = fmt.Errorf("the token is the old one")
		}
		return err
	})
	giveBack := rule(t, "pods", []string{"create"})
	w.kill(t, "apiserver")
	if err := use(); err != nil {
		t.Fatal(err)
	}
	w.start(t, "apiserver")
	answers(t)
	f.PolicyIs(t, 30*time.Second+f.Slack, w.ns, "checkout", "status tells of the right", f.Is("TargetsDiscovered", "Unknown", "WatchFailing"))
	p := f.PolicyIs(t, f.Slack, w.ns, "checkout", "it is not Ready", f.Is("Ready", "Unknown", "WatchFailing"))
	if message := p.Condition("Ready").Message; !strings.Contains(message, "pods is forbidden") || !strings.Contains(message, "going on with what is known") {
		t.Errorf("Ready says %q", message)
	}
	says(t, 10*time.Second+f.Slack, "readyz tells of it", "[+]caches ok, but: ", "pods is forbidden", "[+]status ok\n")
	logged(t, "cannot watch; trying again, going on with what is known")
	given := time.Now()
	giveBack()
	f.PolicyIs(t, 15*time.Second+f.Slack, w.ns, "checkout", "status tells that all is well", f.Is("Ready", "True", ""))
	well(t, f.Slack)
	f.Within(t, captured, "every pod has a new CPU profile", func() error { return w.each(given, "checkout", "large") })
	var meanwhile []f.Profile
	for _, p := range w.list(t) {
		if p.StartTime.After(began) {
			meanwhile = append(meanwhile, p)
		}
	}
	if g := f.Gap(meanwhile, "cpu"); g > 3*interval+late { // a kubelet that was just started may call a pod NotReady
		t.Errorf("captures stopped: %s between two CPU profiles of a pod", g)
	}
	logged(t, "cannot watch; trying again", "watching again")
}

// With its definition every policy is gone, and captures end; when both are made again all goes on.
func definition(t *testing.T, w *world) {
	const name = "profilingpolicies.kube-pprof.dev"
	var crd map[string]any
	if err := json.Unmarshal([]byte(f.K(t, "get", "crd", name, "-o", "json")), &crd); err != nil {
		t.Fatal(err)
	}
	meta := crd["metadata"].(map[string]any)
	for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"} {
		delete(meta, field)
	}
	delete(crd, "status")
	text, err := json.Marshal(crd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = f.KubectlIn(string(text), "create", "-f", "-") })
	f.K(t, "delete", "crd", name, "--timeout=60s")
	f.Within(t, 10*time.Second+f.Slack, "nothing is a target any more", func() error {
		if !strings.Contains(f.Metrics(t, "controller"), "kube_pprof_targets{state=\"selected\"} 0\n") {
			return fmt.Errorf("there are targets")
		}
		return nil
	})
	says(t, 15*time.Second+f.Slack, "readyz tells what is missing", "[+]caches ok, but: ", "profilingpolicies", "is the CustomResourceDefinition installed?")
	if _, err := f.KubectlIn(string(text), "create", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	f.K(t, "wait", "--for=condition=Established", "crd/"+name, "--timeout=30s")
	again := time.Now()
	f.Within(t, 20*time.Second, "policies can be made", func() error {
		_, err := f.KubectlIn(fmt.Sprintf(policy, "checkout", ""), "apply", "-n", w.ns, "-f", "-")
		return err
	})
	well(t, 15*time.Second+f.Slack)
	f.PolicyIs(t, 30*time.Second+f.Slack, w.ns, "checkout", "it is seen", f.Is("Ready", "True", ""))
	f.Within(t, captured, "every pod has a new CPU profile", func() error { return w.each(again, "checkout") })
}
