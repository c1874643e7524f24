package plugin

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

// tlsSecret makes the certificate of the pod "tls", signed by itself.
func tlsSecret(t *testing.T, w *world) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tls"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	crt := write(t, filepath.Join(w.dir, "tls.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o600)
	keyFile := write(t, filepath.Join(w.dir, "tls.key"), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})), 0o600)
	f.K(t, "create", "secret", "tls", "tls", "-n", w.ns, "--cert="+crt, "--key="+keyFile)
}

func tenInParallel(t *testing.T, w *world) {
	dir := t.TempDir()
	r := w.ok(t, call{user: w.view, limit: 5*time.Second + 2*time.Second}, "capture", "deploy/ten", "--duration", "5s", "--output-dir", dir)
	t.Logf("10 pods, 5 s of CPU each: %.1f s", r.took.Seconds())
	name := regexp.MustCompile(`^` + w.ns + `_(ten-[a-z0-9-]+)_app_cpu_\d{8}T\d{6}\.\d{3}Z\.pb\.gz$`)
	seen, paths := map[string]bool{}, []string{}
	for _, file := range files(t, dir) {
		m := name.FindStringSubmatch(file)
		if m == nil {
			t.Fatalf("the name is another: %s", file)
		}
		seen[m[1]] = true
		paths = append(paths, filepath.Join(dir, file))
	}
	opens(t, paths...)
	if len(seen) != 10 || strings.Count(r.out, "\n") != 10 {
		t.Errorf("of %d pods: %v", len(seen), r)
	}
	for _, line := range strings.Fields(r.out) {
		if filepath.Dir(line) != dir {
			t.Errorf("the path printed is another: %s", line)
		}
	}
}

// store is --push, and makes what the other tests read.
func store(t *testing.T, w *world) {
	dir := t.TempDir()
	r := w.run(t, call{user: w.admin, limit: 10 * time.Second}, "capture", "-n", w.ns, "-l", "app=ten", "--duration", "5s", "--push", "--output-dir", dir)
	kept := regexp.MustCompile(`_cpu_.* is kept as (\S+)\n`).FindAllStringSubmatch(r.err, -1)
	for _, m := range kept {
		w.ids = append(w.ids, m[1])
	}
	// a program that had no time on a busy machine has nothing to keep
	idle := strings.Count(r.err, "is not stored: the profile has no samples\n")
	if len(w.ids) < 7 || len(w.ids)+idle != 10 || r.code != min(idle, 1) {
		t.Fatalf("%d are kept, %d have no samples: %v", len(w.ids), idle, r)
	}
	var p f.Profile
	f.Within(t, 5*time.Second+f.Slack, "they are in the registry", func() error {
		items, err := f.List("namespace=" + w.ns + "&service=ten&type=cpu")
		if err == nil && len(items) != len(w.ids) {
			err = fmt.Errorf("%d are there", len(items))
		}
		if err == nil {
			p = items[0]
		}
		return err
	})
	if !strings.HasPrefix(p.Labels["pod"], "ten-") || p.Labels["container"] != "app" {
		t.Errorf("labels are %v", p.Labels)
	}
	if r := w.ok(t, call{user: w.view}, "top", "ten", "--cum"); !strings.Contains(r.out, hot) {
		t.Errorf("%s is not in them: %v", hot, r)
	}
}

