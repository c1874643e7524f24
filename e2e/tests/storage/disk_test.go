package storage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

const claim = "data-kube-pprof-registry-0"

// disk is a folder that all nodes see, through a file system that fails on demand (cmd/kp-faultfs); it is the registry's volume.
type disk struct {
	own                   *harness.Cluster
	data, mounted, faults string // the folder, where nodes mount it, what is wrong with it
	before                string // the volume the registry had
}

// fails makes the disk fail from now on: see cmd/kp-faultfs. "" = it works. Before begin it was as before, after end it is so: a busy machine
// may lie between.
func (d *disk) fails(t *testing.T, how string) (begin, end time.Time) {
	t.Helper()
	begin = time.Now()
	if err := os.WriteFile(d.faults+".new", []byte(how), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(d.faults+".new", d.faults); err != nil {
		t.Fatal(err)
	}
	return begin, time.Now()
}

func (d *disk) on(t *testing.T, node, script string, args ...string) {
	t.Helper()
	argv, err := d.own.Node(node, append([]string{"sh", "-c", script, "sh"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := f.Host(context.Background(), argv); err != nil {
		t.Fatal(out, err)
	}
}

// scale stops the registry, or starts it.
func scale(t *testing.T, replicas int) {
	t.Helper()
	f.K(t, "scale", "sts/kube-pprof-registry", "-n", f.Namespace, fmt.Sprintf("--replicas=%d", replicas))
	if replicas == 0 {
		f.K(t, "wait", "--for=delete", "pod/kube-pprof-registry-0", "-n", f.Namespace, "--timeout=120s")
		return
	}
	f.Ready(t, 120*time.Second, "registry")
}

// volume gives the registry another volume; claimed says of which PersistentVolume.
func volume(t *testing.T, name string) {
	t.Helper()
	f.K(t, "delete", "pvc", claim, "-n", f.Namespace, "--timeout=60s")
	f.K(t, "patch", "pv", name, "--type=merge", "-p",
		fmt.Sprintf(`{"spec":{"claimRef":{"apiVersion":"v1","kind":"PersistentVolumeClaim","namespace":%q,"name":%q,"uid":null,"resourceVersion":null}}}`, f.Namespace, claim))
}

// newDisk makes the disk and gives it to the registry, until the test is over.
func newDisk(t *testing.T) *disk {
	t.Helper()
	own := f.NeedOwn(t)
	dir := filepath.Join(own.Dir, "faults")
	d := &disk{own: own, data: filepath.Join(dir, "data"), mounted: filepath.Join(dir, "mounted"), faults: filepath.Join(dir, "how")}
	for _, folder := range []string{d.data, d.mounted} {
		if err := os.MkdirAll(folder, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(folder, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	d.fails(t, "")
	program := filepath.Join(dir, "kp-faultfs")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./cmd/kp-faultfs")
	build.Dir = filepath.Join(f.Root(), "e2e")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build kp-faultfs: %v: %s", err, out)
	}
	for _, node := range own.Nodes() {
		d.on(t, node, `setsid "$1" "$2" "$3" "$4" </dev/null >"$1.log" 2>&1 &
			for i in $(seq 100); do mountpoint -q "$3" && exit 0; sleep 0.05; done; cat "$1.log"; exit 1`, program, d.data, d.mounted, d.faults)
	}
	d.before = f.K(t, "get", "pvc", claim, "-n", f.Namespace, "-o", "jsonpath={.spec.volumeName}")
	scale(t, 0)
	if out, err := f.KubectlIn(fmt.Sprintf(`{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"kp-faults"},"spec":{
		"capacity":{"storage":"50Gi"},"accessModes":["ReadWriteOnce"],"persistentVolumeReclaimPolicy":"Retain","storageClassName":"standard","hostPath":{"path":%q}}}`,
		d.mounted), "create", "-f", "-"); err != nil {
		t.Fatal(out, err)
	}
	t.Cleanup(func() { d.remove(t) })
	volume(t, "kp-faults")
	scale(t, 1)
	return d
}

func (d *disk) remove(t *testing.T) {
	d.fails(t, "")
	for _, node := range d.own.Nodes() {
		f.K(t, "uncordon", node)
	}
	scale(t, 0)
	volume(t, d.before)
	f.K(t, "delete", "pv", "kp-faults", "--timeout=60s")
	for _, node := range d.own.Nodes() {
		d.on(t, node, `umount -l "$1"`, d.mounted)
	}
	scale(t, 1)
}

// ---- what the registry says ----

// pod says where the registry runs.
func pod() (node, ip string, err error) {
	text, err := f.Kubectl("get", "pod", "kube-pprof-registry-0", "-n", f.Namespace, "-o", "jsonpath={.spec.nodeName} {.status.podIP}")
	if err != nil {
		return "", "", err
	}
	out := strings.Fields(text)
	if len(out) != 2 {
		return "", "", fmt.Errorf("the registry's pod is at %q", text)
	}
	return out[0], out[1], nil
}

// asked is status and body of a page of the registry's port for metrics.
func asked(path string) (status, body string, err error) {
	_, ip, err := pod()
	if err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := f.Command(ctx, "curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", "http://"+ip+":8080"+path).Output()
	if err != nil {
		return "", "", fmt.Errorf("GET %s: %w", path, err)
	}
	i := strings.LastIndex(string(out), "\n")
	return string(out[i+1:]), string(out[:i]), nil
}

// readyz wants a status, and words in the answer.
func readyz(path, status string, words ...string) error {
	got, body, err := asked(path)
	if err != nil {
		return err
	}
	if got != status {
		return fmt.Errorf("%s is %s, not %s: %s", path, got, status, body)
	}
	for _, w := range words {
		if !strings.Contains(body, w) {
			return fmt.Errorf("%s does not say %q: %s", path, w, body)
		}
	}
	return nil
}

// metric wants a line of the registry's metrics.
func metric(line string) error {
	_, body, err := asked("/metrics")
	if err == nil && !strings.Contains(body, "\n"+line+"\n") {
		name, _, _ := strings.Cut(line, " ")
		for _, l := range strings.Split(body, "\n") {
			if strings.HasPrefix(l, name+" ") {
				return fmt.Errorf("%s, not %s", l, line)
			}
		}
		err = fmt.Errorf("no %s", name)
	}
	return err
}

// logged wants a line with all these words in the registry's log.
func logged(t *testing.T, words ...string) error {
	t.Helper()
	log := f.K(t, "logs", "-n", f.Namespace, "kube-pprof-registry-0")
lines:
	for _, line := range strings.Split(log, "\n") {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		return nil
	}
	return fmt.Errorf("the log does not say %q", words)
}
