package plugin

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

// completion as shells ask kubectl for it, which asks kubectl_complete-pprof.
func completion(t *testing.T, w *world) {
	ask := func(words ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second+f.Slack)
		defer cancel()
		cmd := w.command(ctx, call{user: w.view, dir: t.TempDir()})
		cmd.Args = append(cmd.Args[:len(cmd.Args)-1], append([]string{"__complete", "pprof"}, words...)...)
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("kubectl __complete pprof %q: %v", words, err)
		}
		return string(out)
	}
	for _, test := range []struct {
		words []string
		wants []string
		not   string
	}{
		{[]string{""}, []string{"capture\ttake profiles", "control-plane\n", "policy\n", "top\t"}, "__man"},
		{[]string{"ca"}, []string{"capture\t"}, "top"},
		{[]string{"control-plane", ""}, []string{"capture\t"}, "top"},
		{[]string{"get", ""}, []string{"profiles", "services", "types", "targets", "policies"}, "capture"},
		{[]string{"capture", ""}, append([]string{"same", "local"}, w.pods[0]), "view"},
		{[]string{"capture", "sa"}, []string{"same"}, "local"},
		{[]string{"capture", "-n", w.other, ""}, nil, "same"}, // not hers to list
		{[]string{"capture", "-t", ""}, []string{"cpu", "heap", "goroutine"}, "same"},
		{[]string{"capture", "-t", "cpu,he"}, []string{"cpu,heap"}, "goroutine"},
		{[]string{"top", "t"}, []string{"ten"}, "same"},
		{[]string{"get", "profiles", "--service", "t"}, []string{"ten"}, "same"},
		{[]string{"capture", "--du"}, []string{"--duration\t"}, "--output"},
		{[]string{"top", "--via"}, nil, "--via"},
	} {
		out := ask(test.words...)
		for _, want := range test.wants {
			if !strings.Contains("\n"+out, "\n"+want) {
				t.Errorf("%q: no %q in %q", test.words, want, out)
			}
		}
		if strings.Contains("\n"+out, "\n"+test.not) {
			t.Errorf("%q: there is %q in %q", test.words, test.not, out)
		}
		if !strings.Contains(out, "\n:") && !strings.HasPrefix(out, ":") {
			t.Errorf("%q: no directive in %q", test.words, out)
		}
	}
}

// manual is the page kubectl-pprof(1), which man renders without a complaint.
func manual(t *testing.T, w *world) {
	page := w.ok(t, call{}, "__man").out
	for _, want := range []string{".TH KUBECTL\\-PPROF 1", ".SH COMMANDS", ".SS capture", "\\-\\-duration"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page is without %q", want)
		}
	}
	if _, err := exec.LookPath("groff"); err != nil {
		t.Log("groff is not there: the page is not rendered")
		return
	}
	if _, err := exec.LookPath("man"); err != nil {
		t.Log("man is not there: the page is not rendered")
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second+f.Slack)
	defer cancel()
	cmd := exec.CommandContext(ctx, "man", "--warnings=w", "-l", write(t, filepath.Join(t.TempDir(), "kubectl-pprof.1"), page, 0o644))
	cmd.Env = append(os.Environ(), "MANWIDTH=80", "LC_ALL=C.UTF-8", "MANPAGER=cat", "GROFF_NO_SGR=1")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Errorf("man -l: %v, %s", err, errs.String())
	}
	text := strings.Join(strings.Fields(string(out)), " ")
	for _, want := range []string{"kubectl-pprof - profiles of what runs in Kubernetes", "--duration=DURATION", "EXIT STATUS"} {
		if !strings.Contains(text, want) {
			t.Errorf("man shows no %q:\n%.3000s", want, out)
		}
	}
}
