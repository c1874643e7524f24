package modes

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const (
	greedy = "greedy" // asks for more than it may have
	modest = "modest"
	agg    = "/apis/data.kube-pprof.dev/v1alpha1"
)

type world struct {
	pusher string
	large  *large
}

// tenant is a sample program of one replica and its policy.
func tenant(t *testing.T, ns string, types ...string) {
	t.Helper()
	manifest := strings.NewReplacer("checkout", ns+"-desk", "replicas: 3", "replicas: 1").Replace(f.Workload(t, "checkout"))
	f.Apply(t, "", fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", ns))
	policy := fmt.Sprintf(`
---
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: %[1]s-policy}
spec:
  selector: {matchLabels: {app: %[1]s-desk}}
  budget: {overheadPercent: 20, concurrentPerWorkload: 100%%}
  profiles:
`, ns)
	for _, kind := range types {
		policy += "  - {type: " + kind + ", interval: 10s}\n"
	}
	f.Apply(t, ns, manifest+policy)
}

func build(t *testing.T) *world {
	t.Helper()
	t.Cleanup(func() {
		f.K(t, "delete", "namespace", greedy, modest, "--ignore-not-found", "--wait=false")
		f.K(t, "delete", "secret", "-n", f.Namespace, ownSecret, "--ignore-not-found")
		f.RegistrySecret = "kube-pprof-registry-tls"
		if t.Failed() { // helm wants the kind while its release has one
			if err := f.Install(base...); err != nil {
				t.Log(err)
			}
		}
		f.K(t, "delete", "crd", "certificates.cert-manager.io", "--ignore-not-found", "--wait=false")
	})
	tenant(t, greedy, "goroutine", "heap", "allocs", "block", "mutex", "threadcreate")
	tenant(t, modest, "goroutine", "heap")
	pusher, err := f.ReaderToken()
	if err != nil {
		t.Fatal(err)
	}
	return &world{pusher, newLarge(t)}
}

// captured waits for a capture of now.
func captured(t *testing.T, ns, kind string) {
	t.Helper()
	since := time.Now().UTC().Format(time.RFC3339)
	f.Within(t, 60*time.Second, ns+" is captured", func() error {
		return f.Some("namespace="+ns+"&type="+kind+"&from="+since, nil)
	})
}

// available waits until kubectl shows the profiles, by an APIService that believes this authority.
func available(t *testing.T, ca string) {
	t.Helper()
	f.Within(t, 60*time.Second, "the APIService is available", func() error {
		text, err := f.Kubectl("get", "apiservice", "v1alpha1.data.kube-pprof.dev", "-o", "json")
		if err != nil {
			return err
		}
		var object struct {
			Spec   struct{ CABundle string }
			Status struct{ Conditions []f.Condition }
		}
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			return err
		}
		if got, err := base64.StdEncoding.DecodeString(object.Spec.CABundle); err != nil || ca != "" && strings.TrimSpace(string(got)) != strings.TrimSpace(ca) {
			return fmt.Errorf("it believes %s (%v)", got, err)
		}
		for _, c := range object.Status.Conditions {
			if c.Type == "Available" && c.Status == "True" {
				return nil
			}
		}
		return fmt.Errorf("%v", object.Status.Conditions)
	})
	if out := f.K(t, "get", "profiles.data.kube-pprof.dev", "-n", modest); !strings.Contains(out, modest+"-desk") {
		t.Errorf("kubectl get profiles: %s", out)
	}
}

func aSecretOfOnesOwn(t *testing.T, _ *world) {
	captured(t, modest, "goroutine") // over TLS that the tests verify with the company's CA, and the controller too
	available(t, company.pem)
	if out, err := f.Kubectl("get", "secret", "-n", f.Namespace, ownSecret, "-o", "jsonpath={.metadata.managedFields[*].manager}"); err != nil || strings.Contains(out, "kube-pprof") {
		t.Errorf("somebody else has written the Secret: %s %v", out, err)
	}
	// a new certificate is taken without a restart, when the kubelet has brought it
	count, before := restarts(t), serial(t)
	next, err := newAuthority("the company's next CA")
	if err != nil {
		t.Fatal(err)
	}
	company.pem += next.pem // both are believed first
	if err := rewrite(company); err != nil {
		t.Fatal(err)
	}
	n := 0
	f.Within(t, 90*time.Second, "the new certificate is shown", func() error {
		n++
		for _, component := range []string{"controller", "registry"} { // so that the kubelet looks at once
			pods := f.Pods(t, f.Namespace, "app.kubernetes.io/component="+component)
			f.K(t, append(append([]string{"annotate", "-n", f.Namespace, "--overwrite", "pod"}, pods...), fmt.Sprintf("look=%d", n))...)
		}
		if serial(t) == before {
			time.Sleep(time.Second)
			return fmt.Errorf("it is the old one")
		}
		return nil
	})
	available(t, company.pem)
	captured(t, modest, "heap")
	if restarts(t) != count {
		t.Error("the registry was restarted")
	}
}

