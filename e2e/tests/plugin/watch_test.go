package plugin

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

// watch is `get profiles -w`: what is there, then each profile once when it comes, in the order of coming, until Ctrl-C.
func watch(t *testing.T, w *world) {
	dir := t.TempDir()
	admin := call{user: w.admin, dir: dir}
	w.ok(t, admin, "download", "-n", w.ns, w.ids[0], "-O", "a.pb.gz")
	data, err := os.ReadFile(filepath.Join(dir, "a.pb.gz"))
	if err != nil {
		t.Fatal(err)
	}
	load := func(name string) (id string) {
		write(t, filepath.Join(dir, name), string(data), 0o644)
		r := w.ok(t, admin, "load", "-n", w.ns, name, "--service", "watched", "--label", "file="+name)
		id, _, _ = strings.Cut(r.out, " ")
		return id
	}
	ids := []string{load("one")}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := w.command(ctx, call{user: w.view, dir: dir}, "get", "profiles", "--service", "watched", "-w")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for all of a terminal's group
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
	}()
	next := func(want string) {
		t.Helper()
		select {
		case line := <-lines:
			if !regexp.MustCompile(want).MatchString(line) {
				t.Errorf("the line %q, and %q is wanted", line, want)
			}
		case <-time.After(10*time.Second + f.Slack):
			t.Errorf("no line; %q is wanted", want)
		}
	}
	next("^ID +SERVICE")
	next("^" + ids[0] + " +watched +cpu ")
	for _, name := range []string{"two", "three"} {
		id := load(name)
		next("^" + id + " +watched +cpu ") // and never the header or the first again
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for line := range lines {
		t.Errorf("one more line: %q", line)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
		t.Errorf("it ends with %v, status %d", err, cmd.ProcessState.ExitCode())
	}
}
