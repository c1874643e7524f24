// Package lifecycle shows a release from its first day to its last: installed as an earlier version, upgraded and rolled back with
// policies that are captured, uninstalled and installed again; for all namespaces and for some; its pods on two nodes.
package lifecycle

import (
	"testing"

	f "kube-pprof.dev/e2e/framework"
)

func TestMain(m *testing.M) {
	f.WithoutInstall = true
	f.Run(m)
}

func TestLifecycle(t *testing.T) {
	f.NeedOwn(t)
	w := build(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"TheEarlierVersion", theEarlierVersion},
		{"Upgrade", upgrade},
		{"TwoReplicasOnTwoNodes", twoReplicas},
		{"Rollback", rollback},
		{"UpgradeAgain", upgradeAgain},
		{"Uninstall", uninstall},
		{"InstallAgain", installAgain},
		{"SomeNamespacesOnly", someNamespaces},
		{"OnAClusterThatHadNone", fresh},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, w) }) {
			t.Fatal(f.Describe(shop))
		}
	}
}
