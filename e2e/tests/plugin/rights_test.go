package plugin

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// forbidden is kubectl's sentence, with verb and resource.
func forbidden(verb, resource string) string {
	return `Error from server \(Forbidden\): .*cannot ` + verb + ` resource "` + resource + `"`
}

const policy = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: ten}
spec:
  selector: {matchLabels: {app: ten}}
  profiles: [{type: heap, interval: 1m}]
`

// row is a command and what those with few rights are told; "": it works.
type row struct {
	args                   string
	view, forward, nothing string
	says                   string // what it prints where it works
}

func rows(w *world, file string) []row {
	list, sums := forbidden("list", "profiles"), func(what string) string { return forbidden("get", "profiles/"+what) }
	id := w.ids[0]
	missing := func(path string) string { return `cannot get path "` + path }
	create, pods := forbidden("create", "profiles"), forbidden("get", "pods")
	return []row{
		{"get profiles", "", list, list, `(?s)^ID .*ten +cpu `},
		{"get profiles " + id + " -o json", "", forbidden("get", "profiles"), forbidden("get", "profiles"), id},
		{"get services", "", sums("services"), sums("services"), `(?m)^ten +`},
		{"get types --service ten", "", sums("services"), sums("services"), `(?m)^cpu +`},
		{"get targets", "", sums("targets"), sums("targets"), ""},
		{"get policies", "", forbidden("list", "profilingpolicies"), forbidden("list", "profilingpolicies"), ""},
		{"download " + id + " -O got.pb.gz", "", forbidden("get", "profiles/download"), forbidden("get", "profiles/download"), ""},
		{"merge ten -O sum.pb.gz", "", sums("merge"), sums("merge"), ""},
		{"top ten --cum", "", sums("merge"), sums("merge"), hot},
		{"tree ten", "", sums("merge"), sums("merge"), hot},
		{"flame ten --format folded", "", sums("merge"), sums("merge"), hot},
		{"diff ten --base ten", "", sums("merge"), sums("merge"), ""},
		{"pgo ten", "", sums("pgo"), sums("pgo"), ""},
		{"load " + file + " --service loaded", create, create, create, "cpu " + file},
		{"top " + file, "", "", "", hot}, // a file is anybody's
		{"capture same -t heap", "", "", pods, `_same_app_heap_`},
		{"capture local -t heap,goroutine", `(?s)local: not by the pod proxy: .*refused.*` + forbidden("(get|create)", "pods/portforward"), "", pods, `_local_app_goroutine_`},
		{"capture deploy/ten -t goroutine", "", "", forbidden("list", "pods"), `_ten-`},
		{"capture -l app=ten -t goroutine --via port-forward", forbidden("(get|create)", "pods/portforward"), "", forbidden("list", "pods"), `_ten-`},
		{"capture same -t heap --via proxy", "", forbidden("get", "pods/proxy"), pods, `_same_app_heap_`},
		{"capture same -t heap --push", create, create, pods, `_same_app_heap_`},
		{"control-plane capture apiserver -t heap", missing("/debug/pprof/heap"), missing("/debug/pprof/heap"), missing("/debug/pprof/heap"), `control-plane_kube-apiserver_kube-apiserver_heap_`},
		{"control-plane capture kubelet -t heap", forbidden("list", "nodes"), forbidden("list", "nodes"), forbidden("list", "nodes"), `_kubelet_heap_`},
		{"control-plane capture kubelet/" + w.own.Nodes()[0] + " -t heap", forbidden("get", "nodes/proxy"), forbidden("get", "nodes/proxy"), forbidden("get", "nodes/proxy"), `_kubelet_heap_`},
		{"status", "", "", "", `(?s)cluster +ok +Kubernetes v.*registry +(ok|unknown) `},
		{"completion bash", "", "", "", `complete -o filenames`},
		{"version", "", "", "", `^kubectl-pprof \d`},
		{"explain same", "", "", pods, `same`},
		{"policy init deploy/ten", "", forbidden("get", "deployments"), forbidden("get", "deployments"), `kind: ProfilingPolicy`},
		{"policy lint policy.yaml", "", "", "", ""},
		{"policy dry-run policy.yaml", "", "", forbidden("list", "pods"), `ten`},
	}
}

// Every command, as everybody.
func allRights(t *testing.T, w *world) {
	dir := t.TempDir()
	w.ok(t, call{user: w.view}, "merge", "ten", "-O", filepath.Join(dir, "cpu.pb.gz"))
	data, err := os.ReadFile(filepath.Join(dir, "cpu.pb.gz"))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []*user{w.admin, w.view, w.forward, w.nothing} {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range rows(w, "cpu.pb.gz") {
				want := map[string]string{"view": r.view, "forward": r.forward, "nothing": r.nothing}[u.name]
				dir := t.TempDir()
				write(t, filepath.Join(dir, "cpu.pb.gz"), string(data), 0o644)
				write(t, filepath.Join(dir, "policy.yaml"), policy, 0o644)
				c := call{user: u, dir: dir, limit: 5 * time.Second}
				got := w.run(t, c, append(strings.Fields(r.args), "-n", w.ns)...)
				if want != "" && (got.code != 1 || !regexp.MustCompile(want).MatchString(got.err)) {
					t.Errorf("exit 1 and %q are wanted: %v", want, got)
				}
				if want == "" && (got.code != 0 || !regexp.MustCompile(r.says).MatchString(got.out)) {
					t.Errorf("exit 0 and %q are wanted: %v", r.says, got)
				}
				for _, name := range files(t, dir) {
					if strings.HasSuffix(name, ".part") {
						t.Errorf("%s is left behind: %v", name, got)
					}
				}
			}
		})
	}
}
