// Package outcomes: whatever goes wrong with a pod, status, metrics and targets say what, and what to do about it.
package outcomes

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

// policyFor makes a policy of a workload's own name; extra is put into its spec.
func policyFor(name, profiles, extra string) string {
	return fmt.Sprintf(`---
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: %[1]s}
spec:
  selector: {matchLabels: {app: %[1]s}}
  profiles: [%[2]s]
  budget: {overheadPercent: 5, concurrentPerWorkload: 100%%, profileBytes: 1Mi}
%[3]s`, name, profiles, extra)
}

const (
	heap = "{type: heap, interval: 10s}"
	cpu  = "{type: cpu, interval: 10s, duration: 2s}"
)

// last finds the last result of a workload's target for a type.
func last(ns, workload, container, kind string) (result, message string, err error) {
	targets, err := f.Targets(ns)
	if err != nil {
		return "", "", err
	}
	for _, t := range targets {
		if !strings.HasPrefix(t.Pod, workload+"-") || (container != "" && t.Container != container) {
			continue
		}
		for _, p := range t.Profiles {
			if p.Type == kind {
				return p.LastResult, p.Message, nil
			}
		}
	}
	return "", "", fmt.Errorf("no target of %s with %s among %+v", workload, kind, targets)
}

func wantResult(t *testing.T, limit time.Duration, ns, workload, container, kind, want string) {
	t.Helper()
	f.Within(t, limit, fmt.Sprintf("%s %s %s is %s", workload, container, kind, want), func() error {
		got, message, err := last(ns, workload, container, kind)
		if err == nil && got != want {
			err = fmt.Errorf("it is %s (%s)", got, message)
		}
		if err == nil && want != "Succeeded" && len(message) < 20 {
			err = fmt.Errorf("its message does not help: %q", message)
		}
		return err
	})
}

// failed wants the reason in the policy's status, with a sentence, and an Event of the policy that says so.
func failed(t *testing.T, ns, policy, reason string) {
	t.Helper()
	p := f.PolicyIs(t, 30*time.Second, ns, policy, "failures show "+reason, func(p *f.Policy) error {
		for _, fail := range p.Status.Failures {
			if fail.Reason == reason {
				return nil
			}
		}
		return fmt.Errorf("no failure %s", reason)
	})
	for _, fail := range p.Status.Failures {
		if fail.Reason == reason && (len(fail.Message) < 20 || fail.Pod == "" || fail.Targets < 1) {
			t.Errorf("%s does not help: %+v", reason, fail)
		}
	}
	if c := p.Condition("CapturesSucceeding"); c.Status != "False" || c.Message == "" {
		t.Errorf("%s: CapturesSucceeding is %+v", policy, c)
	}
	f.Within(t, 20*time.Second, "an event of "+policy, func() error {
		out, err := f.Kubectl("get", "events.events.k8s.io", "-n", ns, "-o",
			`jsonpath={range .items[?(@.regarding.name=="`+policy+`")]}{.regarding.kind} {.type} {.reason} {.note}{"\n"}{end}`)
		if err == nil && !regexp.MustCompile(`(?m)^ProfilingPolicy Warning `+reason+` .*CapturesSucceeding is false`).MatchString(out) {
			err = fmt.Errorf("events are %s", out)
		}
		return err
	})
	if c := p.Condition("Ready"); c.Status != "True" {
		t.Errorf("%s: a failing program must not make the policy unready: %+v", policy, c)
	}
}

func counted(t *testing.T, results ...string) {
	t.Helper()
	metrics := f.Metrics(t, "controller")
	for _, r := range results {
		if !strings.Contains(metrics, `result="`+r+`"`) {
			t.Errorf("kube_pprof_captures_total does not know %s", r)
		}
	}
}

func leftOut(t *testing.T, limit time.Duration, ns, workload, reason string) {
	t.Helper()
	f.Within(t, limit, workload+" is left out: "+reason, func() error {
		targets, err := f.Targets(ns)
		if err != nil {
			return err
		}
		for _, target := range targets {
			if strings.HasPrefix(target.Pod, workload+"-") && target.LeftOutReason == reason {
				if len(target.Message) < 20 {
					return fmt.Errorf("message does not help: %q", target.Message)
				}
				return nil
			}
		}
		return fmt.Errorf("targets are %+v", targets)
	})
}

