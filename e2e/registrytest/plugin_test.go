package registrytest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	f "kube-pprof.dev/e2e/framework"
)

// plugin runs kubectl-pprof against the registry; what it prints on standard error is for the reader of a failure
// and for tests of reports.
func plugin(t *testing.T, url, dir string, args ...string) (out, told string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(filepath.Dir(binary(t)), "kubectl-pprof"), append(args, "--registry", url)...)
	cmd.Dir = dir
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil {
		t.Fatalf("kubectl pprof %s: %v\n%s%s", strings.Join(args, " "), err, o.String(), e.String())
	}
	return o.String(), e.String()
}

// A benchmark at two commits, loaded: the difference names what became slower.
func TestBenchmarksOfTwoCommits(t *testing.T) {
	url, dir := start(t), t.TempDir()
	commits := f.TwoCommits(t, dir, func(commit string) {
		loaded, _ := plugin(t, url, dir, "load", "cpu.out", "--from-go-test")
		for _, label := range []string{"commit=" + commit, "package=example.com%2Fsums", "benchmark=BenchmarkSums"} {
			if !regexp.MustCompile(`^\S{25} cpu cpu.out \S*` + regexp.QuoteMeta(label) + `(,|\n)`).MatchString(loaded) {
				t.Errorf("no %s: %s", label, loaded)
			}
		}
	})
	out, _ := plugin(t, url, dir, "diff", "sums", "-l", "commit="+commits[1], "--base-selector", "commit="+commits[0], "--limit", "1")
	if !strings.HasSuffix(out, "  example.com/sums.Slower\n") {
		t.Errorf("the difference names something else:\n%s", out)
	}

	// and a file of both for the compiler
	_, report := plugin(t, url, dir, "pgo", "sums")
	for _, line := range []string{`captures: +2\n`, `CPU-seconds: +\d`, `with start line: +\d+\.\d %`, `default.pgo is written, \d+ bytes\n`} {
		if !regexp.MustCompile(line).MatchString(report) {
			t.Errorf("no %s in\n%s", line, report)
		}
	}
	if built := goTool(t, dir, "test", "-c", "-pgo=default.pgo", "-gcflags=example.com/sums=-d=pgodebug=1", "."); !strings.Contains(built, "hot-") {
		t.Errorf("the compiler found nothing hot in it:\n%s", built)
	}
	if _, again := plugin(t, url, dir, "pgo", "sums"); !strings.Contains(again, "default.pgo is unchanged\n") {
		t.Errorf("again:\n%s", again)
	}
	_, fewer := plugin(t, url, dir, "pgo", "sums", "-l", "commit="+commits[0])
	if !regexp.MustCompile(`overlap with before: +\d+\.\d %`).MatchString(fewer) {
		t.Errorf("of one commit:\n%s", fewer)
	}
}

// What the plugin hands on is read by Go's own tool, and says the same there.
func TestGoToolPprofReadsWhatThePluginWrites(t *testing.T) {
	url, dir := pushed(t), t.TempDir()
	plugin(t, url, dir, "merge", "hot", "-O", "sum.pb.gz")
	ours, _ := plugin(t, url, dir, "top", "hot")
	cmd := exec.Command("go", "tool", "pprof", "-symbolize=none", "-top", "sum.pb.gz")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TZ=UTC", "PPROF_BINARY_PATH=/nonexistent", "PPROF_TMPDIR="+dir)
	theirs, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if ours != string(theirs) {
		t.Errorf("kubectl pprof top:\n%s\ngo tool pprof -top:\n%s", ours, theirs)
	}
}
