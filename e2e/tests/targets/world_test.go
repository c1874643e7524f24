// Package targets: pods that do harm, or are said to be where they are not. They are posted with a status, so that none of them
// needs a kubelet; one server is all of them.
package targets

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
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

const (
	port  = 6060
	farIP = "10.98.0.%d" // of nodes that are not there
)

// podIP of the n-th pod: all of 10.99.0.0/22 is the server's.
func podIP(n int) string { return fmt.Sprintf("10.99.%d.%d", n/250, n%250+1) }

type world struct {
	own    *harness.Cluster
	api    *http.Client
	server *server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{own: f.NeedOwn(t)}
	w.api = w.client(t)
	pid, err := w.own.Pid("0")
	if err != nil {
		t.Fatal(err)
	}
	w.host(t, w.own.Net("ip", "route", "replace", "local", "10.99.0.0/22", "dev", "lo")...)
	t.Cleanup(func() {
		f.Host(context.Background(), w.own.Net("ip", "route", "del", "local", "10.99.0.0/22", "dev", "lo"))
	})
	w.server = newServer(listen(t, pid, fmt.Sprintf("0.0.0.0:%d", port)))
	return w
}

// listen makes a listener in the network of a process.
func listen(t *testing.T, pid int, address string) net.Listener {
	t.Helper()
	l, err := harness.InNetwork(pid, func() (net.Listener, error) { return net.Listen("tcp", address) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (w *world) host(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := f.Host(context.Background(), argv)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (w *world) client(t *testing.T) *http.Client {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(w.own.PKI("admin.crt"), w.own.PKI("admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(w.own.PKI("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{DialContext: w.own.Dial, MaxIdleConnsPerHost: 32,
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}}}}
}

func (w *world) do(method, path, contentType string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, "https://"+w.own.APIAddress()+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := w.api.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %.400s", method, path, resp.Status, answer)
	}
	return nil
}

type object = map[string]any

// pod is one that is posted; what is left out has a default.
type pod struct {
	ns, name, app, ip, hostIP, node string
	annotations                     map[string]string
	hostNetwork                     bool
	podIPs                          []string // beside ip
}

func (p *pod) spec() object {
	return object{"apiVersion": "v1", "kind": "Pod",
		"metadata": object{"name": p.name, "namespace": p.ns, "labels": object{"app": p.app}, "annotations": p.annotations},
		"spec": object{"nodeName": p.node, "hostNetwork": p.hostNetwork, "terminationGracePeriodSeconds": 0,
			"containers": []object{{"name": "app", "image": "local.test/none:1", "ports": []object{{"name": "pprof", "containerPort": port}}}}}}
}

func (p *pod) status() object {
	ips := []object{{"ip": p.ip}}
	for _, ip := range p.podIPs {
		ips = append(ips, object{"ip": ip})
	}
	now := time.Now().UTC().Format(time.RFC3339)
	status := object{"phase": "Running", "podIP": p.ip, "podIPs": ips,
		"conditions": []object{{"type": "Ready", "status": "True", "lastTransitionTime": now}},
		"containerStatuses": []object{{"name": "app", "ready": true, "started": true, "image": "local.test/none:1", "imageID": "local.test/none@sha256:0",
			"restartCount": 0, "containerID": "containerd://" + p.ns + p.name, "state": object{"running": object{"startedAt": now}}}}}
	if p.hostIP != "" {
		status["hostIP"], status["hostIPs"] = p.hostIP, []object{{"ip": p.hostIP}}
	}
	return object{"status": status}
}

func (w *world) post(p *pod) error {
	pods := "/api/v1/namespaces/" + p.ns + "/pods"
	if err := w.do("POST", pods, "application/json", p.spec()); err != nil {
		return err
	}
	return w.do("PATCH", pods+"/"+p.name+"/status", "application/merge-patch+json", p.status())
}

func (w *world) postAll(t *testing.T, pods []*pod) {
	t.Helper()
	began := time.Now()
	work, errs := make(chan *pod), make(chan error, len(pods))
	var wait sync.WaitGroup
	for range 16 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for p := range work {
				if err := w.post(p); err != nil {
					errs <- err
				}
			}
		}()
	}
	for _, p := range pods {
		work <- p
	}
	close(work)
	wait.Wait()
	t.Logf("%d pods posted in %.1f s", len(pods), time.Since(began).Seconds())
	if len(errs) > 0 {
		t.Fatalf("%d pods could not be posted: %v", len(errs), <-errs)
	}
}

// stir changes something of a pod that does not matter.
func (w *world) stir(t *testing.T, ns string, n int) {
	t.Helper()
	patch := object{"metadata": object{"annotations": object{"stirred": itoa(n)}}}
	if err := w.do("PATCH", "/api/v1/namespaces/"+ns+"/pods/stirred", "application/merge-patch+json", patch); err != nil {
		t.Error(err)
	}
}

// alone stops the controller-manager, which would delete pods of nodes that are not there.
func (w *world) alone(t *testing.T) {
	t.Helper()
	if err := w.own.Stop(context.Background(), "0", "kcm", "KILL"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.own.Start(context.Background(), "0", "kcm"); err != nil {
			t.Error(err)
		}
	})
}

// namespace makes one in which pods can be posted, and empties it afterwards.
func (w *world) namespace(t *testing.T) string {
	t.Helper()
	ns := f.NewNamespace(t)
	f.Within(t, 30*time.Second, "the default ServiceAccount", func() error {
		_, err := f.Kubectl("get", "serviceaccount", "default", "-n", ns)
		return err
	})
	return ns
}

// process is the product's on a node, seen from outside, when it is the only one: a predecessor may take a while to end.
func (w *world) process(t *testing.T, role string) int {
	t.Helper()
	var pids []int
	f.Within(t, 60*time.Second, "one process of the "+role, func() error {
		if pids = w.processes(role); len(pids) != 1 {
			return fmt.Errorf("%d", len(pids))
		}
		return nil
	})
	return pids[0]
}

func (w *world) processes(role string) (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		line, _ := os.ReadFile(dir + "/cmdline")
		args := strings.Split(string(line), "\x00")
		if len(args) < 2 || args[0] != "/kube-pprof" || args[1] != role {
			continue
		}
		groups, _ := os.ReadFile(dir + "/cgroup")
		for _, node := range w.own.Nodes() {
			if strings.Contains(string(groups), "/"+node+"/") {
				pid, _ := strconv.Atoi(filepath.Base(dir))
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// memory of a process in MiB: what it has, and had at most.
func memory(t *testing.T, pid int) (now, most int) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	read := func(key string) int {
		_, rest, _ := strings.Cut(string(data), key+":")
		n, _ := strconv.Atoi(strings.Fields(rest)[0])
		return n / 1024
	}
	return read("VmRSS"), read("VmHWM")
}

// forget starts the count of the most anew.
func forget(t *testing.T, pid int) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// metric is the value of a metric without labels.
func metric(page, name string) float64 {
	for _, line := range strings.Split(page, "\n") {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, _ := strconv.ParseFloat(rest, 64)
			return v
		}
	}
	return -1
}
