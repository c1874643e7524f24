package plugin

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

// component is a static pod as kubeadm makes them: in the node's network, on loopback, its certificates and its program from the machine.
func component(w *world, name, command string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: kube-system, labels: {component: %[1]s, tier: control-plane}}
spec:
  hostNetwork: true
  priorityClassName: system-node-critical
  containers:
  - {name: %[1]s, image: "local.test/pause:1", imagePullPolicy: Never, command: [%[2]s], securityContext: {runAsUser: 0, runAsGroup: 0},
     volumeMounts: [{name: k8s, mountPath: /k8s, readOnly: true}, {name: pki, mountPath: %[4]s, readOnly: true}, {name: data, mountPath: /data}]}
  volumes: [{name: k8s, hostPath: {path: %[3]s}}, {name: pki, hostPath: {path: %[4]s}}, {name: data, emptyDir: {}}]
`, name, `"`+strings.Join(strings.Fields(command), `","`)+`"`, w.own.Tools.K8s, filepath.Dir(w.own.PKI("ca.crt")))
}

// components are a second controller-manager and scheduler that wait to become leaders, and an etcd with nothing in it for each node: the
// first believes the cluster's certificates, the second its own, as kubeadm's does.
func components(t *testing.T, w *world) (nodes []string) {
	nodes = f.NeedNodes(t, 2)
	pki, idle := filepath.Dir(w.own.PKI("ca.crt")), " --leader-elect=true --leader-elect-resource-name=e2e-held"
	f.Apply(t, "", fmt.Sprintf(`{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: e2e-held, namespace: kube-system},
spec: {holderIdentity: nobody, leaseDurationSeconds: 3600, acquireTime: %[1]q, renewTime: %[1]q}}`, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")))
	t.Cleanup(func() { f.K(t, "delete", "lease", "-n", "kube-system", "e2e-held") })
	auth := func(name string) string {
		conf := filepath.Join(pki, name+".kubeconfig")
		return " --authentication-kubeconfig=" + conf + " --authorization-kubeconfig=" + conf + " --client-ca-file=" + pki + "/ca.crt --bind-address=127.0.0.1 --profiling=true "
	}
	etcd := func(ca, more string) string {
		return "/k8s/etcd --data-dir=/data/etcd --unsafe-no-fsync --listen-client-urls=https://127.0.0.1:2379 --advertise-client-urls=https://127.0.0.1:2379 " +
			"--cert-file=" + pki + "/apiserver.crt --key-file=" + pki + "/apiserver.key --client-cert-auth --trusted-ca-file=" + pki + "/" + ca + more
	}
	for _, p := range []struct{ node, name, command string }{
		{nodes[0], "kube-controller-manager", "/k8s/kube-controller-manager" + idle + " --kubeconfig=" + pki + "/kcm.kubeconfig" + auth("kcm")},
		{nodes[0], "kube-scheduler", "/k8s/kube-scheduler" + idle + " --kubeconfig=" + pki + "/scheduler.kubeconfig" + auth("scheduler")},
		{nodes[0], "etcd", etcd("ca.crt", " --enable-pprof")},
		{nodes[1], "etcd", etcd("front.crt", " --enable-pprof")},
	} {
		remove, err := w.own.StaticPod(p.node, p.name, component(w, p.name, p.command))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := remove(); err != nil {
				t.Error(err)
			}
		})
	}
	return nodes
}

// forge makes a pod that calls itself a component and a node its owner, as anybody can who may make pods in kube-system.
func forge(t *testing.T, node string) {
	f.Apply(t, "", fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata:
  name: forged
  namespace: kube-system
  labels: {component: kube-scheduler, tier: control-plane}
  ownerReferences: [{apiVersion: v1, kind: Node, name: %[1]s, uid: %[2]s, controller: true}]
spec: {nodeName: %[1]s, hostNetwork: true, terminationGracePeriodSeconds: 0, containers: [{name: app, image: "local.test/pause:1", imagePullPolicy: Never}]}
`, node, f.K(t, "get", "node", node, "-o", "jsonpath={.metadata.uid}")))
	t.Cleanup(func() { f.K(t, "delete", "pod", "-n", "kube-system", "forged") })
}

// operators are two ServiceAccounts: one may do everything, one may only reach the pods of kube-system.
func operators(t *testing.T, w *world) (everything, little *user) {
	f.Apply(t, "", fmt.Sprintf(`
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: everything, namespace: %[1]s}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: little, namespace: %[1]s}}
- {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: %[1]s}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin},
   subjects: [{kind: ServiceAccount, name: everything, namespace: %[1]s}]}
- {apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: %[1]s, namespace: kube-system}, rules: [
   {apiGroups: [""], resources: [pods], verbs: [get, list]}, {apiGroups: [""], resources: [pods/portforward], verbs: [get, create]}]}
- {apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: %[1]s, namespace: kube-system}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: %[1]s},
   subjects: [{kind: ServiceAccount, name: little, namespace: %[1]s}]}
`, w.ns))
	t.Cleanup(func() {
		f.K(t, "delete", "clusterrolebinding", w.ns)
		f.K(t, "delete", "role,rolebinding", "-n", "kube-system", w.ns)
	})
	return w.user(t, "everything"), w.user(t, "little")
}