// Every way a program can be hard to profile has its sentence, and those that can be profiled are.
func misbehaving(t *testing.T, w *world) {
	capture := func(pod string, more ...string) []string {
		return append([]string{"capture", pod, "--duration", "2s"}, more...)
	}
	for name, test := range map[string]func(t *testing.T){
		"Loopback": func(t *testing.T) {
			admin := &user{config: write(t, filepath.Join(t.TempDir(), "config"), f.K(t, "config", "view", "--raw", "--flatten"), 0o600)}
			dir := t.TempDir()
			r := w.ok(t, call{user: admin, limit: 4 * time.Second, dir: dir}, capture("local", "-n", w.ns, "-v=1")...)
			if !strings.Contains(r.err, "by port-forward") {
				t.Errorf("the way is not told: %v", r)
			}
			opens(t, filepath.Join(dir, strings.TrimSpace(r.out)))
			w.fails(t, call{user: admin}, 1, "(?i)refused|no way", capture("local", "-n", w.ns, "--via", "proxy", "-t", "heap")...)
		},
		"TLS": func(t *testing.T) {
			dir := t.TempDir()
			for i, u := range []*user{w.view, w.forward} {
				r := w.ok(t, call{user: u, limit: 4 * time.Second, dir: dir}, capture("tls", "--scheme", "https", "-t", []string{"cpu", "heap"}[i])...)
				if i == 0 {
					opens(t, filepath.Join(dir, strings.TrimSpace(r.out)))
				}
			}
			w.fails(t, call{user: w.view}, 1, `tls heap: port 6060/debug/pprof/heap .*400`, capture("tls", "-t", "heap")...)
		},
		"Held": func(t *testing.T) {
			r := w.fails(t, call{user: w.view}, 1, `held cpu: another profiler is active in this process \(port 6060/debug/pprof/profile\)`, capture("held")...)
			if r.out != "" {
				t.Errorf("there is a file: %v", r)
			}
			w.ok(t, call{user: w.view}, capture("held", "-t", "heap")...)
		},
		"HTML": func(t *testing.T) {
			dir := t.TempDir()
			w.fails(t, call{user: w.view, dir: dir}, 1, `html cpu: .* answers text/html.*, not a pprof profile: is that the right port and path\?`, capture("html")...)
			w.fails(t, call{user: w.forward, dir: dir}, 1, `html cpu: .* answers text/html.*, not a pprof profile`, capture("html")...)
			if names := files(t, dir); len(names) != 0 {
				t.Errorf("there is %v", names)
			}
		},
		"NoSuchPort": func(t *testing.T) {
			w.fails(t, call{user: w.view}, 1, "(?i)refused", capture("same", "--port", "7", "--via", "proxy", "-t", "heap")...)
			w.fails(t, call{user: w.forward}, 1, "(?i)refused|nothing listens", capture("same", "--port", "7", "-t", "heap")...)
		},
		"NoSuchPod": func(t *testing.T) {
			w.fails(t, call{user: w.view}, 1, `NotFound.*pods "nobody" not found`, capture("nobody")...)
		},
		"NoSuchType": func(t *testing.T) {
			w.fails(t, call{user: w.view}, 1, `same noodles: .*404: the program does not serve 'noodles'`, capture("same", "-t", "noodles")...)
		},
		"Usage": func(t *testing.T) {
			w.fails(t, call{user: w.view}, 2, `duration`, "capture", "same", "--duration", "soon")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// Names on which other tools' files fell over each other.
func fileNames(t *testing.T, w *world) {
	dir := t.TempDir()
	r := w.ok(t, call{user: w.admin}, "capture", "-A", "-l", "app=same", "-t", "goroutine", "--output-dir", dir)
	names := files(t, dir)
	for _, ns := range []string{w.ns, w.other} {
		if n := strings.Count(strings.Join(names, "\n"), ns+"_same_app_goroutine_"); n != 1 {
			t.Errorf("of %s/same there are %d files: %v %v", ns, n, names, r)
		}
	}
	// at the same time, twice, the same pod
	dir = t.TempDir()
	done := make(chan result)
	for range 2 {
		go func() {
			done <- w.run(t, call{user: w.view, dir: dir}, "capture", "same", "-t", "heap,goroutine,allocs")
		}()
	}
	for range 2 {
		if r := <-done; r.code != 0 || strings.Count(r.out, "\n") != 3 {
			t.Error(r)
		}
	}
	if names := files(t, dir); len(names) != 6 {
		t.Errorf("there are %d files: %v", len(names), names)
	}
}

// begin starts the plugin and waits until a file is being written.
func (w *world) begin(t *testing.T, dir string, args ...string) (wait func() result, signal func(s syscall.Signal)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := w.command(ctx, call{user: w.view, dir: dir}, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.Within(t, 30*time.Second, "capturing", func() error {
		if names := files(t, dir); len(names) == 0 {
			return fmt.Errorf("no file yet")
		}
		return nil
	})
	wait = func() result {
		_ = cmd.Wait()
		return result{strings.Join(args, " "), out.String(), errs.String(), cmd.ProcessState.ExitCode(), time.Since(began)}
	}
	return wait, func(s syscall.Signal) { _ = cmd.Process.Signal(s) }
}

func interrupted(t *testing.T, w *world) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		dir := t.TempDir()
		wait, signal := w.begin(t, dir, "capture", w.pods[0], w.pods[1], "--duration", "30s")
		signal(s)
		sent := time.Now()
		r := wait()
		if took := time.Since(sent); took > time.Second+f.Slack {
			t.Errorf("it goes on for %s: %v", took, r)
		}
		if names := files(t, dir); r.code != 130 || len(names) != 0 || r.out != "" {
			t.Errorf("%v: exit 130 and no file are wanted: %v, %v", s, names, r)
		}
	}
}

func podGoes(t *testing.T, w *world) {
	dir := t.TempDir()
	goes, stays := w.pods[9], w.pods[8]
	wait, _ := w.begin(t, dir, "capture", goes, stays, "--duration", "12s") // kubectl and the kubelet may take a while
	f.K(t, "delete", "pod", goes, "-n", w.ns, "--grace-period=0", "--force", "--wait=false")
	r := wait()
	limit := 12*time.Second + 2*time.Second + 2*f.Slack
	if strings.Contains(r.err, "i/o timeout") {
		limit += 30 * time.Second // the API server had not connected yet when the pod went: it calls into nothing for so long
	}
	if r.took > limit {
		t.Errorf("it took too long: %v", r)
	}
	names := files(t, dir)
	if r.code != 1 || len(names) != 1 || !strings.Contains(names[0], stays) || !strings.Contains(r.err, goes+" cpu: ") || strings.Contains(r.err, stays) {
		t.Errorf("%s alone is to fail: %v, %v", goes, names, r)
	}
	// whoever may not forward ports is told what happened, not only that
	if !regexp.MustCompile(`note: ` + w.ns + `/` + goes + `: not by the pod proxy: error trying to reach service`).MatchString(r.err) {
		t.Errorf("what happened is not told: %v", r)
	}
}
