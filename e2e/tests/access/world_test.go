package access

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

// Everything of the second tenant has its name in it, so that a search for it finds whatever leaks.
const (
	shop = "shopfront"
	pay  = "paylater"
	agg  = "/apis/data.kube-pprof.dev/v1alpha1"
)

func in(ns string) string { return agg + "/namespaces/" + ns + "/profiles" }

// user is a ServiceAccount with a token for the API server, in a kubeconfig, and one for the registry.
type user struct {
	ns, name    string
	api, direct string
	config      string
}

func (u *user) full() string { return "system:serviceaccount:" + u.ns + ":" + u.name }

// kubectl runs it as this user.
func (u *user) kubectl(args ...string) (string, error) {
	return f.Kubectl(append([]string{"--kubeconfig", u.config}, args...)...)
}

type world struct {
	own                          *harness.Cluster
	admin, api, reg              *server
	pusher                       string // token that may everything with profiles
	viewer, editor, both, nobody *user
	mine, theirs                 []f.Profile
	myCPU, theirCPU              string // ids of captures
	tokens                       []string
	myService, theirService, dir string
	namespaceWithout             time.Duration // how long a namespace takes to go without the APIService
}

// tenant is a sample program under the tenant's names, its policy, and a viewer and an editor.
func tenant(t *testing.T, ns string) {
	t.Helper()
	manifest := strings.NewReplacer("checkout", ns+"-desk", "team: shop", "team: "+ns+"-team", "replicas: 3", "replicas: 1").Replace(f.Workload(t, "checkout"))
	f.Apply(t, "", fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", ns))
	f.Apply(t, ns, manifest+fmt.Sprintf(`
---
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: %[1]s-policy}
spec:
  selector: {matchLabels: {app: %[1]s-desk}}
  profiles:
  - {type: cpu, interval: 10s, duration: 2s}
  - {type: goroutine, interval: 10s}
  budget: {overheadPercent: 5, concurrentPerWorkload: 100%%}
`, ns)+binding(ns, "view", ns, "viewer")+binding(ns, "edit", ns, "editor"))
}

// binding gives a ServiceAccount, which it makes, a ClusterRole in a namespace.
func binding(ns, role, accountNS, account string) string {
	return fmt.Sprintf(`
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: %[4]s, namespace: %[3]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: %[3]s-%[4]s-%[2]s, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[2]s}
subjects: [{kind: ServiceAccount, name: %[4]s, namespace: %[3]s}]
`, ns, role, accountNS, account)
}

func (w *world) user(t *testing.T, ns, name string) *user {
	t.Helper()
	u := &user{ns: ns, name: name}
	u.api = w.token(t, ns, name)
	u.direct = w.token(t, ns, name, "--audience", "kube-pprof")
	u.config = filepath.Join(w.dir, ns+"-"+name)
	// of the administrator's kubeconfig only where the server is: certificates would win over the token
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
"clusters":[{"name":"c","cluster":{"server":"https://%s","certificate-authority":%q}}],"users":[{"name":"u","user":{"token":%q}}]}`,
		w.own.APIAddress(), w.own.PKI("ca.crt"), u.api)
	if err := os.WriteFile(u.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return u
}

func (w *world) token(t *testing.T, ns, name string, flags ...string) string {
	t.Helper()
	token := f.K(t, append([]string{"create", "token", name, "-n", ns, "--duration", "1h"}, flags...)...)
	w.tokens = append(w.tokens, token)
	return token
}

// sign makes a token of a ServiceAccount as the API server would, which itself makes none that is over soon.
func (w *world) sign(t *testing.T, ns, name, audience string, until time.Time) string {
	t.Helper()
	var account struct{ Metadata struct{ UID string } }
	a := w.admin.get(t, "/api/v1/namespaces/"+ns+"/serviceaccounts/"+name, "")
	if err := json.Unmarshal([]byte(a.body), &account); err != nil {
		t.Fatal(err, a)
	}
	text, err := os.ReadFile(w.own.PKI("sa.key"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	claims := fmt.Sprintf(`{"iss":"https://kubernetes.default.svc","aud":[%q],"iat":%d,"nbf":%[2]d,"exp":%d,"sub":"system:serviceaccount:%s:%s",
"kubernetes.io":{"namespace":%[4]q,"serviceaccount":{"name":%[5]q,"uid":%q}}}`,
		audience, until.Add(-time.Hour).Unix(), until.Unix(), ns, name, account.Metadata.UID)
	b64 := base64.RawURLEncoding.EncodeToString
	signed := b64([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + b64([]byte(claims))
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	token := signed + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
	w.tokens = append(w.tokens, token)
	return token
}

// profile is a small CPU profile in which one function with this name is hot.
func profile(function string) string {
	var out bytes.Buffer
	number := func(field, v uint64) { out.Write(binary.AppendUvarint(binary.AppendUvarint(nil, field<<3), v)) }
	bytesOf := func(field uint64, b []byte) {
		out.Write(append(binary.AppendUvarint(binary.AppendUvarint(nil, field<<3|2), uint64(len(b))), b...))
	}
	// of small numbers, which are their own varints
	samples, cpu := []byte{1 << 3, 1, 2 << 3, 2}, []byte{1 << 3, 3, 2 << 3, 4}
	bytesOf(1, samples)
	bytesOf(1, cpu)
	bytesOf(2, []byte{1 << 3, 1, 2 << 3, 1, 2 << 3, 100})            // sample: location 1, one of 100 ns
	bytesOf(4, []byte{1 << 3, 1, 4<<3 | 2, 4, 1 << 3, 1, 2 << 3, 9}) // location: line 9 of function 1
	bytesOf(5, []byte{1 << 3, 1, 2 << 3, 5, 3 << 3, 5, 4 << 3, 6, 5 << 3, 1})
	for _, s := range []string{"", "samples", "count", "cpu", "nanoseconds", function, function + ".go"} {
		bytesOf(6, []byte(s))
	}
	number(9, uint64(time.Now().UnixNano()))
	number(10, uint64(time.Second))
	bytesOf(11, cpu)
	number(12, 100)
	return out.String()
}

// push stores a profile of a tenant and returns its id.
func (w *world) push(t *testing.T, token, query, function string) string {
	t.Helper()
	a := w.reg.ask(t, "POST", "/api/v1/profiles?type=cpu&"+query, token, profile(function))
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(a.body), &made); err != nil || a.status != 201 || made.ID == "" {
		t.Fatalf("push %s: %v", query, a)
	}
	return made.ID
}

// build makes two tenants with captures and pushed profiles, and the users.
func build(t *testing.T) *world {
	t.Helper()
	w := &world{own: f.NeedOwn(t), dir: t.TempDir(), myService: shop + "-desk", theirService: pay + "-desk"}
	w.admin, w.api = apiServer(t, w.own, true), apiServer(t, w.own, false)
	w.reg = registry(t, w.own, w.admin)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(f.Describe(shop))
		}
		f.K(t, "delete", "namespace", shop, pay, "legacy", "--ignore-not-found", "--wait=false")
		f.K(t, "delete", "serviceaccount", "-n", "default", "both", "nobody", "--ignore-not-found")
	})
	for _, ns := range []string{shop, pay} {
		tenant(t, ns)
	}
	f.Apply(t, "", binding(shop, "kube-pprof-viewer", "default", "both")+binding(pay, "kube-pprof-viewer", "default", "both")+`
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: nobody, namespace: default}
`)
	w.viewer, w.editor = w.user(t, shop, "viewer"), w.user(t, shop, "editor")
	w.both, w.nobody = w.user(t, "default", "both"), w.user(t, "default", "nobody")
	var err error
	if w.pusher, err = f.ReaderToken(); err != nil {
		t.Fatal(err)
	}
	w.tokens = append(w.tokens, w.pusher)
	for _, ns := range []string{shop, pay} {
		f.Within(t, 90*time.Second, ns+" is captured", func() error {
			for _, kind := range []string{"cpu", "goroutine"} {
				if err := f.Some("namespace="+ns+"&type="+kind+"&selector="+url.QueryEscape("k8s.pod"), nil); err != nil {
					return err
				}
			}
			return nil
		})
		f.K(t, "patch", "ppol", ns+"-policy", "-n", ns, "--type=merge", "-p", `{"spec":{"suspend":true}}`)
		w.push(t, w.pusher, "namespace="+ns+"&service="+ns+"-pushed&labels=team%3D"+ns+"-people,"+ns+"-key%3D"+ns+"-value", ns+".Charge")
	}
	w.settle(t)
	w.myCPU, w.theirCPU = w.cpu(t, w.mine), w.cpu(t, w.theirs)
	return w
}

// settle waits until captures that were under way when their policies were suspended have come, and notes what is there.
func (w *world) settle(t *testing.T) {
	t.Helper()
	calm := time.Now()
	f.Within(t, 60*time.Second, "captures are over", func() (err error) {
		before := len(w.mine) + len(w.theirs)
		if w.mine, err = f.List("namespace=" + shop); err != nil {
			return err
		}
		if w.theirs, err = f.List("namespace=" + pay); err != nil {
			return err
		}
		if len(w.mine)+len(w.theirs) != before {
			calm = time.Now()
		}
		if time.Since(calm) < 7*time.Second {
			return fmt.Errorf("there are %d and %d since %s", len(w.mine), len(w.theirs), calm)
		}
		return nil
	})
}

func (w *world) cpu(t *testing.T, items []f.Profile) string {
	t.Helper()
	for _, p := range items {
		if p.Type == "cpu" && p.Pod != "" {
			return p.ID
		}
	}
	t.Fatal("there is no captured CPU profile")
	return ""
}
