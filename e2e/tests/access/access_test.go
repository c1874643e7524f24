// Package access: who may read what, with real tokens, kubectl and an API server between; certificates that change under load; servers
// and namespaces that go.
package access

import "testing"

// One installation, two tenants and their users for all; what breaks most comes last.
func TestAccess(t *testing.T) {
	w := build(t)
	revoked := revoke(t, w)
	for _, part := range []struct {
		name string
		test func(t *testing.T, w *world)
	}{
		{"EachReadsItsOwn", eachReadsItsOwn},
		{"TokensThatAreNotGood", tokensThatAreNotGood},
		{"Impersonation", impersonation},
		{"NothingOfOthersInAnyAnswer", nothingOfOthersInAnyAnswer},
		{"ForgedHeaders", forgedHeaders},
		{"Kubectl", kubectl},
		{"Tenants", tenants},
		{"Watching", watching},
		{"Audit", audit},
		{"ManyReads", manyReads},
		{"NamespacesGo", namespacesGo},
		{"ARevokedTokenStops", revoked},
		{"Evicted", evicted},
		{"NamespacesGoWithoutTheRegistry", namespacesGoWithoutTheRegistry},
		{"CertificatesChangeUnderLoad", certificatesChangeUnderLoad},
		{"NoTokenInAnyLog", noTokenInAnyLog},
		{"UninstallAndAnonymousAgents", uninstallAndAnonymousAgents},
		{"APIServerAway", apiServerAway}, // last: for half a minute afterwards the rest of Kubernetes is slow
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, w) })
	}
}
