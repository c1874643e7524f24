// Package harness brings up a real Kubernetes on one machine: etcd, API server, controller-manager, scheduler, kube-proxy, CoreDNS, and
// nodes with containerd and kubelet, each in namespaces of its own, pods with addresses of their own. It needs root on Linux and
// leaves nothing behind. docs/testing.md tells why it is built so.
package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

const (
	controlPlaneIP = "10.77.0.1" // API server on 443, cluster DNS on 53
	serviceIP      = "10.96.0.1"
	serviceCIDR    = "10.96.0.0/16"
	podCIDR        = "10.244.0.0/16" // node N has 10.244.N.0/24
	// with Options.IPv6 everything has an address of each family
	controlPlaneIP6   = "fd77::1"
	serviceCIDR6      = "fd77:96::/112"
	podCIDR6          = "fd77:244::/32" // node N has fd77:244:N::/64
	persistentVolumes = 4               // per node: folders served as PersistentVolumes of the class "standard"
)

func nodeIP(n int) string { return fmt.Sprintf("10.77.0.%d", 10+n) }

func nodeIP6(n int) string { return fmt.Sprintf("fd77::%d", 10+n) }

func nodePods6(n int) string { return fmt.Sprintf("fd77:244:%d::/64", n) }

// Options of a new cluster.
type Options struct {
	Name  string // also the prefix of its boxes
	Nodes int
	IPv6  bool // nodes, pods and services have an IPv6 address as well, which comes first on all nodes but the first
	Say   func(format string, a ...any)
}

