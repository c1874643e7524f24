package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

// hot is the function every CPU profile of the sample program has to hold.
const hot = "checkout.hashOrders"

// user is somebody with a kubeconfig of their own.
type user struct{ name, token, config string }

type world struct {
	own       *harness.Cluster
	dir, path string // path: the folder with the plugin, as people have it
	ns, other string
	pods      []string // of the Deployment "ten"
	ids       []string // of stored CPU profiles of the service "ten"

	admin, view, forward, nothing *user
}

// pod is a sample program with arguments.
func pod(name, args, more string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, labels: {app: %[1]s}}
spec: %[2]s`, name, podSpec(args, more))
}

func podSpec(args, more string) string {
	volume := ""
	if strings.Contains(more, "volumeMounts") {
		volume = "volumes: [{name: tls, secret: {secretName: tls}}], "
	}
	return fmt.Sprintf(`{terminationGracePeriodSeconds: 1, automountServiceAccountToken: false, %[1]s
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}},
  containers: [{name: app, image: "local.test/workload:1", imagePullPolicy: IfNotPresent, args: [%[2]s],
    ports: [{name: pprof, containerPort: 6060}], resources: {requests: {cpu: 1m, memory: 8Mi}, limits: {memory: 128Mi}}, %[3]s
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}}]}
`, volume, args, more)
}

func workloads() string {
	mount := `volumeMounts: [{name: tls, mountPath: /tls}],`
	return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ten}
spec:
  replicas: 10
  selector: {matchLabels: {app: ten}}
  template:
    metadata: {labels: {app: ten}}
    spec: ` + podSpec(`-load, "10"`, `readinessProbe: {httpGet: {path: /healthz, port: 6060}, periodSeconds: 1},`) +
		pod("same", `-load, "5"`, "") +
		pod("local", `-load, "20", -listen, "127.0.0.1:6060"`, "") +
		pod("tls", `-load, "20", -cert, /tls/tls.crt, -key, /tls/tls.key`, mount) +
		pod("held", `-load, "3", -mode, held`, "") +
		pod("html", `-load, "1", -mode, html`, "")
}

// rights: what each user may in the namespace, beside the administrator.
func rights(ns string) string {
	account := func(name string) string {
		return fmt.Sprintf("---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: %s, namespace: %s}\n", name, ns)
	}
	role := func(name, kind, ref, rules string) string {
		out := fmt.Sprintf(`---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: %[1]s-%[3]s, namespace: %[4]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: %[2]s, name: %[3]s}
subjects: [{kind: ServiceAccount, name: %[1]s, namespace: %[4]s}]
`, name, kind, ref, ns)
		if rules != "" {
			out += fmt.Sprintf("---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: %s, namespace: %s}\nrules: %s\n", ref, ns, rules)
		}
		return out
	}
	return account("view") + account("forward") + account("nothing") +
		role("view", "ClusterRole", "view", "") +
		role("view", "Role", "proxy", `[{apiGroups: [""], resources: [pods/proxy], verbs: [get]}]`) +
		role("forward", "Role", "forward", `[{apiGroups: [""], resources: [pods], verbs: [get, list]}, {apiGroups: [""], resources: [pods/portforward], verbs: [get, create]}]`)
}