// serial of the certificate that the registry shows.
func serial(t *testing.T) string {
	t.Helper()
	conn, err := dial(t, tls.Certificate{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func restarts(t *testing.T) string {
	t.Helper()
	return f.K(t, "get", "pod", "-n", f.Namespace, "kube-pprof-registry-0", "-o", "jsonpath={.metadata.uid} {.status.containerStatuses[0].restartCount}")
}

func rewrite(a *authority) error {
	secret, err := a.serving(ownSecret, "kube-pprof-registry."+f.Namespace+".svc", "kube-pprof-registry."+f.Namespace)
	if err != nil {
		return err
	}
	_, err = f.KubectlIn(secret, "apply", "-f", "-")
	return err
}

func aTenantAtItsLimit(t *testing.T, w *world) {
	f.PolicyIs(t, 60*time.Second, greedy, greedy+"-policy", "the policy says that the namespace has what it may", func(p *f.Policy) error {
		if err := f.Is("Feasible", "False", "NamespaceLimit")(p); err != nil {
			return err
		}
		if c := p.Condition("Feasible"); !strings.Contains(c.Message, "max-series-per-namespace") {
			return fmt.Errorf("it does not name the limit: %s", c.Message)
		}
		return nil
	})
	series := map[string]bool{}
	items, err := f.List("namespace=" + greedy)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range items {
		series[p.Type] = true
	}
	if len(series) != maxSeries {
		t.Errorf("the namespace has %v, not %d of them", series, maxSeries)
	}
	// its own pushes are told the same
	out, err := f.PostAs(w.pusher, "/api/v1/profiles?type=trace&service=more&namespace="+greedy, "a trace")
	if err == nil || !strings.Contains(out, `"reason":"NamespaceLimit"`) || !strings.Contains(out, "max-series-per-namespace") || !strings.Contains(err.Error(), "429") {
		t.Errorf("a push into a namespace that has what it may: %s %v", out, err)
	}
	// the other notices nothing
	captured(t, modest, "goroutine")
	f.PolicyIs(t, 20*time.Second, modest, modest+"-policy", "the other policy is as it was", func(p *f.Policy) error {
		if p.Status.Captures.Failed != 0 || p.Status.Captures.Skipped != 0 {
			return fmt.Errorf("captures failed")
		}
		return f.Is("Feasible", "True", "")(p)
	})
	if out, err := f.PostAs(w.pusher, "/api/v1/profiles?type=trace&service=more&namespace="+modest, "a trace"); err != nil {
		t.Errorf("a push into the other: %s %v", out, err)
	}
	if m := f.Metrics(t, "registry"); !strings.Contains(m, `kube_pprof_registry_namespace_limits_total{limit="store"} `) {
		t.Error("the metrics do not count it")
	}
}

// As cert-manager does it, which is not here: a Certificate is seen, and its Secret appears a little later.
func certManager(t *testing.T, _ *world) {
	f.Apply(t, "", `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: certificates.cert-manager.io}
spec:
  group: cert-manager.io
  scope: Namespaced
  names: {kind: Certificate, plural: certificates}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`)
	f.K(t, "wait", "--for=condition=Established", "crd/certificates.cert-manager.io", "--timeout=20s")
	f.K(t, "delete", "secret", "-n", f.Namespace, "kube-pprof-registry-tls", "kube-pprof-registry-ca", "--ignore-not-found")
	issuer, err := newAuthority("cert-manager's issuer")
	if err != nil {
		t.Fatal(err)
	}
	installed := make(chan error, 1)
	go func() {
		installed <- f.Install(append([]string{"registry.tls.mode=certManager", "registry.tls.issuerRef.name=company"}, base...)...)
	}()
	var certificate struct {
		Spec struct {
			SecretName string
			DNSNames   []string
			IssuerRef  struct{ Name, Kind, Group string }
		}
	}
	f.Within(t, 60*time.Second, "a Certificate is asked for", func() error {
		text, err := f.Kubectl("get", "certificates.cert-manager.io", "-n", f.Namespace, "kube-pprof-registry", "-o", "json")
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(text), &certificate)
	})
	if c := certificate.Spec; c.IssuerRef.Name != "company" || c.IssuerRef.Kind != "Issuer" || c.IssuerRef.Group != "cert-manager.io" {
		t.Errorf("of %+v", c)
	}
	time.Sleep(3 * time.Second)
	secret, err := issuer.serving(certificate.Spec.SecretName, certificate.Spec.DNSNames...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.KubectlIn(secret, "apply", "--server-side", "--field-manager=cert-manager", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	if err := <-installed; err != nil {
		t.Fatal(err)
	}
	f.RegistrySecret = certificate.Spec.SecretName
	captured(t, modest, "goroutine")
	available(t, issuer.pem)
}

func aClientCertificate(t *testing.T, w *world) {
	f.K(t, "delete", "secret", "-n", f.Namespace, "kube-pprof-registry-tls") // cert-manager's; now the chart makes it
	if err := f.Install(append([]string{"registry.tls.clientCertificate=true"}, base...)...); err != nil {
		t.Fatal(err)
	}
	captured(t, modest, "goroutine")
	available(t, "")
	// the controller's token alone is not enough
	token := f.K(t, "create", "token", "kube-pprof-controller", "-n", f.Namespace, "--audience", "kube-pprof")
	out, err := f.PostAs(token, "/api/v1/namespaces", `{"items":[]}`)
	if err == nil || !strings.Contains(err.Error(), "403") || !strings.Contains(out, "certificate of the controllers' CA") {
		t.Errorf("captures by the controller's token without its certificate: %s %v", out, err)
	}
	f.PolicyIs(t, 30*time.Second, modest, modest+"-policy", "captures succeed", f.Is("CapturesSucceeding", "True", ""))
	if out, err := f.PostAs(w.pusher, "/api/v1/profiles?type=trace&service=more&namespace="+modest, "a trace"); err != nil {
		t.Errorf("a push needs none: %s %v", out, err)
	}
}

// data of the two Secrets that the controller fills.
func data(t *testing.T) string {
	t.Helper()
	return f.K(t, "get", "secret", "-n", f.Namespace, "kube-pprof-registry-ca", "kube-pprof-registry-tls", "-o", "jsonpath={.items[*].data}")
}

// The chart makes the Secrets empty; nothing that is done with the chart later takes away what the controller has put there.
func theSecretsKeepWhatIsInThem(t *testing.T, _ *world) {
	before := data(t)
	if strings.Count(before, "BEGIN") != 0 || strings.Count(before, "tls.key") != 1 || strings.Count(before, "ca.key") != 1 {
		t.Fatalf("they hold %d bytes", len(before))
	}
	same := func(what string) {
		t.Helper()
		if data(t) != before {
			t.Errorf("%s: the Secrets have changed", what)
		}
	}
	values := append([]string{"registry.tls.clientCertificate=true", "commonLabels.again=yes"}, base...)
	if err := f.Install(values...); err != nil {
		t.Fatal(err)
	}
	same("helm upgrade")
	args := []string{"template", "kube-pprof", filepath.Join(f.Root(), "charts/kube-pprof"), "-n", f.Namespace, "--kube-version", "1.29", "--show-only", "templates/certificates.yaml"}
	manifests, err := f.Helm(args...)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time kubectl knows what it applied before
		f.Apply(t, f.Namespace, manifests)
		same("helm template and kubectl apply")
	}
	if _, err := f.Helm("uninstall", "kube-pprof", "-n", f.Namespace, "--wait", "--timeout", "120s"); err != nil {
		t.Fatal(err)
	}
	same("helm uninstall")
	if err := f.Install(values...); err != nil {
		t.Fatal(err)
	}
	same("and helm install again")
	// made anew by hand, as the controller's log says, and filled: it is none of the chart's then
	f.K(t, "delete", "secret", "-n", f.Namespace, "kube-pprof-registry-tls")
	f.K(t, "create", "secret", "generic", "-n", f.Namespace, "kube-pprof-registry-tls")
	f.Within(t, time.Minute+f.Slack, "the controller fills the Secret", func() error {
		before = data(t)
		if !strings.Contains(before, "tls.key") {
			return fmt.Errorf("they hold %d bytes", len(before))
		}
		return nil
	})
	if err := f.Install(values...); err != nil {
		t.Fatal(err)
	}
	same("helm upgrade after one was made by hand")
	captured(t, modest, "goroutine")
}

// What ends TLS would stand before it. Nothing else changes: who has no token is not let in. And the API server has no way to it.
func withoutTLS(t *testing.T, _ *world) {
	f.RegistrySecret = ""
	if err := f.Install(append([]string{"registry.tls.mode=none", "aggregatedAPI.enabled=false"}, base...)...); err != nil {
		t.Fatal(err)
	}
	captured(t, modest, "goroutine")
	f.PolicyIs(t, 30*time.Second, modest, modest+"-policy", "captures succeed", f.Is("CapturesSucceeding", "True", ""))
	if out, err := f.RawAs("nonsense", "/api/v1/profiles?namespace="+modest); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("without a token: %s %v", out, err)
	}
	f.Within(t, 10*time.Second+f.Slack, "the APIService is switched off", func() error {
		out, err := f.Kubectl("get", "apiservice", "v1alpha1.data.kube-pprof.dev", "--ignore-not-found", "-o", "name")
		if err == nil && out != "" {
			err = fmt.Errorf("%s is there", out)
		}
		return err
	})
}
