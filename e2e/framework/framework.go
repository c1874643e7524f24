// Package framework is what the cluster tests share: a cluster with kube-pprof installed, kubectl and helm as a person would use
// them, and waits with bounds. See docs/testing.md.
//
// Environment: KUBECONFIG: use that cluster (then KP_E2E_IMAGE and KP_E2E_WORKLOAD_IMAGE name images it can pull). KP_E2E_CLUSTER: a
// running cluster of kp-cluster. KP_E2E_IMAGE_FILE: an image archive from tools/image. Without any a cluster is made for the package
// and tools/image is run.
package framework

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kube-pprof.dev/e2e/harness"
)

// Namespace of the installed product.
const Namespace = "kube-pprof"

const productImage = "local.test/kube-pprof:e2e"

var env struct {
	own  *harness.Cluster // nil: a cluster given by KUBECONFIG
	skip string           // why there is none
	down func()
}

// Root is the repository's folder.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// BeforeInstall, if it is set, is called by Run before the chart is installed.
var BeforeInstall func() error

// IPv6, if it is set, makes Run bring up a cluster of its own whose nodes and pods have IPv6 addresses as well, whatever else is there.
var IPv6 bool

// WithoutInstall: Run leaves it to the tests of the package to install.
var WithoutInstall bool

// Run finds or makes the cluster, installs kube-pprof and runs the tests of a package: func TestMain(m) { framework.Run(m) }.
// helmValues are further --set arguments.
func Run(m *testing.M, helmValues ...string) {
	code := 1
	defer func() { os.Exit(code) }()
	if err := connect(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot make a cluster:", err)
		return
	}
	defer env.down()
	if env.skip == "" && !WithoutInstall {
		if err := install(helmValues); err != nil {
			fmt.Fprintln(os.Stderr, "cannot install kube-pprof:", err)
			dump()
			return
		}
	}
	code = m.Run()
}

func connect() (err error) {
	env.down = func() {}
	if name := os.Getenv("KP_E2E_CLUSTER"); name != "" && !IPv6 {
		if env.own, err = harness.Open(name); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		return env.own.Recover(ctx) // from what the package before did to it
	}
	if os.Getenv("KUBECONFIG") != "" {
		if IPv6 {
			env.skip = "KUBECONFIG names a cluster, and this needs one of its own"
		}
		return nil
	}
	if os.Geteuid() != 0 {
		env.skip = "no KUBECONFIG and not root: a cluster cannot be made here"
		return nil
	}
	dir, err := os.MkdirTemp("", "kp-e2e-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "kp-cluster")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./cmd/kp-cluster")
	build.Dir = filepath.Join(Root(), "e2e")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build kp-cluster: %w: %s", err, out)
	}
	name := fmt.Sprintf("kpt%d", os.Getpid())
	up := exec.Command(program, "up", "--name", name, "--nodes", "2", "--owner", fmt.Sprint(os.Getpid()))
	if IPv6 {
		up.Args = append(up.Args, "--ipv6")
	}
	up.Stdout, up.Stderr = os.Stderr, os.Stderr
	if err := up.Run(); err != nil {
		return err
	}
	env.down = func() { _ = harness.Down(name) }
	env.own, err = harness.Open(name)
	return err
}

// imageRef splits the product's image into repository and tag for the chart.
func imageRef() (repository, tag string) {
	ref := productImage
	if given := os.Getenv("KP_E2E_IMAGE"); given != "" {
		ref = given
	}
	i := strings.LastIndex(ref, ":")
	return ref[:i], ref[i+1:]
}

// loadProduct brings the product's image to the nodes of our own cluster, once per cluster and archive.
func loadProduct() error {
	if env.own == nil {
		return nil
	}
	archive := os.Getenv("KP_E2E_IMAGE_FILE")
	if archive == "" {
		archive = filepath.Join(env.own.Dir, "product.tar")
		out, err := exec.Command(filepath.Join(Root(), "tools/image"), "-t", productImage, "-o", archive).CombinedOutput()
		if err != nil {
			return fmt.Errorf("tools/image: %w: %s", err, out)
		}
	}
	st, err := os.Stat(archive)
	if err != nil {
		return err
	}
	marker, stamp := filepath.Join(env.own.Dir, "product.loaded"), st.ModTime().String()
	if have, _ := os.ReadFile(marker); string(have) == stamp {
		return nil
	}
	if err := env.own.Load(context.Background(), archive); err != nil {
		return err
	}
	return os.WriteFile(marker, []byte(stamp), 0o644)
}

