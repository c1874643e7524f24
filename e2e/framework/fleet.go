package framework

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Addresses of posted pods: one server, the fleet, answers at all of the first network; the other leads nowhere.
const (
	FleetNetwork   = "10.99"
	NowhereNetwork = "10.98"
	FleetPort      = 6060
)

// Visit is a CPU profile that was asked for: by whom, at which pod, from when to when.
type Visit struct {
	By, Of     string
	Start, End time.Time // End is zero while it goes on
	Refused    bool      // somebody else's was going on
}

// Fleet is what answers for pods that are only posted: pprof as Go serves it, one CPU profile of a pod at a time. It sees what the
// pods of a cluster would: who asks whom, and when.
type Fleet struct {
	cpu, heap []byte
	mu        sync.Mutex
	busy      map[string]bool
	visits    []*Visit
	keep      bool
	counts    map[string]int
}

//go:noinline
func hashOrders() [32]byte { return sha256.Sum256(make([]byte, 64<<10)) }

// NewFleet serves until the test is over, in the control plane's network. keep: remember visits.
func NewFleet(t *testing.T, keep bool) *Fleet {
	t.Helper()
	own := NeedOwn(t)
	var cpu, heap bytes.Buffer
	if err := pprof.StartCPUProfile(&cpu); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
		hashOrders()
	}
	pprof.StopCPUProfile()
	if err := pprof.Lookup("heap").WriteTo(&heap, 0); err != nil {
		t.Fatal(err)
	}
	p := &Fleet{cpu: cpu.Bytes(), heap: heap.Bytes(), busy: map[string]bool{}, keep: keep, counts: map[string]int{}}
	// the whole network is local then
	address := FleetNetwork + ".0.1/16"
	if out, err := Host(context.Background(), own.Net("ip", "address", "replace", address, "dev", "lo")); err != nil {
		t.Fatal(err, out)
	}
	listener, err := own.Listen("tcp4", fmt.Sprintf(":%d", FleetPort))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		_, _ = Host(context.Background(), own.Net("ip", "address", "del", address, "dev", "lo"))
	})
	return p
}

// Grow makes the CPU profile of all pods about so large, by strings that do not compress, and returns its size. Before any is asked for.
func (p *Fleet) Grow(t *testing.T, size int) int {
	t.Helper()
	in, err := gzip.NewReader(bytes.NewReader(p.cpu))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	random := make([]byte, 3000)
	for range size / len(random) {
		_, _ = rand.Read(random)
		text := base64.StdEncoding.EncodeToString(random)
		raw = append(binary.AppendUvarint(append(raw, 6<<3|2), uint64(len(text))), text...) // one more of the string table
	}
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	if _, err := zip.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	p.cpu = out.Bytes()
	return len(p.cpu)
}

func host(address string) string {
	h, _, _ := net.SplitHostPort(address)
	return h
}

func (p *Fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/heap"):
		p.count("heap")
		_, _ = w.Write(p.heap)
	case strings.HasSuffix(r.URL.Path, "/profile"):
		p.profile(w, r)
	default:
		p.count("404")
		http.NotFound(w, r)
	}
}

func (p *Fleet) profile(w http.ResponseWriter, r *http.Request) {
	visit := p.begin(host(r.RemoteAddr), host(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String()))
	if visit.Refused {
		http.Error(w, "Could not enable CPU profiling: cpu profiling already in use", http.StatusInternalServerError)
		return
	}
	seconds, _ := time.ParseDuration(r.URL.Query().Get("seconds") + "s")
	select {
	case <-time.After(seconds):
		p.end(visit, "cpu")
		_, _ = w.Write(p.cpu)
	case <-r.Context().Done():
		p.end(visit, "left")
	}
}

func (p *Fleet) begin(by, of string) *Visit {
	p.mu.Lock()
	defer p.mu.Unlock()
	visit := &Visit{By: by, Of: of, Start: time.Now(), Refused: p.busy[of]}
	if p.keep {
		p.visits = append(p.visits, visit)
	}
	if visit.Refused {
		visit.End = visit.Start
		p.counts["refused"]++
	} else {
		p.busy[of] = true
	}
	return visit
}

func (p *Fleet) end(visit *Visit, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	visit.End = time.Now()
	delete(p.busy, visit.Of)
	p.counts[what]++
}

func (p *Fleet) count(what string) {
	p.mu.Lock()
	p.counts[what]++
	p.mu.Unlock()
}

// Counts says what was answered: cpu, heap, 404, refused (a second CPU profile of a pod) and left (the client did).
func (p *Fleet) Counts() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprint(p.counts)
}

