package charttest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"sigs.k8s.io/yaml"

	"kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

type alert struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

type ruleGroup struct {
	Name  string  `json:"name"`
	Rules []alert `json:"rules"`
}

// object finds one in what helm rendered.
func object(t *testing.T, text, kind, name string, into any) {
	t.Helper()
	for _, part := range strings.Split(text, "\n---") {
		var head struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if yaml.Unmarshal([]byte(part), &head) == nil && head.Kind == kind && (name == "" || head.Metadata.Name == name) {
			if err := yaml.Unmarshal([]byte(part), into); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no %s %s is rendered", kind, name)
}

func rules(t *testing.T, set ...string) (groups []ruleGroup, file string) {
	t.Helper()
	var rule struct{ Spec json.RawMessage }
	object(t, rendered(t, append(set, "metrics.prometheusRule.enabled=true")...), "PrometheusRule", "kube-pprof", &rule)
	var spec struct{ Groups []ruleGroup }
	if err := json.Unmarshal(rule.Spec, &spec); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "rules.json") // JSON is YAML
	if err := os.WriteFile(file, rule.Spec, 0o600); err != nil {
		t.Fatal(err)
	}
	return spec.Groups, file
}

func alerts(groups []ruleGroup) map[string]alert {
	all := map[string]alert{}
	for _, g := range groups {
		for _, r := range g.Rules {
			all[r.Alert] = r
		}
	}
	return all
}

func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program := filepath.Join(harness.FindTools().Prom, "promtool")
	if _, err := os.Stat(program); err != nil {
		t.Skip("promtool is not built: run kp-cluster build --extra")
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	return string(out), err
}

func TestMonitoringIsOff(t *testing.T) {
	out := rendered(t)
	if strings.Contains(out, "monitoring.coreos.com") || strings.Contains(out, "kube-pprof-metrics") || strings.Contains(out, "grafana") {
		t.Error("the Prometheus operator's kinds may be missing, and nobody has asked for them")
	}
	out = rendered(t, "metrics.service.enabled=true")
	if !strings.Contains(out, "name: kube-pprof-metrics\n") || strings.Contains(out, "ServiceMonitor") {
		t.Error("the Service alone is for other scrapers")
	}
}

func TestRulesAreTaken(t *testing.T) {
	for _, set := range [][]string{nil, {"watchNamespaces={a}"}, {"registry.tls.mode=none", "aggregatedAPI.enabled=false"},
		{"registry.enabled=false", "controller.registryURL=https://profiles.example"}} {
		groups, file := rules(t, set...)
		if out, err := promtool(t, "check", "rules", "--lint=all", "--lint-fatal", file); err != nil {
			t.Errorf("%v: %s", set, out)
		}
		for name, a := range alerts(groups) {
			if strings.Contains(a.Expr, "SELECTOR") || strings.Contains(a.Expr, "%") || strings.Contains(a.Expr, "LEADER") {
				t.Errorf("%s: something was not put in: %s", name, a.Expr)
			}
			if !slices.Contains([]string{"critical", "warning"}, a.Labels["severity"]) || a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
				t.Errorf("%s: severity, summary and description: %+v", name, a)
			}
		}
		all := alerts(groups)
		if _, has := all["KubePprofRegistryDown"]; has != !slices.Contains(set, "registry.enabled=false") {
			t.Errorf("%v: the registry's alerts", set)
		}
		if _, has := all["KubePprofAPIServiceUnavailable"]; has != (set == nil) {
			t.Errorf("%v: the APIService's alert", set)
		}
	}
}

