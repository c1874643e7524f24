package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

// columns are the headers of a table and its rows.
func columns(out string) (header string, rows [][]string) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, l := range lines[1:] {
		rows = append(rows, strings.Fields(l))
	}
	return strings.Join(strings.Fields(lines[0]), " "), rows
}

func kubectl(t *testing.T, w *world) {
	v := w.viewer
	say := func(args ...string) string {
		t.Helper()
		out, err := v.kubectl(args...)
		if err != nil {
			t.Errorf("kubectl %s: %v", strings.Join(args, " "), err)
		}
		return out
	}
	header, rows := columns(say("get", "profiles.data.kube-pprof.dev", "-n", shop))
	if header != "NAME SERVICE TYPE POD SIZE DURATION AGE" || len(rows) != len(w.mine) {
		t.Errorf("get: %s and %d rows of %d", header, len(rows), len(w.mine))
	}
	if header, _ := columns(say("get", "prof", "-n", shop, "-o", "wide")); header != "NAME SERVICE TYPE POD SIZE DURATION AGE CONTAINER NODE WORKLOAD REVISION STARTED" {
		t.Errorf("-o wide: %s", header)
	}
	if header, rows := columns(f.K(t, "get", "prof", "-A")); !strings.HasPrefix(header, "NAMESPACE NAME SERVICE") || len(rows) < len(w.mine)+len(w.theirs) {
		t.Errorf("-A: %s and %d rows", header, len(rows))
	}
	one := say("get", "prof", "-n", shop, w.myCPU, "-o", "yaml")
	for _, want := range []string{"apiVersion: data.kube-pprof.dev/v1alpha1", "kind: Profile", "name: " + w.myCPU, "namespace: " + shop, "service: " + w.myService, "type: cpu"} {
		if !strings.Contains(one, want) {
			t.Errorf("-o yaml is without %q: %s", want, one)
		}
	}
	var list struct {
		Items []struct{ Metadata struct{ Name string } }
	}
	if err := json.Unmarshal([]byte(say("get", "prof", "-n", shop, "-o", "json")), &list); err != nil || len(list.Items) != len(w.mine) {
		t.Errorf("-o json: %v, %d items", err, len(list.Items))
	}
	byName := strings.Fields(say("get", "prof", "-n", shop, "-o", "name"))
	slices.Sort(byName)
	var want []string
	for _, id := range ids(w.mine) {
		want = append(want, "profile.data.kube-pprof.dev/"+id)
	}
	same(t, "-o name", byName, want)

	count := func(args []string, match func(p f.Profile) bool) {
		t.Helper()
		var want []string
		for _, p := range w.mine {
			if match(p) {
				want = append(want, "profile.data.kube-pprof.dev/"+p.ID)
			}
		}
		slices.Sort(want)
		got := strings.Fields(say(append([]string{"get", "prof", "-n", shop, "-o", "name"}, args...)...))
		slices.Sort(got)
		if len(want) == 0 {
			t.Errorf("%v: matches nothing", args)
		}
		same(t, strings.Join(args, " "), got, want)
	}
	count([]string{"-l", "team=" + shop + "-people"}, func(p f.Profile) bool { return p.Labels["team"] == shop+"-people" })
	count([]string{"-l", "team!=" + shop + "-people"}, func(p f.Profile) bool { return p.Labels["team"] != shop+"-people" })
	count([]string{"-l", "k8s.container in (app,other)"}, func(p f.Profile) bool { return p.Container == "app" })
	count([]string{"--field-selector", "spec.type=goroutine"}, func(p f.Profile) bool { return p.Type == "goroutine" })
	count([]string{"--field-selector", "spec.type=cpu,spec.service=" + w.myService}, func(p f.Profile) bool { return p.Type == "cpu" && p.Service == w.myService })
	count([]string{"--chunk-size=2"}, func(f.Profile) bool { return true })

	type sized struct{ name, size string }
	var got []sized
	_, rows = columns(say("get", "prof", "-n", shop, "--sort-by=.status.sizeBytes", "-o", "custom-columns=N:.metadata.name,S:.status.sizeBytes"))
	for _, r := range rows {
		got = append(got, sized{r[0], fmt.Sprintf("%12s", r[1])})
	}
	if len(got) != len(w.mine) || !slices.IsSortedFunc(got, func(a, b sized) int { return strings.Compare(a.size, b.size) }) {
		t.Errorf("--sort-by: %v", got)
	}
	if out := say("describe", "prof", "-n", shop, w.myCPU); !regexp.MustCompile(`(?s)Name: +` + w.myCPU + `.*Service: +` + w.myService).MatchString(out) {
		t.Errorf("describe: %s", out)
	}
	if out := say("explain", "profiles.spec.workload", "--api-version=data.kube-pprof.dev/v1alpha1"); !strings.Contains(out, "FIELD: workload <string>") {
		t.Errorf("explain: %s", out)
	}
	if out := say("api-resources", "--api-group=data.kube-pprof.dev"); !regexp.MustCompile(`profiles +prof +data.kube-pprof.dev/v1alpha1 +true +Profile`).MatchString(out) {
		t.Errorf("api-resources: %s", out)
	}
	for args, want := range map[string]string{
		"get prof -n " + shop + " --field-selector=spec.size=1": "field label not supported",
		"get prof -n " + shop + " -w":                           "(MethodNotAllowed|watch)",
		"label prof -n " + shop + " " + w.myCPU + " a=b":        "(MethodNotAllowed|Forbidden)",
	} {
		if out, err := v.kubectl(strings.Fields(args)...); err == nil || !regexp.MustCompile(want).MatchString(err.Error()) {
			t.Errorf("kubectl %s: %v, %s", args, err, out)
		}
	}

	// deleting
	e, id := w.editor, w.push(t, w.editor.direct, "service=to-delete", shop+".Gone")
	if out, err := e.kubectl("delete", "prof", "-n", shop, id, "--dry-run=server"); err != nil || !strings.Contains(out, "dry run") {
		t.Errorf("delete --dry-run: %v, %s", err, out)
	}
	w.api.get(t, in(shop)+"/"+id, v.api).is(t, "after delete --dry-run", 200)
	if out, err := e.kubectl("delete", "prof", "-n", shop, id); err != nil {
		t.Errorf("delete: %v, %s", err, out)
	}
	w.api.get(t, in(shop)+"/"+id, v.api).is(t, "after delete", 404)
	id = w.push(t, e.direct, "service=to-delete&labels=doomed%3Dyes", shop+".Gone")
	if out, err := e.kubectl("delete", "prof", "-n", shop, "-l", "doomed=yes"); err != nil || !strings.Contains(out, id) {
		t.Errorf("delete -l: %v, %s", err, out)
	}

	// pushing, as bytes only
	const octets = "Content-Type: application/octet-stream"
	query := "?service=to-delete&type=cpu&labels=doomed%3Dyes"
	w.api.ask(t, "POST", in(shop)+query, e.api, profile(shop+".Gone"), octets).is(t, "push", 201, `{"id":"`)
	w.api.ask(t, "POST", in(shop)+query, v.api, profile(shop+".Gone"), octets).is(t, "push of a viewer", 403, "cannot create resource")
	w.api.ask(t, "POST", in(pay)+query, e.api, profile(shop+".Gone"), octets).is(t, "push into another", 403, "cannot create resource")
	w.api.ask(t, "POST", in(shop)+query, e.api, `{"kind":"Profile"}`, "Content-Type: application/json").is(t, "an object", 415, "kubectl pprof load")
	if out, err := e.kubectl("delete", "prof", "-n", shop, "-l", "doomed=yes"); err != nil || strings.Count(out, "deleted") != 1 {
		t.Errorf("delete what was pushed: %v, %s", err, out)
	}
	same(t, "after the deletions", names(t, w.api.get(t, in(shop), v.api)), ids(w.mine))

	// Go's own tool reads what comes through the API server
	for what, path := range map[string]string{"download": "/" + w.myCPU + "/download", "merge": "/-/merge?type=cpu&service=" + w.myService + "&startup=true"} {
		file := filepath.Join(t.TempDir(), "cpu.pb.gz")
		if err := os.WriteFile(file, []byte(say("get", "--raw", in(shop)+path)), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("go", "tool", "pprof", "-top", "-cum", "-nodecount=100", file)
		cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("Type: cpu")) || !bytes.Contains(out, []byte("checkout.")) {
			t.Errorf("go tool pprof of %s: %v, %s", what, err, out)
		}
	}
}