// Refused is how often somebody asked for a CPU profile of a pod while another was being taken.
func (p *Fleet) Refused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts["refused"]
}

// Visits so far, in the order they began.
func (p *Fleet) Visits() []Visit {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Visit
	for _, v := range p.visits {
		all = append(all, *v)
	}
	slices.SortFunc(all, func(a, b Visit) int { return a.Start.Compare(b.Start) })
	return all
}

type object = map[string]any

// PostPod posts a pod for a node that is not there and gives it the status a kubelet would. owner is a ConfigMap of the namespace (its
// name and uid), which nobody acts upon: the pod's workload.
func (c *Direct) PostPod(ns, name, ip, node string, labels map[string]string, owner, ownerUID string) error {
	pods := "/api/v1/namespaces/" + ns + "/pods"
	_, err := c.API("POST", pods, object{
		"metadata": object{"name": name, "labels": labels, "ownerReferences": []object{
			{"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": ownerUID, "controller": true}}},
		"spec": object{"nodeName": node, "automountServiceAccountToken": false, "containers": []object{
			{"name": "app", "image": "posted:1", "ports": []object{{"name": "pprof", "containerPort": FleetPort}}}}},
	})
	if err != nil {
		return err
	}
	now := time.Now().UTC().Format(time.RFC3339)
	_, err = c.API("PATCH", pods+"/"+name+"/status", object{"status": object{
		"phase": "Running", "podIP": ip, "podIPs": []object{{"ip": ip}}, "hostIP": "10.97.0.1",
		"conditions": []object{{"type": "Ready", "status": "True", "lastTransitionTime": now}},
		"containerStatuses": []object{{"name": "app", "image": "posted:1", "imageID": "sha256:1", "containerID": "containerd://" + name,
			"ready": true, "restartCount": 0, "state": object{"running": object{"startedAt": now}}}},
	}})
	return err
}

// PostOwner makes a ConfigMap that can own pods and returns its uid.
func (c *Direct) PostOwner(ns, name string) (uid string, err error) {
	text, err := c.API("POST", "/api/v1/namespaces/"+ns+"/configmaps", object{"metadata": object{"name": name}})
	if err != nil {
		return "", err
	}
	var made struct{ Metadata struct{ UID string } }
	err = json.Unmarshal([]byte(text), &made)
	return made.Metadata.UID, err
}

// DropPod deletes one that was posted.
func (c *Direct) DropPod(ns, name string) error {
	_, err := c.API("DELETE", "/api/v1/namespaces/"+ns+"/pods/"+name+"?gracePeriodSeconds=0", nil)
	return err
}

// PostNode posts a node for pods that are to stay: without it they are collected as orphans, and without a heartbeat they become not
// ready. Nothing is scheduled there.
func (c *Direct) PostNode(t *testing.T, name string) {
	t.Helper()
	if _, err := c.API("POST", "/api/v1/nodes", object{"metadata": object{"name": name}, "spec": object{"unschedulable": true}}); err != nil {
		t.Fatal(err)
	}
	beat := func() error {
		now := time.Now().UTC().Format(time.RFC3339)
		_, err := c.API("PATCH", "/api/v1/nodes/"+name+"/status", object{"status": object{"conditions": []object{
			{"type": "Ready", "status": "True", "reason": "Posted", "lastHeartbeatTime": now, "lastTransitionTime": now}}}})
		return err
	}
	if err := beat(); err != nil {
		t.Fatal(err)
	}
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			case <-time.After(5 * time.Second):
				_ = beat()
			}
		}
	}()
	t.Cleanup(func() {
		close(over)
		<-ended
		if _, err := c.API("DELETE", "/api/v1/nodes/"+name, nil); err != nil {
			t.Error(err)
		}
	})
}

// PostWorkload posts n pods of one owner, name-0 and on, labelled app=name, on a posted node of the same name, and returns the address of
// each: the hosts from 10 on of that subnet of FleetNetwork.
func (c *Direct) PostWorkload(t *testing.T, ns, name string, subnet, n int) (address func(i int) string) {
	t.Helper()
	address = func(i int) string { return fmt.Sprintf("%s.%d.%d", FleetNetwork, subnet, 10+i) }
	c.PostNode(t, name)
	uid, err := c.PostOwner(ns, name)
	for i := 0; i < n && err == nil; i++ {
		err = c.PostPod(ns, fmt.Sprintf("%s-%d", name, i), address(i), name, map[string]string{"app": name}, name, uid)
	}
	if err != nil {
		t.Fatal(err)
	}
	return address
}
