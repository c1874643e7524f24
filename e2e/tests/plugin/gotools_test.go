package plugin

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

func goTool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// What runs in the cluster makes the next build of the same program faster: Go's compiler takes the file.
func compiler(t *testing.T, w *world) {
	dir := t.TempDir()
	r := w.ok(t, call{user: w.view, dir: dir}, "pgo", "ten")
	for _, line := range []string{fmt.Sprintf(`captures: +%d\n`, len(w.ids)), `CPU-seconds: +\d`, `with start line: +100\.0 %`, `default.pgo is written, \d+ bytes\n`} {
		if !regexp.MustCompile(line).MatchString(r.err) {
			t.Errorf("no %s in the report: %v", line, r)
		}
	}
	// the sample program without its server and without crypto: the compiler makes every package anew for a new file
	source, err := os.ReadFile(filepath.Join(f.Root(), "e2e/workloads/checkout/checkout.go"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "go.mod"), "module kube-pprof.dev/e2e\n\ngo 1.26\n", 0o644)
	write(t, filepath.Join(dir, "workloads/checkout/checkout.go"), strings.Replace(string(source), `"crypto/sha256"`, `"kube-pprof.dev/e2e/sha256"`, 1), 0o644)
	write(t, filepath.Join(dir, "sha256/sha256.go"), "package sha256\n\nfunc Sum256(data []byte) (sum [32]byte) {\n\tcopy(sum[:], data)\n\treturn sum\n}\n", 0o644)
	write(t, filepath.Join(dir, "main.go"), "package main\n\nimport \"kube-pprof.dev/e2e/workloads/checkout\"\n\nfunc main() { checkout.Run(10, \"1\") }\n", 0o644)
	built := goTool(t, dir, "build", "-pgo=default.pgo", "-gcflags=kube-pprof.dev/e2e/workloads/checkout=-d=pgodebug=1", "-o", "app", ".")
	// which code becomes different is seen in registrytest
	if !regexp.MustCompile(`hot-callsite-thres-from-CDF=\d+\.\d`).MatchString(built) {
		t.Errorf("the compiler found no calls in it:\n%s", built)
	}
	if used := goTool(t, dir, "version", "-m", "app"); !regexp.MustCompile(`build\s+-pgo=\S*default\.pgo`).MatchString(used) {
		t.Errorf("go version -m:\n%s", used)
	}
	if r := w.ok(t, call{user: w.view, dir: dir}, "pgo", "ten", "--to", time.Now().Format(time.RFC3339)); !strings.Contains(r.err, "default.pgo is unchanged\n") {
		t.Errorf("again: %v", r)
	}
}

// A benchmark at two commits, loaded into the cluster: the difference names what became slower.
func benchmarks(t *testing.T, w *world) {
	dir := t.TempDir()
	commits := f.TwoCommits(t, dir, func(commit string) {
		if r := w.ok(t, call{user: w.admin, dir: dir}, "load", "cpu.out", "--from-go-test", "-n", w.ns); !strings.Contains(r.out, "commit="+commit) {
			t.Errorf("no label commit=%s: %v", commit, r)
		}
	})
	r := w.ok(t, call{user: w.view}, "diff", "sums", "-l", "commit="+commits[1], "--base-selector", "commit="+commits[0], "--limit", "1")
	if !strings.HasSuffix(r.out, "  example.com/sums.Slower\n") {
		t.Errorf("the difference names something else: %v", r)
	}
	w.fails(t, call{user: w.admin, dir: dir}, 1, `there is no namespace 'mistyped'`, "load", "cpu.out", "--from-go-test", "-n", "mistyped")
}

// Files that are stored with labels are told apart by them.
func labels(t *testing.T, w *world) {
	dir := t.TempDir()
	admin := call{user: w.admin, dir: dir}
	w.ok(t, admin, "download", "-n", w.ns, w.ids[0], "-O", "a.pb.gz")
	w.ok(t, admin, "merge", "-n", w.ns, "ten", "-O", "b.pb.gz")
	for _, v := range []string{"a", "b"} {
		r := w.ok(t, admin, "load", "-n", w.ns, v+".pb.gz", "--service", "labelled", "--label", "version="+v)
		if !regexp.MustCompile(`^\S{25} cpu ` + v + `\.pb\.gz version=` + v + `\n$`).MatchString(r.out) {
			t.Errorf("load: %v", r)
		}
	}
	r := w.ok(t, call{user: w.view}, "diff", "labelled", "-l", "version=b", "--base-selector", "version=a")
	if !strings.Contains(r.out, hot) {
		t.Errorf("the difference does not name %s: %v", hot, r)
	}
	// both again as files
	of := w.ok(t, call{user: w.nothing, dir: dir}, "diff", "a.pb.gz", "b.pb.gz")
	if strings.Join(strings.Split(of.out, "\n")[1:], "\n") == "" || !strings.Contains(of.out, hot) {
		t.Errorf("diff of files: %v", of)
	}
}
