package harness

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// InNetwork calls do on a thread that is in the network of a process (seen from outside), whatever network this process is in:
// sockets made in it stay there.
func InNetwork[T any](pid int, do func() (T, error)) (T, error) {
	type result struct {
		got T
		err error
	}
	done := make(chan result, 1)
	go func() {
		// Not unlocked: the thread ends with the goroutine, so it need not find its way back.
		runtime.LockOSThread()
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			ns.Close()
		}
		if err != nil {
			done <- result{err: fmt.Errorf("enter the network of process %d: %w", pid, err)}
			return
		}
		got, err := do()
		done <- result{got, err}
	}()
	r := <-done
	return r.got, r.err
}

// Dial connects from the control plane's network.
func (c *Cluster) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return InNetwork(c.cp.pid, func() (net.Conn, error) {
		return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, addr)
	})
}

// Listen opens a socket in the control plane's network: nodes and pods reach it.
func (c *Cluster) Listen(network, addr string) (net.Listener, error) {
	return InNetwork(c.cp.pid, func() (net.Listener, error) { return net.Listen(network, addr) })
}

// Pid is the first process of a box ("0": the control plane), for InNetwork.
func (c *Cluster) Pid(name string) (int, error) {
	b, err := c.box(name)
	if err != nil {
		return 0, err
	}
	return b.pid, nil
}

// api is a client of the API server as administrator.
type api struct{ client *http.Client }

func (c *Cluster) api() (*api, error) {
	pki := filepath.Join(c.Dir, "pki")
	cert, err := tls.LoadX509KeyPair(filepath.Join(pki, "admin.crt"), filepath.Join(pki, "admin.key"))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(pki, "ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("bad ca.crt")
	}
	return &api{&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: c.Dial, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}}}}}, nil
}

func (a *api) do(ctx context.Context, method, path string, body, into any) error {
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+controlPlaneIP+path, in)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %.300s", method, path, resp.Status, data)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(data, into)
}

func (a *api) get(ctx context.Context, path string, into any) error {
	return a.do(ctx, http.MethodGet, path, nil, into)
}

func (a *api) nodeReady(ctx context.Context, name string) error {
	var node struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := a.get(ctx, "/api/v1/nodes/"+name, &node); err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			return nil
		} else if c.Type == "Ready" {
			return errors.New(c.Message)
		}
	}
	return errors.New("no condition Ready yet")
}

// storage makes a default StorageClass and a few volumes on each node, so that claims are bound.
func (c *Cluster) storage(ctx context.Context, a *api) error {
	class := map[string]any{
		"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "kubernetes.io/no-provisioner",
		"volumeBindingMode": "WaitForFirstConsumer",
		"metadata":          map[string]any{"name": "standard", "annotations": map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
	}
	if err := a.do(ctx, http.MethodPost, "/apis/storage.k8s.io/v1/storageclasses", class, nil); err != nil {
		return err
	}
	for _, n := range c.nodes {
		for i := 1; i <= persistentVolumes; i++ {
			pv := map[string]any{
				"apiVersion": "v1", "kind": "PersistentVolume", "metadata": map[string]any{"name": fmt.Sprintf("%s-pv%d", n.name, i)},
				"spec": map[string]any{
					"capacity": map[string]string{"storage": "50Gi"}, "accessModes": []string{"ReadWriteOnce"},
					"persistentVolumeReclaimPolicy": "Retain", "storageClassName": "standard",
					"hostPath": map[string]string{"path": fmt.Sprintf("/var/lib/pv/%d", i)},
					"nodeAffinity": map[string]any{"required": map[string]any{"nodeSelectorTerms": []any{map[string]any{"matchExpressions": []any{
						map[string]any{"key": "kubernetes.io/hostname", "operator": "In", "values": []string{n.name}}}}}}},
				},
			}
			if err := a.do(ctx, http.MethodPost, "/api/v1/persistentvolumes", pv, nil); err != nil {
				return err
			}
		}
	}
	return nil
}