// Cluster is one that runs, or did.
type Cluster struct {
	Name  string
	Dir   string // everything made at run time
	Tools *Tools
	cp    *box
	nodes []*box
	ipv6  bool // while it is brought up
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}$`)

func runDir(name string) string { return filepath.Join(CacheDir(), "run", name) }

// lockRun serialises up and down of one name. The lock file stays: removing it would let two in.
func lockRun(name string) (func(), error) {
	dir := filepath.Join(CacheDir(), "locks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return lockFile(filepath.Join(dir, name))
}

// Kubeconfig is the administrator's; it works in the control plane's network only (see Net).
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.Dir, "pki", "admin.kubeconfig") }

// Nodes are the node names.
func (c *Cluster) Nodes() []string {
	names := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		names[i] = n.name
	}
	return names
}

// APIAddress is where the API server listens; see Dial.
func (c *Cluster) APIAddress() string { return net.JoinHostPort(controlPlaneIP, "443") }

// PKI is a file of the control plane's certificates and keys: ca.crt, admin.key, front-proxy.crt, sa.key ...
func (c *Cluster) PKI(name string) string { return filepath.Join(c.Dir, "pki", name) }

// Env is what kubectl and helm need in their environment: the administrator's kubeconfig, our programs first, caches of their own.
func (c *Cluster) Env() []string {
	home := filepath.Join(c.Dir, "home")
	path := strings.Join([]string{c.Tools.K8s, filepath.Dir(c.Tools.Helm), os.Getenv("PATH")}, ":")
	return []string{"KUBECONFIG=" + c.Kubeconfig(), "PATH=" + path, "KUBECACHEDIR=" + home + "/kube", "HELM_CACHE_HOME=" + home + "/helm/cache",
		"HELM_CONFIG_HOME=" + home + "/helm/config", "HELM_DATA_HOME=" + home + "/helm/data"}
}

// Net is the argv that runs something in the control plane's network, from where API server, nodes and pods are reachable.
func (c *Cluster) Net(args ...string) []string { return c.cp.enterNet(args...) }

// Node is the argv that runs something in all namespaces of a node (or of the control plane: box 0).
func (c *Cluster) Node(name string, args ...string) ([]string, error) {
	b, err := c.box(name)
	if err != nil {
		return nil, err
	}
	return b.enter(args...), nil
}

func (c *Cluster) box(name string) (*box, error) {
	for _, b := range append([]*box{c.cp}, c.nodes...) {
		if b.name == name || (name == "0" && b == c.cp) {
			return b, nil
		}
	}
	return nil, fmt.Errorf("cluster '%s' has no box '%s'", c.Name, name)
}

// Stop ends a component (etcd, apiserver, kcm, scheduler, coredns in box "0"; containerd, kubelet, proxy in a node) by a signal.
func (c *Cluster) Stop(ctx context.Context, where, name, signal string) error {
	b, err := c.box(where)
	if err != nil {
		return err
	}
	return b.stop(ctx, name, signal)
}

// Start starts a stopped component with the command it had.
func (c *Cluster) Start(ctx context.Context, where, name string) error {
	b, err := c.box(where)
	if err != nil {
		return err
	}
	if err := c.disturb(name); err != nil {
		return err
	}
	return b.start(ctx, name)
}

func (c *Cluster) disturbed() string { return filepath.Join(c.Dir, "disturbed") }

// disturb notes that a component is started anew on which others live.
func (c *Cluster) disturb(name string) error {
	if name != "apiserver" && name != "etcd" {
		return nil
	}
	return os.WriteFile(c.disturbed(), nil, 0o644)
}

// Recover begins anew what lives on watches, if the API server or etcd were started again since the last time. By themselves
// kube-proxy, the scheduler and the others come again later and later, and what one of them missed meanwhile was seen to stay
// missed for minutes: a Service without a way to its pod, a pod without a node.
func (c *Cluster) Recover(ctx context.Context) error {
	if _, err := os.Stat(c.disturbed()); err != nil {
		return nil
	}
	api, err := c.api()
	if err != nil {
		return err
	}
	if err := wait(ctx, 60*time.Second, "API server to be ready", func() error { return api.get(ctx, "/readyz", nil) }); err != nil {
		return err
	}
	err = c.RestartClients(ctx)
	for _, n := range c.nodes {
		err = errors.Join(err, wait(ctx, 60*time.Second, "node "+n.name+" to be Ready", func() error { return api.nodeReady(ctx, n.name) }))
	}
	return errors.Join(err, os.Remove(c.disturbed()))
}

// RestartClients starts anew everything that talks to the API server: what it read of files is read again. The kubelets come last:
// what they find changed when they start is in the pods at once, what changes later is there after a minute or more.
func (c *Cluster) RestartClients(ctx context.Context) (err error) {
	for _, name := range []string{"kcm", "scheduler", "coredns"} {
		err = errors.Join(err, c.cp.restart(ctx, name))
	}
	err = errors.Join(err, wait(ctx, 60*time.Second, "ca.crt to be published", func() error { return c.published(ctx) }))
	for _, n := range c.nodes {
		err = errors.Join(err, n.restart(ctx, "kubelet"), n.restart(ctx, "proxy"))
	}
	return err
}

// published is whether the controller manager has told every namespace of ca.crt as it is.
func (c *Cluster) published(ctx context.Context) error {
	var told struct {
		Items []struct {
			Metadata struct{ Namespace string }
			Data     map[string]string
		}
	}
	api, err := c.api()
	if err != nil {
		return err
	}
	if err := api.get(ctx, "/api/v1/configmaps?fieldSelector=metadata.name%3Dkube-root-ca.crt", &told); err != nil {
		return err
	}
	ca, err := os.ReadFile(c.PKI("ca.crt"))
	if err != nil {
		return err
	}
	for _, item := range told.Items {
		if item.Data["ca.crt"] != string(ca) {
			return fmt.Errorf("namespace %s has another one", item.Metadata.Namespace)
		}
	}
	return nil
}

// Revive starts a component that does not run.
func (c *Cluster) Revive(ctx context.Context, where, name string) error {
	b, err := c.box(where)
	if err != nil {
		return err
	}
	if _, err := b.run(ctx, "sh", "-c", `kill -0 $(cat "$1.pid")`, "sh", filepath.Join(b.dir, name)); err == nil {
		return nil
	}
	return c.Start(ctx, where, name)
}

// StartWith starts a stopped component with the command it had and further flags, this once.
func (c *Cluster) StartWith(ctx context.Context, where, name string, flags ...string) error {
	b, err := c.box(where)
	if err != nil {
		return err
	}
	if err := c.disturb(name); err != nil {
		return err
	}
	return b.startWith(ctx, name, flags...)
}

// Load imports an image archive on every node.
func (c *Cluster) Load(ctx context.Context, archive string) error {
	abs, err := filepath.Abs(archive)
	if err != nil {
		return err
	}
	errs := make(chan error)
	for _, n := range c.nodes {
		go func() {
			_, err := n.run(ctx, filepath.Join(c.Tools.ContainerdBin(), "ctr"), "-n", "k8s.io", "images", "import", abs)
			errs <- err
		}()
	}
	for range c.nodes {
		err = errors.Join(err, <-errs)
	}
	return err
}

// StaticPod gives a node's kubelet a pod of its own, as kubeadm does with the control plane: it appears in the API as NAME-NODE and
// stays until remove is called.
func (c *Cluster) StaticPod(node, name, manifest string) (remove func() error, err error) {
	b, err := c.box(node)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(b.dir, "static", name+".yaml")
	return func() error { return os.Remove(file) }, os.WriteFile(file, []byte(manifest), 0o600)
}

// Open finds a running cluster.
func Open(name string) (*Cluster, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("bad cluster name '%s': letters, digits and dashes, at most 20", name)
	}
	c := &Cluster{Name: name, Dir: runDir(name), Tools: FindTools()}
	dirs, err := boxDirs(c.Dir)
	if err != nil || len(dirs) == 0 {
		return nil, fmt.Errorf("no cluster '%s' is running", name)
	}
	for _, dir := range dirs {
		b, err := openBox(dir)
		if err != nil {
			return nil, fmt.Errorf("cluster '%s' is not whole: %w", name, err)
		}
		if c.cp == nil {
			c.cp = b
		} else {
			c.nodes = append(c.nodes, b)
		}
	}
	return c, nil
}

// boxDirs lists the box folders of a run, control plane first.
func boxDirs(dir string) ([]string, error) {
	dirs, err := filepath.Glob(filepath.Join(dir, filepath.Base(dir)+"-[0-9]*"))
	index := func(d string) int { n, _ := strconv.Atoi(d[strings.LastIndex(d, "-")+1:]); return n }
	sort.Slice(dirs, func(i, j int) bool { return index(dirs[i]) < index(dirs[j]) })
	return dirs, err
}

// List names the runs there are, whole or not.
func List() []string {
	entries, _ := os.ReadDir(filepath.Join(CacheDir(), "run"))
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// Down ends a cluster, or what a run that was killed has left, and removes all traces.
func Down(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("bad cluster name '%s'", name)
	}
	dir := runDir(name)
	if !exists(dir) {
		return nil
	}
	unlock, err := lockRun(name)
	if err != nil {
		return err
	}
	defer unlock()
	return down(dir)
}

func down(dir string) error {
	dirs, err := boxDirs(dir)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if b, err := openBox(d); err == nil {
			if err := b.kill(); err != nil {
				return err
			}
		}
	}
	for _, d := range dirs {
		removeCgroups(filepath.Base(d))
	}
	// nothing is mounted below any more: the mounts were the boxes' own
	return os.RemoveAll(dir)
}

// Up builds what is missing and starts a cluster. One of the same name that nobody owns is removed first.
func Up(ctx context.Context, o Options) (c *Cluster, err error) {
	if !validName.MatchString(o.Name) {
		return nil, fmt.Errorf("bad cluster name '%s': letters, digits and dashes, at most 20", o.Name)
	}
	if o.Nodes < 0 || o.Nodes > 9 { // none: a control plane alone
		return nil, fmt.Errorf("%d nodes: 0 to 9 are possible", o.Nodes)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("a cluster needs root: namespaces, cgroups and mounts are made")
	}
	tools, err := Build(ctx, false, o.Say)
	if err != nil {
		return nil, err
	}
	dir := runDir(o.Name)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	unlock, err := lockRun(o.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if exists(dir) {
		o.Say("removing an earlier cluster '%s'", o.Name)
		if err := down(dir); err != nil {
			return nil, err
		}
	}
	c = &Cluster{Name: o.Name, Dir: dir, Tools: tools, ipv6: o.IPv6}
	defer func() {
		if err != nil {
			if ctx.Err() == nil {
				err = fmt.Errorf("%w%s", err, c.logTails())
			}
			err = errors.Join(err, down(dir))
		}
	}()
	return c, c.up(ctx, o)
}

func (c *Cluster) up(ctx context.Context, o Options) error {
	began := time.Now()
	step := func(what string) { o.Say("%5.1f s  %s", time.Since(began).Seconds(), what) }
	if err := errors.Join(os.MkdirAll(filepath.Join(c.Dir, "pki"), 0o700), os.MkdirAll(filepath.Join(c.Dir, "home"), 0o755)); err != nil {
		return err
	}
	names := make([]string, o.Nodes)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", o.Name, i+1)
	}
	if err := certificates(filepath.Join(c.Dir, "pki"), names); err != nil {
		return err
	}
	if err := c.startControlPlaneBox(ctx); err != nil {
		return err
	}
	for i, name := range names {
		if err := c.startNodeBox(ctx, name, i+1); err != nil {
			return err
		}
	}
	if err := c.startAPI(ctx); err != nil {
		return err
	}
	step("boxes, containerd, etcd and API server started")
	for _, image := range []string{"pause", "workload"} {
		if err := c.waitContainerd(ctx); err != nil {
			return err
		}
		if err := c.Load(ctx, c.Tools.ImageFile(image)); err != nil {
			return err
		}
	}
	api, err := c.api()
	if err != nil {
		return err
	}
	if err := wait(ctx, 60*time.Second, "API server to be ready", func() error { return api.get(ctx, "/readyz", nil) }); err != nil {
		return err
	}
	step("API server ready")
	if err := c.startRest(ctx); err != nil {
		return err
	}
	for _, n := range c.nodes {
		if err := wait(ctx, 60*time.Second, "node "+n.name+" to be Ready", func() error { return api.nodeReady(ctx, n.name) }); err != nil {
			return err
		}
	}
	if err := c.storage(ctx, api); err != nil {
		return err
	}
	err = wait(ctx, 30*time.Second, "the default ServiceAccount", func() error {
		return api.get(ctx, "/api/v1/namespaces/default/serviceaccounts/default", nil)
	})
	step(fmt.Sprintf("%d node(s) Ready", len(c.nodes)))
	return err
}

// logTails is the last of every component's log, for a cluster that did not come up.
func (c *Cluster) logTails() string {
	var out strings.Builder
	logs, _ := filepath.Glob(filepath.Join(c.Dir, "*", "*.log"))
	for _, name := range logs {
		data, err := os.ReadFile(name)
		if err != nil || len(data) == 0 {
			continue
		}
		if len(data) > 1000 {
			data = data[len(data)-1000:]
		}
		fmt.Fprintf(&out, "\n--- %s\n%s", name, data)
	}
	return out.String()
}

// wait calls check until it returns nil, quickly at first.
func wait(ctx context.Context, limit time.Duration, what string, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for pause := 20 * time.Millisecond; ; pause = min(pause*3/2, 250*time.Millisecond) {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %s: %w", limit, what, err)
		case <-time.After(pause):
		}
	}
}
