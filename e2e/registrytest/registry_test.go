// Package registrytest runs the registry by itself, without a cluster, and uses it with Go's own tools.
package registrytest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kube-pprof.dev/e2e/framework"
)

// The program whose profiles are taken; hot is what the compiler is told about.
const program = `package main

import (
	"os"
	"runtime/pprof"
	"time"
)

func main() {
	out, err := os.Create(os.Args[1])
	if err != nil {
		panic(err)
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		panic(err)
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		run()
	}
	pprof.StopCPUProfile()
	if err := out.Close(); err != nil {
		panic(err)
	}
}
`

const hot = `package main

var sink uint64

func run() {
	for i := uint64(0); i < 1000000; i++ {
		sink = mix(sink, i)
	}
}

//go:noinline
func mix(h, v uint64) uint64 {
	for i := 0; i < 8; i++ {
		h = (h ^ v) * 0x9E3779B185EBCA87
	}
	return h
}
`

// The same functions without imports, so that little has to be compiled.
const bare = `package main

func main() { run(); println(sink) }
`

func binary(t *testing.T) string {
	t.Helper()
	if b := os.Getenv("KP_REGISTRY_BINARY"); b != "" {
		return b
	}
	for _, preset := range []string{"release", "dev", "clang"} {
		b := filepath.Join(framework.Root(), "build", preset, "bin/kube-pprof")
		if _, err := os.Stat(b); err == nil {
			return b
		}
	}
	t.Skip("kube-pprof is not built; cmake --build --preset dev")
	return ""
}

// start runs a registry and gives its address.
func start(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := exec.Command(binary(t), "registry", "--listen", addr, "--data-dir", filepath.Join(t.TempDir(), "data"))
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the registry ended with %v:\n%s", err, log.String())
		}
	})
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if answer, err := http.Get("http://" + addr + "/readyz"); err == nil {
			answer.Body.Close()
			return "http://" + addr
		}
	}
	t.Fatalf("the registry does not answer:\n%s", log.String())
	return ""
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func goTool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off", "PPROF_TMPDIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func get(t *testing.T, url string, status int, header ...string) (*http.Response, []byte) {
	t.Helper()
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != status {
		t.Fatalf("%s: %d instead of %d: %s", url, answer.StatusCode, status, body)
	}
	return answer, body
}

// pushed starts a registry that has three CPU profiles of a program of this Go version.
func pushed(t *testing.T) string {
	t.Helper()
	url, dir := start(t), t.TempDir()
	write(t, dir, map[string]string{"go.mod": "module hot.test\n\ngo 1.21\n", "main.go": program, "hot.go": hot})
	goTool(t, dir, "build", "-pgo=off", "-o", "hot", ".")
	for i := range 3 {
		file := filepath.Join(dir, fmt.Sprintf("cpu%d", i))
		if out, err := exec.Command(filepath.Join(dir, "hot"), file).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		profile, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.Post(fmt.Sprintf("%s/api/v1/profiles?service=hot&type=cpu&labels=pod=%d", url, i), "application/octet-stream", bytes.NewReader(profile))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusCreated {
			t.Fatalf("push: %s", answer.Status)
		}
	}
	return url
}

func TestGoToolPprofReadsMerges(t *testing.T) {
	url := pushed(t)
	now := time.Now().UTC()
	for _, path := range []string{
		"/api/v1/merge?service=hot&type=cpu",
		"/api/v1/merge?service=hot&type=cpu&selector=pod+in+(0,2)",
		"/api/0/profiles/merge?service=hot&type=cpu&from=" + now.Add(-time.Hour).Format("2006-01-02T15:04:05") + "&to=" + now.Add(time.Hour).Format("2006-01-02T15:04:05"),
	} {
		if out := goTool(t, t.TempDir(), "tool", "pprof", "-top", url+path); !strings.Contains(out, "main.mix") {
			t.Errorf("%s:\n%s", path, out)
		}
	}
	_, diff := get(t, url+"/api/v1/diff?service=hot&type=cpu&selector=pod%3D0&baseSelector=pod%3D1&format=pprof", 200)
	file := filepath.Join(t.TempDir(), "diff.pb.gz")
	if err := os.WriteFile(file, diff, 0o644); err != nil {
		t.Fatal(err)
	}
	if out := goTool(t, t.TempDir(), "tool", "pprof", "-top", file); !strings.Contains(out, "main.") {
		t.Error(out)
	}
}

func TestGoBuildTakesThePGOFile(t *testing.T) {
	url := pushed(t)
	answer, profile := get(t, url+"/api/v1/pgo?service=hot", 200)
	for _, name := range []string{"ETag", "X-Profiles", "X-Cpu-Seconds", "X-Start-Line-Share"} {
		if answer.Header.Get(name) == "" {
			t.Errorf("no header %s", name)
		}
	}
	again, same := get(t, url+"/api/v1/pgo?service=hot", 200)
	if !bytes.Equal(profile, same) || again.Header.Get("ETag") != answer.Header.Get("ETag") {
		t.Error("the same captures give other bytes")
	}
	get(t, url+"/api/v1/pgo?service=hot", 304, "If-None-Match", answer.Header.Get("ETag"))
	if _, short := get(t, url+"/api/v1/pgo?service=hot&maxBytes=1Ki", 200); len(short) > len(profile) {
		t.Errorf("%d bytes instead of fewer than %d", len(short), len(profile))
	}

	dir := t.TempDir()
	write(t, dir, map[string]string{"go.mod": "module hot.test\n\ngo 1.21\n", "main.go": bare, "hot.go": hot, "merged.pgo": string(profile)})
	out := goTool(t, dir, "build", "-pgo=merged.pgo", "-gcflags=hot.test=-m=2 -d=pgodebug=1", "-o", "hot", ".")
	if !strings.Contains(out, "hot-") {
		t.Errorf("the compiler found nothing hot in it:\n%s", out)
	}
	if out := goTool(t, dir, "tool", "pprof", "-raw", filepath.Join(dir, "merged.pgo")); strings.Contains(out, "/hot.go") {
		t.Errorf("files of the build are in it:\n%s", out)
	}
}
