package framework

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Profile is one of the registry's list.
type Profile struct {
	ID, Namespace, Service, Type, Pod, PodUID, Container, Revision, Version, Workload, Key, Architecture string
	Port                                                                                                 int
	StartTime, EndTime, SlotTime, ReceivedTime                                                           time.Time
	Labels                                                                                               map[string]string
}

// Target is one of the registry's targets, or a pod left out.
type Target struct {
	Pod, PodUID, Container, Workload, Service, LeftOutReason, Message string
	Port                                                              int
	Sampled                                                           bool
	Profiles                                                          []TargetProfile
}

// TargetProfile is what became of a type of profile of a target.
type TargetProfile struct {
	Type, LastResult, Message string
	LastTime, LastSuccessTime string
}

// reader is a ServiceAccount that may see and delete every profile; its role is its own, as with watchNamespaces the chart has none.
const reader = `{"apiVersion":"v1","kind":"List","items":[
{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"kp-e2e-reader","namespace":"default"}},
{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"kp-e2e-reads"},
 "rules":[{"apiGroups":["data.kube-pprof.dev"],"resources":["profiles"],"verbs":["get","list","watch","create","delete","deletecollection"]},
  {"apiGroups":["data.kube-pprof.dev"],"resources":["profiles/seal"],"verbs":["create"]},
  {"apiGroups":["data.kube-pprof.dev"],"verbs":["get"],"resources":["profiles/download","profiles/merge","profiles/diff","profiles/top","profiles/flamegraph",
   "profiles/series","profiles/peers","profiles/pgo","profiles/targets","profiles/services","profiles/labels"]}]},
{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"kp-e2e-reads"},
 "roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"kp-e2e-reads"},
 "subjects":[{"kind":"ServiceAccount","name":"kp-e2e-reader","namespace":"default"}]}]}`

var access struct {
	sync.Mutex
	token string
	until time.Time
}

// ReaderToken is good for the registry and may everything with profiles.
func ReaderToken() (string, error) {
	access.Lock()
	defer access.Unlock()
	if time.Now().Before(access.until) {
		return access.token, nil
	}
	if _, err := KubectlIn(reader, "apply", "-f", "-"); err != nil {
		return "", err
	}
	token, err := Kubectl("create", "token", "kp-e2e-reader", "-n", "default", "--audience", "kube-pprof", "--duration", "1h")
	if err != nil {
		return "", err
	}
	access.token, access.until = strings.TrimSpace(token), time.Now().Add(50*time.Minute)
	return access.token, nil
}

// Raw asks the registry itself, over TLS that is verified, as somebody who may see all.
func Raw(path string) (string, error) {
	token, err := ReaderToken()
	if err != nil {
		return "", err
	}
	return RawAs(token, path)
}

// viaForward is for clusters whose Services cannot be reached from here.
const viaForward = `kubectl port-forward -n "$1" svc/kube-pprof-registry :443 >"$2/forward" & trap "kill $!" EXIT
for i in $(seq 100); do port=$(sed -n 's/.*127.0.0.1:\([0-9]*\).*/\1/p' "$2/forward"); [ -n "$port" ] && break; sleep 0.05; done
exec 3<&0; curl -sS --fail-with-body --max-time 60 --cacert "$2/ca" --connect-to "::127.0.0.1:$port" -H @/dev/fd/3 "$3"`

// RegistrySecret is where the authority lies that the registry is verified with; empty: it has no TLS.
var RegistrySecret = "kube-pprof-registry-tls"

// RawAs asks the registry with a token.
func RawAs(token, path string) (string, error) { return ask(token, path) }

// PostAs sends the registry something. On a cluster of its own only.
func PostAs(token, path, body string) (string, error) { return ask(token, path, "--data-binary", body) }

func ask(token, path string, flags ...string) (string, error) {
	dir, err := os.MkdirTemp("", "kp-raw")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	scheme, ca := "http", ""
	if RegistrySecret != "" {
		scheme = "https"
		if ca, err = Kubectl("get", "secret", "-n", Namespace, RegistrySecret, "-o", `go-template={{index .data "ca.crt" | base64decode}}`); err != nil {
			return "", err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "ca"), []byte(ca), 0o600); err != nil {
		return "", err
	}
	url, header := scheme+"://kube-pprof-registry."+Namespace+".svc"+path, "Authorization: Bearer "+token+"\n"
	if env.own == nil {
		return run(header, "sh", "-c", viaForward, "sh", Namespace, dir, url)
	}
	ip, err := Kubectl("get", "service", "-n", Namespace, "kube-pprof-registry", "-o", "jsonpath={.spec.clusterIP}")
	if err != nil {
		return "", err
	}
	return run(header, append([]string{"curl", "-sS", "--fail-with-body", "--max-time", "60", "--cacert", filepath.Join(dir, "ca"), "--connect-to", "::" + ip + ":443", "-H", "@-", url}, flags...)...)
}