func TestRulesCanBeChanged(t *testing.T) {
	groups, _ := rules(t, "metrics.prometheusRule.alerts.KubePprofStartsLate.enabled=false", "metrics.prometheusRule.alerts.KubePprofStoreFull.for=3h",
		"metrics.prometheusRule.alerts.KubePprofStoreFull.severity=page", "metrics.prometheusRule.thresholds.spoolPercent=12", "metrics.prometheusRule.alertLabels.team=infra",
		`metrics.prometheusRule.selector=cluster="x"`, "metrics.prometheusRule.runbookURL=https://wiki.example/monitoring.md")
	all := alerts(groups)
	full := all["KubePprofStoreFull"]
	if _, has := all["KubePprofStartsLate"]; has || full.For != "3h" || full.Labels["severity"] != "page" || full.Labels["team"] != "infra" {
		t.Errorf("%+v", all)
	}
	if full.Expr != `kube_pprof_registry_store_full{cluster="x"} == 1` || !strings.HasSuffix(all["KubePprofSpoolFilling"].Expr, "> 12") {
		t.Errorf("%s; %s", full.Expr, all["KubePprofSpoolFilling"].Expr)
	}
	if full.Annotations["runbook_url"] != "https://wiki.example/monitoring.md#kubepprofstorefull" {
		t.Errorf("%v", full.Annotations)
	}
	if out, err := render(t, "metrics.prometheusRule.enabled=true", "metrics.prometheusRule.alerts.KubePprofStore.enabled=false"); err == nil || !strings.Contains(out, "there is no alert KubePprofStore,") {
		t.Errorf("an alert that does not exist must be refused: %s", out)
	}
	for _, set := range []string{"metrics.prometheusRule.alerts.KubePprofStoreFull.fro=1h", "metrics.prometheusRule.thresholds.spoolPercent=120", "metrics.serviceMonitor.interval=often", "metrics.prometheusRules.enabled=true"} {
		if out, err := render(t, set); err == nil || !strings.Contains(out, "values don't meet the specifications") {
			t.Errorf("%s was taken", set)
		}
	}
}

// What `helm upgrade --reuse-values` makes of the values of 0.1.0: refused in words, not by a template that trips.
func TestValuesOfAnOlderChartAreRefused(t *testing.T) {
	if out, err := render(t, "metrics=null", "networkPolicy=null"); err == nil || !strings.Contains(out, "missing properties 'networkPolicy', 'metrics'") {
		t.Errorf("taken, or not in words: %s", out)
	}
}

// Every alert has a section of docs/monitoring.md, and every such section an alert.
func TestEveryAlertIsExplained(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(framework.Root(), "docs/monitoring.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### (KubePprof\w+)$`).FindAllStringSubmatch(string(text), -1) {
		sections[m[1]] = true
	}
	groups, _ := rules(t)
	all := alerts(groups)
	for name, a := range all {
		if !sections[name] {
			t.Errorf("docs/monitoring.md has no section ### %s", name)
		}
		if want := "docs/monitoring.md#" + strings.ToLower(name); a.Annotations["runbook"] != want {
			t.Errorf("%s: runbook is %s", name, a.Annotations["runbook"])
		}
	}
	for name := range sections {
		if _, has := all[name]; !has {
			t.Errorf("docs/monitoring.md explains %s, which is no alert", name)
		}
	}
}

// One case of testdata/alerts.yaml.
type alertCase struct {
	Alert  string
	Fires  bool
	Why    string
	At     string            // after so long; 2h if it is not said
	Series map[string]string // name and labels -> promtool's notation of values
}

// promSeries names a series as the ServiceMonitor makes it.
func promSeries(name string) string {
	const ours = `namespace="prof",job="kube-pprof-metrics"`
	base, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
	if !strings.Contains(labels, "pod=") {
		labels = strings.Trim(`pod="c0",instance="c0",`+labels, ",")
	}
	return base + "{" + ours + "," + labels + "}"
}

