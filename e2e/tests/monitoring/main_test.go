package monitoring

import (
	"context"
	"testing"

	f "kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

var crds = []string{"servicemonitors", "prometheusrules"}

func TestMain(m *testing.M) {
	f.BeforeInstall = func() error {
		for _, plural := range crds {
			if _, err := f.Kubectl("get", "crd", plural+".monitoring.coreos.com"); err == nil {
				continue // somebody's cluster, and its operator's
			}
			text, err := harness.OperatorCRD(context.Background(), plural)
			if err != nil {
				return err
			}
			if _, err := f.KubectlIn(string(text), "apply", "--server-side", "-f", "-"); err != nil {
				return err
			}
		}
		_, err := f.Kubectl("wait", "--for=condition=Established", "crd/servicemonitors.monitoring.coreos.com", "crd/prometheusrules.monitoring.coreos.com", "--timeout=30s")
		return err
	}
	const rule = "metrics.prometheusRule."
	f.Run(m, "metrics.serviceMonitor.enabled=true", "metrics.serviceMonitor.interval=1s", rule+"enabled=true", "metrics.dashboard.enabled=true",
		// so that an outage of seconds is one
		"controller.spool.bytes=1Mi", rule+"thresholds.spoolPercent=1", rule+"alerts.KubePprofSpoolFilling.for=0s", rule+"alerts.KubePprofRegistryDown.for=0s",
		rule+"alerts.KubePprofNoLeader.for=0s", rule+"alerts.KubePprofNotDelivering.for=10s")
}