func makeNamespace() error {
	if _, err := Kubectl("get", "namespace", Namespace); err == nil {
		return nil
	}
	_, err := KubectlIn(fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q,
		"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`, Namespace), "create", "-f", "-")
	return err
}

func install(values []string) error {
	if BeforeInstall != nil {
		if err := makeNamespace(); err != nil {
			return err
		}
		if err := BeforeInstall(); err != nil {
			return err
		}
	}
	return Install(values...)
}

// Install installs or upgrades the chart from the checkout, as a person would, and waits until it is up.
func Install(values ...string) error {
	return InstallChart(filepath.Join(Root(), "charts/kube-pprof"), nil, values...)
}

// InstallChart does so with some chart and further flags of helm upgrade.
func InstallChart(chart string, flags []string, values ...string) error {
	if err := loadProduct(); err != nil {
		return err
	}
	if err := makeNamespace(); err != nil {
		return err
	}
	repository, tag := imageRef()
	args := []string{"upgrade", "--install", "kube-pprof", chart, "-n", Namespace, "--wait", "--timeout", "180s",
		"--set", "image.repository=" + repository, "--set-string", "image.tag=" + tag,
		"--set", "controller.logLevel=debug"}
	for _, v := range values {
		args = append(args, "--set", v)
	}
	if _, err := Helm(append(args, flags...)...); err != nil {
		return err
	}
	return untilShown()
}

// untilShown waits until the registry can be reached by its Service, and the controller has told it how old the namespaces are.
// Which certificate it shows meanwhile is the matter of who changed it.
func untilShown() error {
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		_, err := Raw("/api/v1/profiles?limit=1&namespace=default")
		if err == nil || time.Now().After(end) {
			return err
		}
		if !regexp.MustCompile(`curl: \((7|28|35|52|56)\)|how old the namespaces are`).MatchString(err.Error()) {
			return nil
		}
	}
}

// NeedCluster skips the test if there is none.
func NeedCluster(t *testing.T) {
	t.Helper()
	if env.skip != "" {
		t.Skip(env.skip)
	}
}

// NeedOwn skips what reaches into nodes and the control plane when the cluster is somebody else's.
func NeedOwn(t *testing.T) *harness.Cluster {
	t.Helper()
	NeedCluster(t)
	if env.own == nil {
		t.Skip("this test kills processes on nodes: it runs on a cluster of its own only (KUBECONFIG is set)")
	}
	return env.own
}

// NeedNodes are the names of the cluster's nodes, Ready all; the test is skipped if there are fewer than n.
func NeedNodes(t *testing.T, n int) []string {
	t.Helper()
	NeedCluster(t)
	nodes := strings.Fields(K(t, "get", "nodes", "-o",
		`go-template={{range .items}}{{$name := .metadata.name}}{{range .status.conditions}}{{if and (eq .type "Ready") (eq .status "True")}}{{$name}} {{end}}{{end}}{{end}}`))
	if len(nodes) < n {
		t.Skipf("the cluster has %d nodes that are Ready, this needs %d: kp-cluster up --nodes %d", len(nodes), n, n)
	}
	return nodes
}

// Command is a command that sees the cluster: kubectl, helm, or anything that reads KUBECONFIG.
func Command(ctx context.Context, args ...string) *exec.Cmd {
	if env.own == nil {
		return exec.CommandContext(ctx, args[0], args[1:]...)
	}
	argv := env.own.Net(args...)
	// nsenter finds the program by its own PATH
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env.own.Env()...)
	return cmd
}

func run(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := Command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s%s", strings.Join(args, " "), err, errs.String(), tail(out.String(), 2000))
	}
	return out.String(), nil
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// Kubectl runs kubectl and returns what it printed.
func Kubectl(args ...string) (string, error) { return run("", append([]string{"kubectl"}, args...)...) }

// KubectlIn runs kubectl with something on its standard input.
func KubectlIn(stdin string, args ...string) (string, error) {
	return run(stdin, append([]string{"kubectl"}, args...)...)
}

// Helm runs helm.
func Helm(args ...string) (string, error) { return run("", append([]string{"helm"}, args...)...) }

