package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"kube-pprof.dev/e2e/oci"
)

// Versions of what is built. Kubernetes' own is the one in go.mod.
const (
	KubernetesVersion = "v1.36.3"
	HelmVersion       = "v3.22.0" // unless KP_E2E_HELM names another
	CoreDNSVersion    = "v1.15.0"
	PrometheusVersion = "v0.316.0" // v3.x of the program
	OperatorVersion   = "v0.93.0"  // of the Prometheus operator: only its CRDs
)

// Images that every node gets.
const (
	PauseImage = "local.test/pause:1"
	AppImage   = "local.test/workload:1"
)

// Tools are the paths of everything the harness runs. All lie in the cache, keyed by version.
type Tools struct {
	Cache   string // root of the cache
	K8s     string // folder of etcd, kube-*, kubelet, kubectl
	Helm    string
	CoreDNS string
	Prom    string // folder of prometheus and promtool; with extra
	Debian  string // root of unpacked Debian packages: containerd, runc, CNI plugins, nftables
	Pause   string // static program: PID 1 of boxes and pod sandboxes
	Images  string // folder of image archives
}

// CacheDir is where binaries live: KUBE_PPROF_CACHE, or kube-pprof in the user's cache.
func CacheDir() string {
	if dir := os.Getenv("KUBE_PPROF_CACHE"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "kube-pprof")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/root"
	}
	return filepath.Join(home, ".cache", "kube-pprof")
}

func helmVersion() string {
	if v := os.Getenv("KP_E2E_HELM"); v != "" {
		return v
	}
	return HelmVersion
}

// FindTools names the paths without building anything.
func FindTools() *Tools {
	c := CacheDir()
	return &Tools{
		Cache:   c,
		K8s:     filepath.Join(c, "kubernetes-"+KubernetesVersion),
		Helm:    filepath.Join(c, "helm-"+helmVersion(), "helm"),
		CoreDNS: filepath.Join(c, "coredns-"+CoreDNSVersion, "coredns"),
		Prom:    filepath.Join(c, "prometheus-"+PrometheusVersion),
		Debian:  filepath.Join(c, "debian-"+codename()),
		Pause:   filepath.Join(c, "pause", "pause"),
		Images:  filepath.Join(c, "images"),
	}
}

// ImageFile is the archive of one of the sample images: pause, workload, coredns, prometheus.
func (t *Tools) ImageFile(name string) string { return filepath.Join(t.Images, name+".tar") }

// ContainerdBin is the folder of containerd, its shim and ctr.
func (t *Tools) ContainerdBin() string { return filepath.Join(t.Debian, "usr/bin") }

func codename() string {
	data, _ := os.ReadFile("/etc/os-release")
	for _, line := range strings.Split(string(data), "\n") {
		if v, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return "unknown"
}

// sourceDir is the folder of e2e/go.mod.
func sourceDir() (string, error) {
	if dir := os.Getenv("KUBE_PPROF_E2E"); dir != "" {
		return dir, nil
	}
	_, file, _, ok := runtime.Caller(0)
	dir := filepath.Dir(filepath.Dir(file))
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); !ok || err != nil {
		return "", fmt.Errorf("cannot find the e2e folder of the source: set KUBE_PPROF_E2E")
	}
	return dir, nil
}

type builder struct {
	ctx context.Context
	t   *Tools
	src string
	say func(format string, a ...any)
}