// One namespace for all, so that they run side by side and the test is not the sum of all waits.
func TestEveryWorkloadHasItsOutcome(t *testing.T) {
	ns := f.NewNamespace(t)
	certificates(t, ns)
	samples := f.Workload(t, "samples")
	f.Apply(t, ns, samples)
	for _, variant := range []string{"tls-untrusted", "tls-anonymous"} {
		f.Apply(t, ns, renamed(t, samples, "tls", variant))
	}
	for _, name := range []string{"closed", "lost"} {
		f.Apply(t, ns, renamed(t, samples, "plain", name))
	}
	tls := `  endpoints:
  - name: main
    port: pprof
    scheme: HTTPS
    tls: {serverName: tls.example%s}
%s`
	ca, auth := ", ca: {configMapRef: {name: tls-ca, key: ca.crt}}", "    authorization: {type: Bearer, secretRef: {name: tls-token, key: token}}\n"
	f.Apply(t, ns, policyFor("dual", heap, `  endpoints:
  - {name: main, container: app, port: pprof}
  - {name: side, container: side, port: 7070}
`)+
		policyFor("tls", heap, fmt.Sprintf(tls, ca, auth))+
		policyFor("tls-untrusted", heap, fmt.Sprintf(tls, "", auth))+
		policyFor("tls-anonymous", heap, fmt.Sprintf(tls, ca, ""))+
		policyFor("html", heap, "")+policyFor("hang", heap, "")+policyFor("huge", heap, "")+policyFor("held", cpu, "")+
		policyFor("never-ready", heap, "")+policyFor("crashloop", heap, "")+
		policyFor("plain", "{type: mutex, interval: 10s}, {type: heap, interval: 10s}", "")+policyFor("portless", heap, "")+
		policyFor("closed", heap, "  endpoints: [{name: main, port: 9999}]\n")+
		policyFor("lost", heap, "  endpoints: [{name: main, port: pprof, path: /debug/nothing}]\n"))

	t.Run("dual", func(t *testing.T) {
		wantResult(t, 60*time.Second, ns, "dual", "app", "heap", "Succeeded")
		wantResult(t, 60*time.Second, ns, "dual", "side", "heap", "Succeeded")
		if err := f.Some("namespace="+ns+"&service=dual", nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("html", func(t *testing.T) {
		wantResult(t, 60*time.Second, ns, "html", "", "heap", "NotPprof")
		failed(t, ns, "html", "NotPprof")
	})
	t.Run("huge", func(t *testing.T) {
		wantResult(t, 60*time.Second, ns, "huge", "", "heap", "TooLarge")
		failed(t, ns, "huge", "TooLarge")
	})
	t.Run("closed", func(t *testing.T) {
		wantResult(t, 60*time.Second, ns, "closed", "", "heap", "Unreachable")
		failed(t, ns, "closed", "Unreachable")
	})
	t.Run("lost", func(t *testing.T) { wantResult(t, 60*time.Second, ns, "lost", "", "heap", "NotServed") })
	t.Run("empty", func(t *testing.T) {
		wantResult(t, 60*time.Second, ns, "plain", "", "mutex", "Empty")
		wantResult(t, 60*time.Second, ns, "plain", "", "heap", "Succeeded")
	})
	t.Run("portless", func(t *testing.T) { leftOut(t, 30*time.Second, ns, "portless", "NoEndpoint") })
	t.Run("never-ready", func(t *testing.T) { leftOut(t, 30*time.Second, ns, "never-ready", "NotReady") })
	t.Run("crashloop", func(t *testing.T) { leftOut(t, 90*time.Second, ns, "crashloop", "NotRunning") })
	t.Run("tls", func(t *testing.T) { wantResult(t, 60*time.Second, ns, "tls", "", "heap", "Succeeded") })
	t.Run("tls-untrusted", func(t *testing.T) {
		wantResult(t, 60*time.Second, ns, "tls-untrusted", "", "heap", "TLSError")
		failed(t, ns, "tls-untrusted", "TLSError")
	})
	t.Run("tls-anonymous", func(t *testing.T) {
		wantResult(t, 60*time.Second, ns, "tls-anonymous", "", "heap", "Denied")
		failed(t, ns, "tls-anonymous", "Denied")
	})
	t.Run("held", func(t *testing.T) {
		f.Within(t, 60*time.Second, "held is Busy", func() error {
			got, message, err := last(ns, "held", "", "cpu")
			if err == nil && got != "Busy" && got != "Contended" {
				err = fmt.Errorf("it is %s (%s)", got, message)
			}
			return err
		})
		wantResult(t, 90*time.Second, ns, "held", "", "cpu", "Contended")
		if p, err := f.GetPolicy(ns, "held"); err != nil || len(p.Status.Failures) > 0 {
			t.Errorf("yielding is no failure: %v %+v", err, p)
		}
	})
	t.Run("hang", func(t *testing.T) {
		wantResult(t, 90*time.Second, ns, "hang", "", "heap", "Timeout")
		failed(t, ns, "hang", "Timeout")
	})
	t.Run("metrics", func(t *testing.T) {
		counted(t, "Succeeded", "NotPprof", "TooLarge", "Unreachable", "NotServed", "Empty", "TLSError", "Denied", "Busy", "Contended", "Timeout")
	})
}

func renamed(t *testing.T, manifests, from, to string) string {
	t.Helper()
	for _, doc := range strings.Split(manifests, "---\n") {
		if strings.Contains(doc, "metadata: {name: "+from+",") {
			return strings.NewReplacer("{name: "+from+",", "{name: "+to+",", "app: "+from+"}", "app: "+to+"}", "app: "+from+",", "app: "+to+",").Replace(doc)
		}
	}
	t.Fatalf("no workload %s", from)
	return ""
}

// certificates makes the private CA, the server's certificate and the token of "tls", as a tenant would: labelled, with the role
// that lets the controller read them.
func certificates(t *testing.T, ns string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "private CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	server := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "tls.example"}, DNSNames: []string{"tls.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, ca, &serverKey.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(serverKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"ca.crt": {Type: "CERTIFICATE", Bytes: caDER}, "tls.crt": {Type: "CERTIFICATE", Bytes: serverDER}, "tls.key": {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.K(t, "create", "configmap", "tls-ca", "-n", ns, "--from-file="+dir+"/ca.crt")
	f.K(t, "create", "secret", "tls", "tls-server", "-n", ns, "--cert="+dir+"/tls.crt", "--key="+dir+"/tls.key")
	f.K(t, "create", "secret", "generic", "tls-token", "-n", ns, "--from-literal=token=open-sesame")
	f.K(t, "label", "secret", "tls-token", "-n", ns, "kube-pprof.dev/use=true")
	f.K(t, "create", "rolebinding", "kube-pprof", "-n", ns, "--clusterrole=kube-pprof-credentials", "--serviceaccount="+f.Namespace+":kube-pprof-controller")
}
