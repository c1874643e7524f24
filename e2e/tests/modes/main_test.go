// Package modes shows the other ways to install: certificates of one's own, of cert-manager, none, a client certificate for the controller,
// limits of namespaces, of bytes in flight; and that the authority of the API server's front proxy can change.
package modes

import (
	"testing"

	f "kube-pprof.dev/e2e/framework"
)

// What one namespace may have: small, so that a tenant is at its limit at once.
const maxSeries = 3

var base = []string{"annotatedPods.enabled=false", "registry.config.max-series-per-namespace=3", "controller.config.max-bytes-in-flight=1Mi"}

var theirs = append([]string{"registry.tls.mode=secret", "registry.tls.secretName=" + ownSecret}, base...)

func TestMain(m *testing.M) {
	f.BeforeInstall = makeSecret
	f.Run(m, theirs...)
}

func TestModes(t *testing.T) {
	f.NeedOwn(t)
	w := build(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"ASecretOfOnesOwn", aSecretOfOnesOwn},
		{"ATenantAtItsLimit", aTenantAtItsLimit},
		{"TheFrontProxysAuthorityChanges", theFrontProxysAuthorityChanges},
		{"BytesInFlight", bytesInFlight},
		{"CertManager", certManager},
		{"AClientCertificateForTheController", aClientCertificate},
		{"TheSecretsKeepWhatIsInThem", theSecretsKeepWhatIsInThem},
		{"WithoutTLS", withoutTLS},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, w) }) {
			t.Log(f.Describe(greedy))
		}
	}
}