func build(t *testing.T) *world {
	t.Helper()
	w := &world{own: f.NeedOwn(t), dir: t.TempDir(), admin: &user{name: "admin"}}
	binary, err := f.Plugin()
	if err != nil {
		t.Fatal(err)
	}
	w.path = filepath.Join(w.dir, "bin")
	write(t, filepath.Join(w.path, "kubectl_complete-pprof"), "#!/bin/sh\nexec kubectl-pprof __complete \"$@\"\n", 0o755)
	if err := os.Symlink(binary, filepath.Join(w.path, "kubectl-pprof")); err != nil {
		t.Fatal(err)
	}
	w.ns, w.other = f.NewNamespace(t), f.NewNamespace(t)
	w.admin.config = w.own.Kubeconfig()
	tlsSecret(t, w)
	f.Apply(t, w.ns, workloads())
	f.Apply(t, w.other, pod("same", `-load, "5"`, ""))
	f.Apply(t, "", rights(w.ns))
	w.view, w.forward, w.nothing = w.user(t, "view"), w.user(t, "forward"), w.user(t, "nothing")
	f.Rollout(t, w.ns, "deploy/ten")
	f.K(t, "wait", "-n", w.ns, "--for=condition=Ready", "pod", "--all", "--timeout=60s")
	f.K(t, "wait", "-n", w.other, "--for=condition=Ready", "pod", "--all", "--timeout=60s")
	w.pods = f.Pods(t, w.ns, "app=ten")
	slices.Sort(w.pods)
	return w
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// kubeconfig is a user's, in JSON, which is YAML; cluster and auth are the insides of their objects.
func kubeconfig(cluster, auth, ns string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u","namespace":%q}}],
"clusters":[{"name":"c","cluster":{%s}}],"users":[{"name":"u","user":{%s}}]}`, ns, cluster, auth)
}

// server is the inside of a cluster that can be reached from its own network.
func (w *world) server() string {
	return fmt.Sprintf(`"server":"https://%s","certificate-authority":%q`, w.own.APIAddress(), w.own.PKI("ca.crt"))
}

func (w *world) user(t *testing.T, name string) *user {
	t.Helper()
	u := &user{name: name, token: f.K(t, "create", "token", name, "-n", w.ns, "--duration", "1h")}
	u.config = write(t, filepath.Join(w.dir, name+".kubeconfig"), kubeconfig(w.server(), fmt.Sprintf(`"token":%q`, u.token), w.ns), 0o600)
	return u
}

// ---- running it ----

// call is one run of the plugin.
type call struct {
	user  *user
	dir   string
	env   []string
	in    string
	limit time.Duration // beside Slack; 0: 3 s
	bare  bool          // in this machine's own network, from where nothing of the cluster is to be reached
}

type result struct {
	line, out, err string
	code           int
	took           time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("$ kubectl pprof %s\n%s%s(exit %d after %.1f s)", r.line, r.out, r.err, r.code, r.took.Seconds())
}

// command is `kubectl pprof ...` with the plugin on the PATH.
func (w *world) command(ctx context.Context, c call, args ...string) *exec.Cmd {
	argv := append([]string{"kubectl", "pprof"}, args...)
	env := append(os.Environ(), w.own.Env()...)
	var path string
	for _, e := range env {
		if rest, ok := strings.CutPrefix(e, "PATH="); ok {
			path = rest
		}
	}
	cmd := f.Command(ctx, argv...)
	if c.bare {
		cmd = exec.CommandContext(ctx, filepath.Join(w.own.Tools.K8s, "kubectl"), argv[1:]...)
	}
	cmd.Env = append(env, "PATH="+w.path+":"+path, "TERM=xterm-256color", "KUBE_PPROF_REGISTRY=", "HTTPS_PROXY=", "HTTP_PROXY=", "https_proxy=", "http_proxy=")
	if c.user != nil {
		cmd.Env = append(cmd.Env, "KUBECONFIG="+c.user.config)
	}
	cmd.Env = append(cmd.Env, c.env...)
	cmd.Dir = c.dir
	cmd.Stdin = strings.NewReader(c.in)
	return cmd
}

// run waits for the end, and fails the test when that takes too long.
func (w *world) run(t *testing.T, c call, args ...string) result {
	t.Helper()
	if c.limit == 0 {
		c.limit = 3 * time.Second
	}
	if c.dir == "" {
		c.dir = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := w.command(ctx, c, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	err := cmd.Run()
	r := result{line: strings.Join(args, " "), out: out.String(), err: errs.String(), code: cmd.ProcessState.ExitCode(), took: time.Since(began)}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if r.took > c.limit+f.Slack {
		t.Errorf("it took longer than %s: %v", c.limit+f.Slack, r)
	}
	return r
}

// ok is a run that must succeed.
func (w *world) ok(t *testing.T, c call, args ...string) result {
	t.Helper()
	r := w.run(t, c, args...)
	if r.code != 0 {
		t.Errorf("it fails: %v", r)
	}
	return r
}

// fails is a run that must end with a status and say something.
func (w *world) fails(t *testing.T, c call, code int, says string, args ...string) result {
	t.Helper()
	r := w.run(t, c, args...)
	if r.code != code || !regexp.MustCompile(says).MatchString(r.err) {
		t.Errorf("exit %d and %q are wanted: %v", code, says, r)
	}
	return r
}

// files are the names in a folder, sorted.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// opens wants `go tool pprof` to open files and to find the hot function in them. Programs that do little may have no sample in a
// few seconds, the sum of ten has.
func opens(t *testing.T, files ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"tool", "pprof", "-symbolize=none", "-top", "-cum", "-nodecount=200"}, files...)...)
	cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), hot) {
		t.Errorf("go tool pprof %v: %v, %s is wanted:\n%s", files, err, hot, out)
	}
}

// ---- the tests ----

func TestPlugin(t *testing.T) {
	w := build(t)
	// alone, since it is timed; and what it stores is what the others read
	t.Run("TenInParallel", func(t *testing.T) { tenInParallel(t, w) })
	t.Run("Store", func(t *testing.T) { store(t, w) })
	if t.Failed() {
		return
	}
	t.Run("All", func(t *testing.T) {
		for name, test := range map[string]func(t *testing.T, w *world){
			"Rights": allRights, "Misbehaving": misbehaving, "Names": fileNames, "Interrupted": interrupted, "PodGoes": podGoes,
			"Compiler": compiler, "Labels": labels, "Flame": flame, "Progress": progress, "Plain": plain, "Kubeconfigs": kubeconfigs,
			"Reaching": reachingTheServer, "Registry": direct, "Plugins": execPlugins, "Impersonation": impersonation, "Verbose": verbose,
			"Completion": completion, "Manual": manual, "ControlPlane": controlPlane, "Benchmarks": benchmarks, "Watch": watch,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, w)
			})
		}
	})
}