func controlPlane(t *testing.T, w *world) {
	nodes := components(t, w)
	forge(t, nodes[0])
	everything, little := operators(t, w)
	// a token as exec plugins give them
	login := write(t, filepath.Join(w.dir, "login"), "#!/bin/sh\necho '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\""+everything.token+"\"}}'\n", 0o755)
	write(t, everything.config, kubeconfig(w.server(), fmt.Sprintf(`"exec":{"apiVersion":"client.authentication.k8s.io/v1","command":%q,"interactiveMode":"Never"}`, login), w.ns), 0o600)
	capture := func(u *user, dir string, args ...string) result {
		return w.run(t, call{user: u, dir: dir, limit: 20 * time.Second}, append([]string{"control-plane", "capture"}, args...)...)
	}
	f.Within(t, 60*time.Second, "the static pods to serve", func() error {
		if r := capture(w.admin, "", "scheduler", "controller-manager", "-t", "goroutine"); r.code != 0 {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	heaps := []string{`control-plane_kube-apiserver_kube-apiserver`, `control-plane_` + nodes[0] + `_kubelet`, `control-plane_` + nodes[1] + `_kubelet`,
		`kube-system_kube-controller-manager-` + nodes[0] + `_kube-controller-manager`, `kube-system_kube-scheduler-` + nodes[0] + `_kube-scheduler`}
	etcds := []string{"kube-system/etcd-" + nodes[0] + " heap: ", "kube-system/etcd-" + nodes[1] + " heap: "}
	wants, foreign := "it wants a client certificate, and this kubeconfig's user has none", "it does not take this kubeconfig's certificate: it believes an authority of its own"
	forbidden := func(u *user, what, path string) string {
		return `Error from server (Forbidden): ` + what + ` heap: forbidden: User "system:serviceaccount:` + w.ns + ":" + u.name + `" cannot get path "` + path + `"`
	}
	for _, row := range []struct {
		user  *user
		files []string
		says  []string
	}{
		{w.admin, append(heaps, `kube-system_etcd-`+nodes[0]+`_etcd`), []string{etcds[1] + foreign, "note: kube-system/forged is no static pod"}}, // the cluster's certificate, as in kubeadm's admin.conf
		{everything, heaps, []string{etcds[0] + wants, etcds[1] + wants}},                                                                         // a token
		{little, nil, []string{forbidden(little, "control-plane/kube-apiserver", "/debug/pprof/heap"), `cannot list resource "nodes"`,
			forbidden(little, "kube-system/kube-scheduler-"+nodes[0], "/debug/pprof/heap"), forbidden(little, "kube-system/kube-controller-manager-"+nodes[0], "/debug/pprof/heap")}},
		{w.nothing, nil, []string{forbidden(w.nothing, "control-plane/kube-apiserver", "/debug/pprof/heap"), `cannot list resource "pods" in API group "" in the namespace "kube-system"`,
			`cannot list resource "nodes"`}},
	} {
		dir := t.TempDir()
		r := capture(row.user, dir, "-t", "heap")
		got := files(t, dir)
		for _, name := range row.files {
			if !slices.ContainsFunc(got, func(file string) bool { return strings.HasPrefix(file, name+"_heap_") }) {
				t.Errorf("%s: no file %s_heap_...: %v", row.user.name, name, r)
			}
		}
		for _, text := range row.says {
			if !strings.Contains(r.err, text) {
				t.Errorf("%s: %q is wanted: %v", row.user.name, text, r)
			}
		}
		if r.code != 1 || len(got) != len(row.files) {
			t.Errorf("%s: %d files and exit 1 are wanted: %v", row.user.name, len(row.files), r)
		}
		if len(got) > 0 {
			readable(t, filepath.Join(dir, got[len(got)-1]), "k8s.io/")
		}
	}
}

// readable wants `go tool pprof` to open a file and to find something in it.
func readable(t *testing.T, file, holds string) {
	t.Helper()
	cmd := exec.Command("go", "tool", "pprof", "-symbolize=none", "-top", "-cum", "-sample_index=alloc_space", "-nodecount=500", file)
	cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), holds) {
		t.Errorf("go tool pprof %s: %v, %s is wanted:\n%.2000s", file, err, holds, out)
	}
}
