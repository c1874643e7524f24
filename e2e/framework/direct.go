package framework

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Direct talks to the API server as administrator and to the registry as somebody who may see all; kubectl would cost more than all it
// asks for.
type Direct struct {
	http     *http.Client
	registry *http.Client
	plain    *http.Client
	server   string
	header   string // Authorization, for the registry
}

func roots(pem []byte) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}

// NewDirect makes one, on a cluster of our own.
func NewDirect(t *testing.T) *Direct {
	t.Helper()
	own := NeedOwn(t)
	cert, err := tls.LoadX509KeyPair(own.PKI("admin.crt"), own.PKI("admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(own.PKI("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := ReaderToken()
	if err != nil {
		t.Fatal(err)
	}
	registryCA := K(t, "get", "secret", "-n", Namespace, RegistrySecret, "-o", `go-template={{index .data "ca.crt" | base64decode}}`)
	ip := K(t, "get", "service", "-n", Namespace, "kube-pprof-registry", "-o", "jsonpath={.spec.clusterIP}")
	toRegistry := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return own.Dial(ctx, network, ip+":443")
	}
	return &Direct{
		http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: own.Dial, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{RootCAs: roots(ca), Certificates: []tls.Certificate{cert}}}},
		registry: &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{DialContext: toRegistry, MaxIdleConnsPerHost: 8,
			TLSClientConfig: &tls.Config{RootCAs: roots([]byte(registryCA))}}},
		plain:  &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: own.Dial, DisableKeepAlives: true}},
		server: own.APIAddress(),
		header: "Bearer " + token,
	}
}

func readAll(resp *http.Response, err error, what string) (string, error) {
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s: %.300s", what, resp.Status, data)
	}
	return string(data), err
}

// API sends an object (nil: none) and returns the answer.
func (c *Direct) API(method, path string, object any) (string, error) {
	var body io.Reader
	if object != nil {
		data, err := json.Marshal(object)
		if err != nil {
			return "", err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, "https://"+c.server+path, body)
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", map[string]string{"PATCH": "application/merge-patch+json"}[method])
	if method != "PATCH" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	return readAll(resp, err, method+" "+path)
}

// Ask gets something of the registry.
func (c *Direct) Ask(path string) (string, error) {
	req, err := http.NewRequest("GET", "https://kube-pprof-registry."+Namespace+".svc"+path, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", c.header)
	resp, err := c.registry.Do(req)
	return readAll(resp, err, path)
}

// Metrics of a pod of ours through the API server, each line with its value.
func (c *Direct) Metrics(pod string) (map[string]float64, error) {
	text, err := c.API("GET", "/api/v1/namespaces/"+Namespace+"/pods/"+pod+":8080/proxy/metrics", nil)
	return parseMetrics(text), err
}

// MetricsAt asks the pod itself.
func (c *Direct) MetricsAt(ip string) (map[string]float64, error) {
	resp, err := c.plain.Get("http://" + ip + ":8080/metrics")
	text, err := readAll(resp, err, ip)
	return parseMetrics(text), err
}

func parseMetrics(text string) map[string]float64 {
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || line[0] == '#' {
			continue
		}
		if value, err := strconv.ParseFloat(line[i+1:], 64); err == nil {
			all[line[:i]] = value
		}
	}
	return all
}
