package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

// server is the API server or the registry's Service, reached over TLS that is verified.
type server struct {
	own  *harness.Cluster
	name string // that the certificate has to be for
	ip   string

	mu     sync.Mutex
	roots  *x509.CertPool
	serial string // of the certificate last seen
	client *http.Client
}

type answer struct {
	status int
	body   string
	header http.Header
}

func (a answer) String() string { return fmt.Sprintf("%d %.300s", a.status, a.body) }

func newServer(own *harness.Cluster, name, address string, certs ...tls.Certificate) *server {
	s := &server{own: own, name: name, ip: address}
	s.client = &http.Client{Timeout: 70 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 8,
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			s.mu.Lock()
			conf := &tls.Config{ServerName: s.name, RootCAs: s.roots, Certificates: certs, MinVersion: tls.VersionTLS12}
			s.mu.Unlock()
			raw, err := own.Dial(ctx, "tcp", s.ip)
			if err != nil {
				return nil, err
			}
			conn := tls.Client(raw, conf)
			if err := conn.HandshakeContext(ctx); err != nil {
				raw.Close()
				return nil, err
			}
			s.mu.Lock()
			s.serial = conn.ConnectionState().PeerCertificates[0].SerialNumber.Text(16)
			s.mu.Unlock()
			return conn, nil
		},
	}}
	return s
}

func (s *server) trust(pem []byte) error {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("no certificate in %q", pem)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roots = pool
	return nil
}

func (s *server) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serial
}

// try sends one request; headers are "Name: value".
func (s *server) try(method, path, token, body string, headers ...string) (answer, error) {
	request, err := http.NewRequest(method, "https://"+s.name+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header[name] = append(request.Header[name], value)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, string(text), response.Header}, err
}

func (s *server) ask(t *testing.T, method, path, token, body string, headers ...string) answer {
	t.Helper()
	a, err := s.try(method, path, token, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (s *server) get(t *testing.T, path, token string) answer {
	t.Helper()
	return s.ask(t, "GET", path, token, "")
}

// is fails the test unless the answer has the status and all of the words.
func (a answer) is(t *testing.T, what string, status int, words ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("%s: %v, not %d", what, a, status)
		return
	}
	for _, w := range words {
		if !strings.Contains(a.body, w) {
			t.Errorf("%s: %q is not in %v", what, w, a)
		}
	}
}

// apiServer speaks as whoever's token a request has; admin as the administrator.
func apiServer(t *testing.T, own *harness.Cluster, admin bool) *server {
	t.Helper()
	var certs []tls.Certificate
	if admin {
		pair, err := tls.LoadX509KeyPair(own.PKI("admin.crt"), own.PKI("admin.key"))
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, pair)
	}
	s := newServer(own, "kubernetes.default.svc", own.APIAddress(), certs...)
	ca, err := os.ReadFile(own.PKI("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.trust(ca); err != nil {
		t.Fatal(err)
	}
	return s
}

const tlsSecret = "/api/v1/namespaces/" + f.Namespace + "/secrets/kube-pprof-registry-tls"

// bundle reads what verifies the registry, as its clients do.
func bundle(admin *server) ([]byte, error) {
	a, err := admin.try("GET", tlsSecret, "", "")
	if err != nil {
		return nil, err
	}
	var secret struct{ Data map[string]string }
	if err := json.Unmarshal([]byte(a.body), &secret); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(secret.Data["ca.crt"])
}

// registry is the registry's Service, seen with client certificates or none.
func registry(t *testing.T, own *harness.Cluster, admin *server, certs ...tls.Certificate) *server {
	t.Helper()
	a := admin.get(t, "/api/v1/namespaces/"+f.Namespace+"/services/kube-pprof-registry", "")
	var service struct{ Spec struct{ ClusterIP string } }
	if err := json.Unmarshal([]byte(a.body), &service); err != nil {
		t.Fatal(err, a)
	}
	s := newServer(own, "kube-pprof-registry."+f.Namespace+".svc", net.JoinHostPort(service.Spec.ClusterIP, "443"), certs...)
	ca, err := bundle(admin)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.trust(ca); err != nil {
		t.Fatal(err)
	}
	return s
}