// promTest is promtool's own form of a case.
func (c *alertCase) promTest() map[string]any {
	var input []map[string]string
	for name, values := range c.Series {
		input = append(input, map[string]string{"series": promSeries(name), "values": values})
	}
	at := c.At
	if at == "" {
		at = "2h"
	}
	samples := []any{}
	if c.Fires {
		samples = append(samples, map[string]any{"labels": "{}", "value": 1})
	}
	return map[string]any{"name": c.Alert + ": " + c.Why, "interval": "1m", "input_series": input, "promql_expr_test": []any{
		map[string]any{"expr": fmt.Sprintf(`count(ALERTS{alertname=%q,alertstate="firing"})`, c.Alert), "eval_time": at, "exp_samples": samples}}}
}

func writeJSON(t *testing.T, name string, what any) string {
	t.Helper()
	text, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestAlertsFire: promtool plays series against the rules as they are rendered.
func TestAlertsFire(t *testing.T) {
	groups, _ := rules(t)
	text, err := os.ReadFile("testdata/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cases []alertCase
	if err := yaml.UnmarshalStrict(text, &cases); err != nil {
		t.Fatal(err)
	}
	all, dir, args := alerts(groups), t.TempDir(), []string{"test", "rules"}
	for name, a := range all { // a file each: the others' rules need not be computed with it
		var tests []any
		var fires, rests bool
		for _, c := range cases {
			if c.Alert == name {
				tests = append(tests, c.promTest())
				fires, rests = fires || c.Fires, rests || !c.Fires
			}
		}
		if !fires || !rests {
			t.Errorf("testdata/alerts.yaml has to show when %s fires and when it does not", name)
		}
		file := writeJSON(t, filepath.Join(dir, name+".rules.json"), map[string]any{"groups": []any{map[string]any{"name": "one", "rules": []any{a}}}})
		args = append(args, writeJSON(t, filepath.Join(dir, name+".test.json"), map[string]any{"rule_files": []string{file}, "evaluation_interval": "1m", "tests": tests}))
	}
	for _, c := range cases {
		if _, has := all[c.Alert]; !has {
			t.Errorf("testdata/alerts.yaml: there is no alert %s", c.Alert)
		}
	}
	if out, err := promtool(t, args...); err != nil {
		t.Error(out)
	}
}

func TestDashboardIsGrafanas(t *testing.T) {
	var cm struct {
		Metadata struct{ Labels map[string]string }
		Data     map[string]string
	}
	object(t, rendered(t, "metrics.dashboard.enabled=true", "metrics.dashboard.labels.team=infra"), "ConfigMap", "kube-pprof-dashboard", &cm)
	if cm.Metadata.Labels["grafana_dashboard"] != "1" || cm.Metadata.Labels["team"] != "infra" {
		t.Errorf("labels: %v", cm.Metadata.Labels)
	}
	plugins.RegisterDefaultPlugins() // types of panels and queries, else they are taken as they are
	var board dashboard.Dashboard
	if err := board.UnmarshalJSONStrict([]byte(cm.Data["kube-pprof.json"])); err != nil && err.Error() != "" {
		t.Fatal(err)
	}
	if err := board.Validate(); err != nil {
		t.Fatal(err)
	}
	var plain struct {
		Panels []struct {
			ID                       int
			Type, Title, Description string
			GridPos                  struct{ X, Y, W, H int }
			Targets                  []struct{ RefID, Expr string }
		}
	}
	if err := json.Unmarshal([]byte(cm.Data["kube-pprof.json"]), &plain); err != nil {
		t.Fatal(err)
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range plain.Panels {
		if ids[p.ID] || p.Title == "" || (p.Type != "row" && (p.Description == "" || len(p.Targets) == 0)) {
			t.Errorf("panel %d %q: an id of its own, title, description and a query", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, has := taken[[2]int{x, y}]; has || x >= 24 {
					t.Fatalf("panel %q lies on %q or beside the board", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, q := range p.Targets {
			for _, m := range regexp.MustCompile(`[a-z_]+\{`).FindAllString(q.Expr, -1) {
				if !strings.Contains(q.Expr, m+`namespace="$namespace",job="$job"`) {
					t.Errorf("panel %q takes series of others: %s", p.Title, q.Expr)
				}
			}
		}
	}
}