// K runs kubectl; a failure ends the test.
func K(t *testing.T, args ...string) string {
	t.Helper()
	out, err := Kubectl(args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// Apply applies manifests in a namespace ("" for cluster-scoped ones).
func Apply(t *testing.T, ns, manifests string) {
	t.Helper()
	args := []string{"apply", "-f", "-"}
	if ns != "" {
		args = append(args, "-n", ns)
	}
	if image := os.Getenv("KP_E2E_WORKLOAD_IMAGE"); image != "" {
		manifests = strings.ReplaceAll(manifests, harness.AppImage, image)
	}
	if out, err := KubectlIn(manifests, args...); err != nil {
		t.Fatal(err, out)
	}
}

// Workload is one of the manifests in e2e/workloads.
func Workload(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(Root(), "e2e/workloads", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var counter atomic.Int32

// NewNamespace makes a namespace for one test and removes it afterwards.
func NewNamespace(t *testing.T) string {
	t.Helper()
	NeedCluster(t)
	ns := fmt.Sprintf("e2e-%d-%d", os.Getpid()%10000, counter.Add(1))
	K(t, "create", "namespace", ns)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(Describe(ns))
		}
		if _, err := Kubectl("delete", "namespace", ns, "--wait=false"); err != nil {
			t.Log(err)
		}
		// pods of an earlier test would take part in budgets and captures of the next
		if _, err := Kubectl("delete", "pods,deployments", "--all", "-n", ns, "--grace-period=0", "--force", "--wait=false"); err != nil {
			t.Log(err)
		}
	})
	return ns
}

// Describe is what a person would look at after a failure.
func Describe(ns string) string {
	var out strings.Builder
	for _, args := range [][]string{
		{"get", "pods,profilingpolicies", "-n", ns, "-o", "wide"}, {"get", "profilingpolicies", "-n", ns, "-o", "yaml"},
		{"get", "events", "-n", ns}, {"get", "pods", "-n", Namespace, "-o", "wide"},
		{"logs", "-n", Namespace, "deploy/kube-pprof-controller", "--tail=3000"}, {"logs", "-n", Namespace, "sts/kube-pprof-registry", "--tail=3000"},
	} {
		text, err := Kubectl(args...)
		if args[0] == "logs" {
			text = notable(text, 60)
		}
		fmt.Fprintf(&out, "$ kubectl %s\n%s", strings.Join(args, " "), text)
		if err != nil {
			fmt.Fprintln(&out, err)
		}
	}
	return out.String()
}

// notable are the last lines of a log, and of those before as many that are not of level debug or of a request.
func notable(log string, n int) string {
	lines := strings.SplitAfter(log, "\n")
	end := max(0, len(lines)-n/2)
	var before []string
	for _, line := range lines[:end] {
		if !strings.Contains(line, `"level":"debug"`) && !strings.Contains(line, `"msg":"audit"`) {
			before = append(before, line)
		}
	}
	return strings.Join(append(before[max(0, len(before)-n/2):], lines[end:]...), "")
}

func dump() {
	fmt.Fprintln(os.Stderr, Describe(Namespace))
	out, _ := Kubectl("describe", "pods", "-n", Namespace)
	fmt.Fprintln(os.Stderr, tail(out, 6000))
	out, _ = Kubectl("logs", "-n", Namespace, "deploy/kube-pprof-controller", "--previous", "--tail=40")
	fmt.Fprintln(os.Stderr, out)
	out, _ = Kubectl("logs", "-n", Namespace, "sts/kube-pprof-registry", "--previous", "--tail=40")
	fmt.Fprintln(os.Stderr, out)
}

// Slack is for bounds of a few seconds: kubectl alone takes a second on a machine that is busy with other things, and so does all of
// Kubernetes. What it took is logged.
const Slack = 5 * time.Second

// Within calls check until it returns nil; past the limit the test ends. It returns the time it took.
func Within(t *testing.T, limit time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		err := check()
		took := time.Since(began)
		if err == nil {
			t.Logf("%s: after %.1f s (bound %s)", what, took.Seconds(), limit)
			return took
		}
		if took > limit {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Rollout waits for a workload to be available.
func Rollout(t *testing.T, ns, what string) {
	t.Helper()
	K(t, "rollout", "status", what, "-n", ns, "--timeout=180s")
}

// Host runs a command of this machine.
func Host(ctx context.Context, argv []string) (string, error) {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return string(out), nil
}