// line is one of the audit.
type line struct {
	Msg, User, Verb, Resource, Namespace, Method, Path, Peer string
	Status, Bytes                                            int
}

func auditLines(t *testing.T) []line {
	t.Helper()
	var ret []line
	for _, text := range strings.Split(f.K(t, "logs", "-n", f.Namespace, "sts/kube-pprof-registry", "--tail=-1"), "\n") {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Errorf("the log's line is no JSON: %s", text)
		}
		if l.Msg == "audit" {
			ret = append(ret, l)
		}
	}
	return ret
}

func audit(t *testing.T, w *world) {
	mark := fmt.Sprintf("limit=%d", 300+time.Now().Unix()%600)
	v, direct := w.viewer, "/api/v1/profiles?namespace="
	for range 3 {
		w.reg.get(t, direct+shop+"&"+mark, v.direct).is(t, "read", 200)
	}
	w.reg.get(t, direct+pay+"&"+mark, v.direct).is(t, "not read", 403)
	w.reg.get(t, direct+shop+"&"+mark, "x"+v.direct).is(t, "not read", 401)
	w.api.get(t, in(shop)+"?"+mark, v.api).is(t, "read through the API server", 200)
	size := len(w.api.get(t, in(shop)+"/"+w.myCPU+"/download", w.both.api).body)
	type key struct {
		user, verb, resource, ns string
		status                   int
	}
	want := map[key]int{
		{v.full(), "list", "profiles", shop, 200}: 4,
		{v.full(), "list", "profiles", pay, 403}:  1,
		{"", "list", "profiles", "", 401}:         1,
	}
	f.Within(t, 10*time.Second, "every read is told", func() error {
		got, download := map[key]int{}, false
		for _, l := range auditLines(t) {
			if strings.Contains(l.Path, mark) {
				got[key{l.User, l.Verb, l.Resource, l.Namespace, l.Status}]++
				if l.Status == 200 && l.Bytes < 100 {
					t.Errorf("%+v: bytes", l)
				}
			}
			download = download || l.User == w.both.full() && l.Verb == "get" && l.Resource == "profiles/download" && l.Namespace == shop && l.Bytes == size && strings.Contains(l.Path, w.myCPU)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || !download {
			return fmt.Errorf("%v, not %v; download %v", got, want, download)
		}
		return nil
	})
	noTokenInAnyLog(t, w)
}

// Of no token, not even of the controller's own, is anything in a log: all begin alike.
func noTokenInAnyLog(t *testing.T, w *world) {
	lines := 0
	for _, ns := range []string{f.Namespace, shop, pay} {
		for _, pod := range strings.Fields(f.K(t, "get", "pods", "-n", ns, "-o", "name")) {
			text, err := f.Kubectl("logs", "-n", ns, pod, "--all-containers", "--tail=-1")
			if err != nil {
				t.Error(err)
			}
			lines += strings.Count(text, "\n")
			if i := strings.Index(text, "eyJ"); i >= 0 {
				t.Errorf("%s: there is a token in the log: %.80s", pod, text[max(0, i-40):])
			}
			for _, token := range w.tokens {
				if signature := token[strings.LastIndex(token, ".")+1:]; strings.Contains(text, signature) || strings.Contains(text, token[len(token)/2:len(token)/2+24]) {
					t.Errorf("%s: a part of a token is in the log", pod)
				}
			}
		}
	}
	if t.Logf("%d lines", lines); lines < 50 {
		t.Errorf("the logs are nearly empty: %d lines", lines)
	}
}
