package monitoring

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

// prometheus is a real one, in the control plane's network. What the operator would do with a ServiceMonitor is done here: targets are
// the addresses behind the Services it selects, with the labels it gives them.
type prometheus struct {
	dir, addr string
	own       *harness.Cluster
	client    http.Client
}

type serviceMonitor struct {
	Metadata struct{ Name string }
	Spec     struct {
		Selector          struct{ MatchLabels map[string]string }
		NamespaceSelector struct{ MatchNames []string }
		PodTargetLabels   []string
		Endpoints         []struct{ Port, Path, Interval string }
	}
}

type staticConfig struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func get(t *testing.T, into any, args ...string) {
	t.Helper()
	if err := json.Unmarshal([]byte(f.K(t, append([]string{"get", "-o", "json"}, args...)...)), into); err != nil {
		t.Fatal(err)
	}
}

func selector(labels map[string]string) string {
	var terms []string
	for k, v := range labels {
		terms = append(terms, k+"="+v)
	}
	return strings.Join(terms, ",")
}

func sanitized(label string) string {
	return strings.NewReplacer("/", "_", ".", "_", "-", "_").Replace(label)
}

// staticConfigs are the targets of one endpoint of a ServiceMonitor.
func staticConfigs(t *testing.T, m *serviceMonitor, namespace, port string) (all []staticConfig) {
	t.Helper()
	var services struct {
		Items []struct{ Metadata struct{ Name string } }
	}
	get(t, &services, "services", "-n", namespace, "-l", selector(m.Spec.Selector.MatchLabels))
	if len(services.Items) != 1 {
		t.Fatalf("the ServiceMonitor selects %d Services, not one: %+v", len(services.Items), services)
	}
	service := services.Items[0].Metadata.Name
	var slices struct {
		Items []struct {
			Ports []struct {
				Name string
				Port int
			}
			Endpoints []struct {
				Addresses []string
				TargetRef struct{ Name string }
			}
		}
	}
	get(t, &slices, "endpointslices", "-n", namespace, "-l", "kubernetes.io/service-name="+service)
	for _, slice := range slices.Items {
		for _, p := range slice.Ports {
			for _, e := range slice.Endpoints {
				if p.Name != port {
					continue
				}
				var pod struct {
					Metadata struct{ Labels map[string]string }
				}
				get(t, &pod, "pod", "-n", namespace, e.TargetRef.Name)
				one := staticConfig{[]string{net.JoinHostPort(e.Addresses[0], fmt.Sprint(p.Port))},
					map[string]string{"namespace": namespace, "service": service, "job": service, "pod": e.TargetRef.Name, "endpoint": port}}
				for _, label := range m.Spec.PodTargetLabels {
					one.Labels[sanitized(label)] = pod.Metadata.Labels[label]
				}
				all = append(all, one)
			}
		}
	}
	return all
}

// configure writes what to scrape and the rules, as they are in the cluster now.
func (p *prometheus) configure(t *testing.T) {
	t.Helper()
	var m serviceMonitor
	get(t, &m, "servicemonitor", "-n", f.Namespace, "kube-pprof")
	var rule struct{ Spec json.RawMessage }
	get(t, &rule, "prometheusrule", "-n", f.Namespace, "kube-pprof")
	jobs := []any{}
	for i, e := range m.Spec.Endpoints {
		for _, namespace := range m.Spec.NamespaceSelector.MatchNames {
			jobs = append(jobs, map[string]any{"job_name": fmt.Sprintf("serviceMonitor/%s/%s/%d", namespace, m.Metadata.Name, i), "metrics_path": e.Path,
				"scrape_interval": e.Interval, "scrape_timeout": e.Interval, "static_configs": staticConfigs(t, &m, namespace, e.Port)})
		}
	}
	config, err := json.Marshal(map[string]any{"global": map[string]string{"evaluation_interval": "1s"}, "rule_files": []string{"rules.json"}, "scrape_configs": jobs})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"prometheus.json": config, "rules.json": rule.Spec} {
		if err := os.WriteFile(filepath.Join(p.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func startPrometheus(t *testing.T) *prometheus {
	t.Helper()
	own := f.NeedOwn(t)
	p := &prometheus{dir: t.TempDir(), addr: "127.0.0.1:9790", own: own}
	p.client.Transport = &http.Transport{DialContext: own.Dial}
	p.configure(t)
	ctx, cancel := context.WithCancel(context.Background())
	log, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	argv := own.Net(filepath.Join(own.Tools.Prom, "prometheus"), "--config.file="+filepath.Join(p.dir, "prometheus.json"), "--storage.tsdb.path="+filepath.Join(p.dir, "data"),
		"--web.listen-address="+p.addr, "--web.enable-lifecycle")
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		log.Close()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("Prometheus: %.6000s", text)
		}
	})
	f.Within(t, 30*time.Second, "Prometheus is ready", func() error { _, err := p.ask("GET", "/-/ready", nil); return err })
	return p
}

// follow reads the targets again, after pods came and went.
func (p *prometheus) follow(t *testing.T) {
	t.Helper()
	p.configure(t)
	if _, err := p.ask("POST", "/-/reload", nil); err != nil {
		t.Fatal(err)
	}
}

func (p *prometheus) ask(method, path string, query url.Values) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.addr+path+"?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	res, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %.500s", method, path, res.Status, text)
	}
	return string(text), err
}

type series struct {
	Metric map[string]string
	Value  [2]any // time, number as text
}

func (p *prometheus) query(expr string) ([]series, error) {
	text, err := p.ask("GET", "/api/v1/query", url.Values{"query": {expr}})
	if err != nil {
		return nil, err
	}
	var answer struct{ Data struct{ Result []series } }
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	return answer.Data.Result, nil
}

// alerts are the names of those that fire, with their descriptions.
func (p *prometheus) alerts() (map[string]string, error) {
	text, err := p.ask("GET", "/api/v1/alerts", nil)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			Alerts []struct {
				State               string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	firing := map[string]string{}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			firing[a.Labels["alertname"]] = a.Annotations["description"]
		}
	}
	return firing, nil
}
