package access

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

// load reads without a pause until it is told to stop, by connections of both kinds, and counts.
type load struct {
	stop     chan struct{}
	wait     sync.WaitGroup
	mu       sync.Mutex
	requests map[string]int
	failures []string
}

func (l *load) run(what string, s *server, path, token string, headers ...string) {
	l.wait.Go(func() {
		for {
			select {
			case <-l.stop:
				return
			case <-time.After(25 * time.Millisecond):
			}
			a, err := s.try("GET", path, token, "", headers...)
			l.mu.Lock()
			l.requests[what]++
			if err != nil || a.status != 200 {
				l.failures = append(l.failures, fmt.Sprintf("%s %s: %v %v", time.Now().Format("15:04:05.000"), what, err, a))
			}
			l.mu.Unlock()
		}
	})
}

func (l *load) repeat(every time.Duration, do func()) {
	l.wait.Go(func() {
		for {
			select {
			case <-l.stop:
				return
			case <-time.After(every):
				do()
			}
		}
	})
}

func certificatesChangeUnderLoad(t *testing.T, w *world) {
	// a registry that all who read share, and whose bundle is read again and again as its file would be
	reg := registry(t, w.own, w.admin)
	path := "/api/v1/profiles?limit=5&namespace=" + shop
	l := &load{stop: make(chan struct{}), requests: map[string]int{}}
	l.run("direct", reg, path, w.viewer.direct)
	for range 2 {
		l.run("direct, new connections", reg, path, w.viewer.direct, "Connection: close")
		l.run("through the API server", w.api, in(shop)+"?limit=5", w.viewer.api)
	}
	l.run("download through the API server", w.api, in(shop)+"/"+w.myCPU+"/download", w.viewer.api)
	l.repeat(300*time.Millisecond, func() {
		if ca, err := bundle(w.admin); err == nil {
			_ = reg.trust(ca)
		}
	})
	// the kubelet looks at a Secret once a minute, and when its pod changes
	n := 0
	l.repeat(time.Second, func() {
		n++
		_, _ = f.Kubectl("annotate", "pod", "kube-pprof-registry-0", "-n", f.Namespace, "--overwrite", fmt.Sprintf("look=%d", n))
	})
	most, unavailable := 0, 0
	_, _, before := theAPIService(w.admin) // more than one where certificates of other tests are not over yet
	l.repeat(500*time.Millisecond, func() {
		_, available, cas := theAPIService(w.admin)
		if most = max(most, cas); !available {
			unavailable++
		}
	})
	ended := sync.OnceFunc(func() { close(l.stop); l.wait.Wait() })
	defer ended()

	serial := func(what string, limit time.Duration, before string) string {
		f.Within(t, limit, what, func() error {
			if s := reg.seen(); s == before || s == "" {
				return fmt.Errorf("it is %s", s)
			}
			return nil
		})
		return reg.seen()
	}
	first := serial("a certificate is seen", 10*time.Second, "")
	oldCA, _ := bundle(w.admin)
	// the controller looks once in half a minute, and when it starts: so it is put in place anew, with short lives
	f.K(t, "patch", "secret", "-n", f.Namespace, "kube-pprof-registry-ca", "--type=json", "-p", `[{"op":"remove","path":"/data"}]`)
	if err := f.Install(append([]string{"controller.config.allow-short-certificates=true", "controller.config.certificate-lifetime=75s", "controller.config.ca-lifetime=5m"}, install...)...); err != nil {
		t.Fatal(err)
	}
	second := serial("a certificate of a new authority", 2*time.Minute, first)
	third := serial("and one more, when two thirds of its life were over", 2*time.Minute, second)
	time.Sleep(2 * time.Second)
	ended()
	if most != before+1 || unavailable != 0 {
		t.Errorf("the APIService believed %d authorities, not %d and the new one, and was not available %d times", most, before, unavailable)
	}
	ca, err := bundle(w.admin)
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(ca); block != nil {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || strings.HasPrefix(string(oldCA), string(pem.EncodeToMemory(block))) {
			t.Errorf("the authority is the old one: %v", err)
		} else {
			t.Logf("serials %s, %s, %s; the new authority lives until %s", first, second, third, cert.NotAfter)
		}
	}
	t.Logf("requests: %v; failures: %d", l.requests, len(l.failures))
	for i, failure := range l.failures {
		if i < 10 {
			t.Error(failure)
		}
	}
	for what, n := range l.requests {
		if n < 200 {
			t.Errorf("%s: only %d requests", what, n)
		}
	}
}
