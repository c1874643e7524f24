// Package monitoring: a real Prometheus scrapes both roles by the chart's ServiceMonitor, every query of the dashboard finds something,
// and alerts fire when something is wrong and only then.
package monitoring

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const policy = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: checkout}
spec:
  selector: {matchLabels: {app: checkout}}
  profiles: [{type: cpu, interval: 10s, duration: 2s}, {type: heap, interval: 10s}, {type: goroutine, interval: 10s}]
  budget: {overheadPercent: 20, concurrentPerWorkload: 100%}
`

// mayBeEmpty are queries that find nothing where all is well, by the metric they ask for.
var mayBeEmpty = map[string]string{
	"kube_pprof_captures_waited_total":           "no capture had to wait for a place",
	"kube_pprof_registry_namespace_limits_total": "no namespace has what it may",
	"http_requests_total{code=~\"429|5..\"}":     "no request failed",
}

type query struct{ panel, expr string }

// queries are those of the dashboard in the cluster, with Grafana's variables put in.
func queries(t *testing.T) (all []query) {
	t.Helper()
	var cm struct{ Data map[string]string }
	get(t, &cm, "configmap", "-n", f.Namespace, "kube-pprof-dashboard")
	var board struct {
		Templating struct{ List []struct{ Name string } }
		Panels     []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(cm.Data["kube-pprof.json"]), &board); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"datasource": "prometheus", "namespace": f.Namespace, "job": "kube-pprof-metrics"}
	replace := []string{"$__rate_interval", "1m"}
	for _, v := range board.Templating.List {
		if values[v.Name] == "" {
			t.Fatalf("the test knows no value for the dashboard's variable %s", v.Name)
		}
		replace = append(replace, "$"+v.Name, values[v.Name])
	}
	for _, p := range board.Panels {
		for _, q := range p.Targets {
			expr := strings.NewReplacer(replace...).Replace(q.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s: a variable is left in %s", p.Title, expr)
			}
			all = append(all, query{p.Title, expr})
		}
	}
	return all
}

// found is nil if a query finds a number.
func (p *prometheus) found(q query) error {
	all, err := p.query(q.expr)
	if err != nil {
		return fmt.Errorf("%s: %w", q.panel, err)
	}
	for _, s := range all {
		if s.Value[1] != "NaN" {
			return nil
		}
	}
	return fmt.Errorf("%s: %d series, none with a number: %s", q.panel, len(all), q.expr)
}

func emptyFor(expr string) string {
	for metric, why := range mayBeEmpty {
		name, label, _ := strings.Cut(strings.TrimSuffix(metric, "}"), "{")
		if strings.Contains(expr, name+"{") && strings.Contains(expr, label) {
			return why
		}
	}
	return ""
}

// The API server knows the operator's schemas here: what the chart renders is taken without a word about unknown fields.
func TestTheOperatorsKindsAreTaken(t *testing.T) {
	f.NeedCluster(t)
	manifest, err := f.Helm("get", "manifest", "kube-pprof", "-n", f.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, part := range strings.Split(manifest, "\n---\n") {
		if strings.Contains(part, "apiVersion: monitoring.coreos.com/v1\n") {
			n++
			if out, err := f.KubectlIn(part, "apply", "--dry-run=server", "--validate=strict", "-n", f.Namespace, "-f", "-"); err != nil {
				t.Error(out, err)
			}
		}
	}
	if n != 2 {
		t.Errorf("%d kinds of the operator, not ServiceMonitor and PrometheusRule", n)
	}
}

func TestDashboardAndAlerts(t *testing.T) {
	f.NeedOwn(t)
	cleanUp(t)
	ns := f.NewNamespace(t)
	f.Apply(t, ns, f.Workload(t, "checkout"))
	f.Apply(t, ns, policy)
	p := startPrometheus(t)
	f.Within(t, 60*time.Second, "captures are stored", func() error { return f.Some("namespace="+ns+"&type=cpu", nil) })
	bothRoles(t, p)
	dashboard(t, p)
	rulesAreWell(t, p)
	theRegistryGoes(t, p)
	theControllerGoes(t, p)
}

// The next package finds the chart without what only this cluster has the kinds for.
func cleanUp(t *testing.T) {
	t.Cleanup(func() {
		if err := f.Install(); err != nil {
			t.Error(err)
		}
		for _, plural := range crds {
			f.K(t, "delete", "crd", plural+".monitoring.coreos.com", "--wait=false")
		}
	})
}

func bothRoles(t *testing.T, p *prometheus) {
	t.Helper()
	f.Within(t, 30*time.Second, "both roles are scraped", func() error {
		all, err := p.query(`count by (app_kubernetes_io_component) (up{job="kube-pprof-metrics"} == 1)`)
		if err != nil {
			return err
		}
		var roles []string
		for _, s := range all {
			roles = append(roles, s.Metric["app_kubernetes_io_component"]+" "+fmt.Sprint(s.Value[1]))
		}
		slices.Sort(roles)
		if !slices.Equal(roles, []string{"controller 1", "registry 1"}) {
			return fmt.Errorf("scraped are %q", roles)
		}
		return nil
	})
}

func dashboard(t *testing.T, p *prometheus) {
	t.Helper()
	pages := f.Metrics(t, "controller") + f.Metrics(t, "registry")
	for _, q := range queries(t) {
		for _, m := range regexp.MustCompile(`([a-z_]+)\{namespace=`).FindAllStringSubmatch(q.expr, -1) {
			if family := strings.TrimSuffix(m[1], "_bucket"); !strings.Contains(pages, "# TYPE "+family+" ") {
				t.Errorf("%s: neither role has %s", q.panel, family)
			}
		}
		if why := emptyFor(q.expr); why != "" {
			if err := p.found(q); err != nil {
				t.Logf("%s is empty: %s", q.panel, why)
			}
			continue
		}
		err := p.found(q)
		for end := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(end); err = p.found(q) {
			time.Sleep(500 * time.Millisecond)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

func rulesAreWell(t *testing.T, p *prometheus) {
	t.Helper()
	text, err := p.ask("GET", "/api/v1/rules", nil)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			n++
			if r.Health != "ok" {
				t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d alerts", n)
	}
	// on a busy machine one may have fired: a scrape that takes more than its second is a pod that is down, and these wait for nothing
	f.Within(t, 30*time.Second, "no alert fires", func() error {
		firing, err := p.alerts()
		delete(firing, "KubePprofStoreDamaged") // tests of other packages flip bits, which stay known
		if err == nil && len(firing) > 0 {
			err = fmt.Errorf("all is well, and these fire: %v", firing)
		}
		return err
	})
}

// fires waits until alerts fire, and says what a person is told.
func fires(t *testing.T, p *prometheus, limit time.Duration, names ...string) {
	t.Helper()
	f.Within(t, limit, fmt.Sprintf("%v fire", names), func() error {
		firing, err := p.alerts()
		for _, name := range names {
			if err == nil && firing[name] == "" {
				err = fmt.Errorf("%s does not, only %v", name, firing)
			}
		}
		if err == nil {
			t.Logf("%v", firing)
		}
		return err
	})
}

func rests(t *testing.T, p *prometheus, limit time.Duration, names ...string) {
	t.Helper()
	f.Within(t, limit, fmt.Sprintf("%v do not fire any more", names), func() error {
		firing, err := p.alerts()
		for _, name := range names {
			if err == nil && firing[name] != "" {
				err = fmt.Errorf("%s still does: %s", name, firing[name])
			}
		}
		return err
	})
}

func theRegistryGoes(t *testing.T, p *prometheus) {
	t.Helper()
	f.K(t, "scale", "sts/kube-pprof-registry", "-n", f.Namespace, "--replicas=0")
	fires(t, p, 120*time.Second, "KubePprofRegistryDown", "KubePprofSpoolFilling", "KubePprofNotDelivering")
	f.K(t, "scale", "sts/kube-pprof-registry", "-n", f.Namespace, "--replicas=1")
	f.Ready(t, 120*time.Second, "registry")
	p.follow(t)
	rests(t, p, 60*time.Second, "KubePprofRegistryDown", "KubePprofSpoolFilling", "KubePprofNotDelivering")
}

func theControllerGoes(t *testing.T, p *prometheus) {
	t.Helper()
	f.K(t, "scale", "deploy/kube-pprof-controller", "-n", f.Namespace, "--replicas=0")
	fires(t, p, 30*time.Second, "KubePprofNoLeader")
	f.K(t, "scale", "deploy/kube-pprof-controller", "-n", f.Namespace, "--replicas=1")
	f.Ready(t, 120*time.Second, "controller")
	p.follow(t)
	rests(t, p, 30*time.Second, "KubePprofNoLeader")
}