// Build makes what is missing: about 6 minutes on 2 cores the first time, then well under a second. Two builds at a time wait for
// each other. With extra the images of programs nobody here wrote (CoreDNS, Prometheus) are made too, and promtool.
func Build(ctx context.Context, extra bool, say func(format string, a ...any)) (*Tools, error) {
	t := FindTools()
	src, err := sourceDir()
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{t.K8s, filepath.Dir(t.Helm), filepath.Dir(t.CoreDNS), filepath.Dir(t.Pause), t.Images} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	unlock, err := lockFile(filepath.Join(t.Cache, "build.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	b := &builder{ctx: ctx, t: t, src: src, say: say}
	steps := []func() error{b.kubernetes, b.coredns, b.debian, b.pause, b.workload}
	if extra {
		steps = append(steps, b.corednsImage, b.prometheusImage, b.promtool)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// lockFile takes an exclusive lock, waiting for it. The kernel frees it when the process ends, however it ends.
func lockFile(name string) (func(), error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

func exists(name string) bool { _, err := os.Stat(name); return err == nil }

// newer says whether out exists and is newer than all of in.
func newer(out string, in ...string) bool {
	o, err := os.Stat(out)
	if err != nil {
		return false
	}
	for _, name := range in {
		if st, err := os.Stat(name); err != nil || st.ModTime().After(o.ModTime()) {
			return false
		}
	}
	return true
}

func (b *builder) run(dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	// the group is killed as a whole: go build has children
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		if len(out) > 3000 {
			out = out[len(out)-3000:]
		}
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// goBuild builds pkg of the module in dir to out (beside it first, so that a broken build leaves nothing).
func (b *builder) goBuild(dir, out, ldflags, pkg string) error {
	tmp := out + ".tmp"
	env := []string{"CGO_ENABLED=0", "GOFLAGS=-mod=mod -buildvcs=false"}
	if err := b.run(dir, env, "go", "build", "-trimpath", "-ldflags", ldflags, "-o", tmp, pkg); err != nil {
		return err
	}
	return os.Rename(tmp, out)
}

func (b *builder) kubernetes() error {
	// without these /version says v0.0.0-master, which helm and kubectl refuse
	ld, minor := "-s -w", strings.Split(KubernetesVersion, ".")[1]
	for _, p := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		ld += fmt.Sprintf(" -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=1 -X %[1]s.gitMinor=%[3]s -X %[1]s.gitTreeState=clean"+
			" -X %[1]s.buildDate=2026-01-01T00:00:00Z", p, KubernetesVersion, minor)
	}
	for _, c := range []struct{ name, pkg string }{
		{"etcd", "go.etcd.io/etcd/server/v3"},
		{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
		{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
		{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"},
		{"kubelet", "k8s.io/kubernetes/cmd/kubelet"},
		{"kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"},
		{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
	} {
		out := filepath.Join(b.t.K8s, c.name)
		if exists(out) {
			continue
		}
		b.say("building %s %s", c.name, KubernetesVersion)
		if err := b.goBuild(b.src, out, ld, c.pkg); err != nil {
			return err
		}
	}
	version := helmVersion()
	major, _, _ := strings.Cut(version, ".")
	return b.goInstall(b.t.Helm, "helm.sh/helm/"+major+"/cmd/helm@"+version, "")
}

// goInstall builds a program of a module of its own, with the versions that module names.
func (b *builder) goInstall(out, pkg, tags string) error {
	if exists(out) {
		return nil
	}
	b.say("building %s", pkg)
	tmp := filepath.Join(filepath.Dir(out), "tmp")
	env := []string{"CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOBIN=" + tmp}
	args := []string{"install", "-trimpath", "-ldflags", "-s -w"}
	if tags != "" {
		args = append(args, "-tags", tags)
	}
	if err := b.run("/", env, "go", append(args, pkg)...); err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	return os.Rename(filepath.Join(tmp, filepath.Base(out)), out)
}

func (b *builder) coredns() error {
	return b.goInstall(b.t.CoreDNS, "github.com/coredns/coredns@"+CoreDNSVersion, "")
}

// What Debian has ready-made is unpacked into the cache; nothing is installed on the machine.
func (b *builder) debian() error {
	done := filepath.Join(b.t.Debian, ".done")
	if exists(done) {
		return nil
	}
	b.say("fetching containerd, runc, CNI plugins, nftables")
	tmp := b.t.Debian + ".tmp"
	os.RemoveAll(tmp)
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	packages := []string{"download", "-qq", "containerd", "runc", "containernetworking-plugins", "nftables", "libnftables1", "libnftnl11", "libmnl0",
		"libxtables12", "libedit2", "libjansson4", "libgmp10", "libbsd0", "libmd0"}
	if err := b.run(tmp, nil, "apt-get", packages...); err != nil {
		// no package lists yet
		if err := b.run(tmp, nil, "apt-get", "update", "-qq"); err != nil {
			return err
		}
		if err := b.run(tmp, nil, "apt-get", packages...); err != nil {
			return err
		}
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range debs {
		if err := b.run(tmp, nil, "dpkg", "-x", deb, b.t.Debian); err != nil {
			return err
		}
	}
	return os.WriteFile(done, nil, 0o644)
}

func (b *builder) pause() error {
	src := filepath.Join(b.src, "harness/pause/pause.c")
	if !newer(b.t.Pause, src) {
		if err := b.run("/", nil, "gcc", "-O2", "-static", "-s", "-o", b.t.Pause, src); err != nil {
			return err
		}
	}
	tar := b.t.ImageFile("pause")
	if newer(tar, b.t.Pause) {
		return nil
	}
	im := oci.New(PauseImage, "/pause")
	im.User = "65535:65535"
	if err := im.Add(b.t.Pause, "/pause"); err != nil {
		return err
	}
	_, err := im.Write(tar)
	return err
}

// The sample workload is ours: always asked for, the Go tool knows whether there is something to do.
func (b *builder) workload() error {
	bin, tar := filepath.Join(b.t.Images, "workload"), b.t.ImageFile("workload")
	env := []string{"CGO_ENABLED=0", "GOFLAGS=-mod=mod -buildvcs=false"}
	if err := b.run(b.src, env, "go", "build", "-trimpath", "-o", bin, "./workloads/app"); err != nil {
		return err
	}
	if newer(tar, bin) {
		return nil
	}
	im := oci.New(AppImage, "/app")
	if err := im.Add(bin, "/app"); err != nil {
		return err
	}
	_, err := im.Write(tar)
	return err
}

func (b *builder) corednsImage() error {
	tar := b.t.ImageFile("coredns")
	if newer(tar, b.t.CoreDNS) {
		return nil
	}
	im := oci.New("local.test/coredns:1", "/coredns")
	if err := im.Add(b.t.CoreDNS, "/coredns"); err != nil {
		return err
	}
	_, err := im.Write(tar)
	return err
}

func (b *builder) prometheusImage() error {
	bin, tar := filepath.Join(b.t.Prom, "prometheus"), b.t.ImageFile("prometheus")
	if newer(tar, bin) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
		return err
	}
	// without the service discoveries of every cloud it builds in a third of the time
	if err := b.goInstall(bin, "github.com/prometheus/prometheus/cmd/prometheus@"+PrometheusVersion, "remove_all_sd,netgo"); err != nil {
		return err
	}
	im := oci.New("local.test/prometheus:1", "/prometheus")
	if err := im.Add(bin, "/prometheus"); err != nil {
		return err
	}
	_, err := im.Write(tar)
	return err
}

func (b *builder) promtool() error {
	return b.goInstall(filepath.Join(b.t.Prom, "promtool"), "github.com/prometheus/prometheus/cmd/promtool@"+PrometheusVersion, "remove_all_sd,netgo")
}

// OperatorCRD is the text of one of the Prometheus operator's CRDs, by its plural name, from its Go module.
func OperatorCRD(ctx context.Context, plural string) ([]byte, error) {
	const module = "github.com/prometheus-operator/prometheus-operator"
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+OperatorVersion)
	cmd.Dir = "/"
	out, err := cmd.Output()
	var found struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &found); err != nil || jsonErr != nil {
		return nil, fmt.Errorf("%s: %w: %s", module, errors.Join(err, jsonErr), found.Error)
	}
	return os.ReadFile(filepath.Join(found.Dir, "example/prometheus-operator-crd/monitoring.coreos.com_"+plural+".yaml"))
}