// List pages through the registry's profiles that match a query like "namespace=a&type=cpu".
func List(query string) ([]Profile, error) {
	var all []Profile
	for cursor := ""; ; {
		path := "/api/v1/profiles?limit=1000&" + query
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		text, err := Raw(path)
		if err != nil {
			return nil, err
		}
		var page struct {
			Items  []Profile
			Cursor string
		}
		if err := json.Unmarshal([]byte(text), &page); err != nil {
			return nil, fmt.Errorf("profiles: %w: %.300s", err, text)
		}
		all = append(all, page.Items...)
		if cursor = page.Cursor; cursor == "" {
			return all, nil
		}
	}
}

// Targets are what the controller posted of a namespace.
func Targets(ns string) ([]Target, error) {
	text, err := Raw("/api/v1/targets?namespace=" + ns)
	if err != nil {
		return nil, err
	}
	var page struct{ Items []Target }
	if err := json.Unmarshal([]byte(text), &page); err != nil {
		return nil, fmt.Errorf("targets: %w: %.300s", err, text)
	}
	return page.Items, nil
}

// Fetch writes a profile's bytes to a file.
func Fetch(t *testing.T, id string) string {
	t.Helper()
	text, err := Raw("/api/v1/profiles/" + id)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "profile.pb.gz")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// Top is what `go tool pprof -top` says of a stored profile.
func Top(t *testing.T, id string, flags ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	args := append(append([]string{"tool", "pprof", "-top"}, flags...), Fetch(t, id))
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go tool pprof does not open profile %s: %v\n%s", id, err, out)
	}
	return string(out)
}

// Some returns an error unless the registry has a profile for the query; the first is put in ret (which may be nil).
func Some(query string, ret *Profile) error {
	items, err := List(query)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		return fmt.Errorf("no profile for %s", query)
	}
	if ret != nil {
		*ret = items[0]
	}
	return nil
}

// Policy is a policy's status as the tests need it.
type Policy struct {
	Metadata struct{ Generation int64 }
	Status   struct {
		ObservedGeneration int64
		LastCaptureTime    string
		Conditions         []Condition
		Targets            struct{ Selected, Sampled, Failing, LeftOut int }
		Captures           struct{ Succeeded, Failed, Skipped, Spooled int }
		Profiles           []struct {
			Type, LastResult, LastSuccessTime string
			Succeeded, Failed                 int
		}
		Failures []struct {
			Reason, Type, Namespace, Pod, Container, Message string
			Targets                                          int
		}
	}
}

// Condition of a policy.
type Condition struct{ Type, Status, Reason, Message string }

// Condition by type; its zero value if it is not there.
func (p *Policy) Condition(kind string) Condition {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return Condition{}
}

// GetPolicy reads a policy: kind ppol or cppol, ns "" for the latter.
func GetPolicy(ns, name string) (*Policy, error) {
	args := []string{"get", "clusterprofilingpolicies.kube-pprof.dev", name, "-o", "json"}
	if ns != "" {
		args = []string{"get", "profilingpolicies.kube-pprof.dev", name, "-n", ns, "-o", "json"}
	}
	text, err := Kubectl(args...)
	if err != nil {
		return nil, err
	}
	p := &Policy{}
	return p, json.Unmarshal([]byte(text), p)
}

// PolicyIs waits until check is content with a policy's status; the check sees only statuses of the newest generation.
func PolicyIs(t *testing.T, limit time.Duration, ns, name, what string, check func(p *Policy) error) *Policy {
	t.Helper()
	var p *Policy
	Within(t, limit, what, func() (err error) {
		if p, err = GetPolicy(ns, name); err != nil {
			return err
		}
		if p.Status.ObservedGeneration != p.Metadata.Generation {
			return fmt.Errorf("observedGeneration is %d, generation %d", p.Status.ObservedGeneration, p.Metadata.Generation)
		}
		if err := check(p); err != nil {
			return fmt.Errorf("%w; status: %+v", err, p.Status)
		}
		return nil
	})
	return p
}

// Is wants a condition to have a status and, unless it is empty, a reason.
func Is(kind, status, reason string) func(p *Policy) error {
	return func(p *Policy) error {
		c := p.Condition(kind)
		if c.Status != status || (reason != "" && c.Reason != reason) {
			return fmt.Errorf("%s is %s %s (%s), not %s %s", kind, c.Status, c.Reason, c.Message, status, reason)
		}
		return nil
	}
}

// Pods are the names of the pods with a label that are not being deleted.
func Pods(t *testing.T, ns, selector string) []string {
	t.Helper()
	return strings.Fields(K(t, "get", "pods", "-n", ns, "-l", selector, "--field-selector=status.phase=Running", "-o",
		`go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}} {{end}}{{end}}`))
}

// Metrics is the controller's metrics page, or the registry's.
func Metrics(t *testing.T, component string) string {
	t.Helper()
	text, err := page(t, component, "metrics")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(text)
}

// Readyz is what a component says of itself to whoever asks with ?verbose.
func Readyz(t *testing.T, component string) (string, error) {
	t.Helper()
	return page(t, component, "readyz?verbose")
}

func page(t *testing.T, component, path string) (string, error) {
	t.Helper()
	pod := Pods(t, Namespace, "app.kubernetes.io/component="+component)
	if len(pod) != 1 {
		t.Fatalf("%d %s pods", len(pod), component)
	}
	return Kubectl("get", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:8080/proxy/%s", Namespace, pod[0], path))
}
