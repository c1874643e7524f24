package charttest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"kube-pprof.dev/e2e/chartdoc"
	"kube-pprof.dev/e2e/framework"
)

func TestTheREADMEIsMadeFromTheValues(t *testing.T) {
	want, err := chartdoc.README(chart)
	if err != nil {
		t.Fatal(err)
	}
	if have, err := os.ReadFile(filepath.Join(chart, "README.md")); err != nil || string(have) != want {
		t.Errorf("README.md is not as values.yaml has it (%v): cd e2e && go run ./cmd/chart-readme", err)
	}
	for _, bad := range []string{"| `` |", "\n| `watchNamespaces` | `[]` |  |"} {
		if strings.Contains(want, bad) {
			t.Errorf("the table has %q", bad)
		}
	}
}

func TestTheTableOfValues(t *testing.T) {
	got, err := chartdoc.Table([]byte("# of the file\n\n# of a\na:\n  b: 1          # one | two\n  # above\n  # c\n  c: {x: \"\", y: [p, q]}\nd: \"\"\n"))
	want := "| key | default | |\n|---|---|---|\n| `a` | | of a |\n| `a.b` | `1` | one \\| two |\n| `a.c` | `{x: \"\", y: [p, q]}` | above c |\n| `d` | `\"\"` |  |\n"
	if err != nil || got != want {
		t.Errorf("%v:\n%s\nnot\n%s", err, got, want)
	}
}

// Every value has a place in the schema, every place a value, and no object takes fields that nobody reads.
func TestSchemaAndValuesAreOfTheSameKeys(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(chart, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var root schema
	if err := json.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	if text(root, "$schema") != "http://json-schema.org/draft-07/schema#" {
		t.Error("helm reads draft 7")
	}
	var compare func(path string, s schema, value any)
	compare = func(path string, s schema, value any) {
		properties := at2(s, "properties")
		m, isMap := value.(map[string]any)
		if properties == nil || !isMap || len(m) == 0 { // empty: what is of Kubernetes, for who sets it
			return
		}
		if s["additionalProperties"] == nil {
			t.Errorf("%s takes anything", path)
		}
		for key, v := range m {
			if properties[key] == nil {
				t.Errorf("%s.%s is not in the schema", path, key)
			} else {
				compare(path+"."+key, properties[key].(schema), v)
			}
		}
		for key := range properties {
			// what is only for who sets it
			if _, there := m[key]; !there && s["additionalProperties"] == false && !slices.Contains([]string{".global", ".controller.resources.claims", ".registry.resources.claims"}, path+"."+key) {
				t.Errorf("%s.%s is not in values.yaml", path, key)
			}
		}
	}
	compare("", root, map[string]any(readYAML(t, filepath.Join(chart, "values.yaml"))))
}

func TestChartYAML(t *testing.T) {
	c := readYAML(t, filepath.Join(chart, "Chart.yaml"))
	semver := regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)
	for _, key := range []string{"apiVersion", "name", "description", "type", "version", "appVersion", "kubeVersion", "home", "icon"} {
		if text(c, key) == "" {
			t.Errorf("no %s", key)
		}
	}
	if !semver.MatchString(text(c, "version")) || text(c, "version") != text(c, "appVersion") {
		t.Errorf("versions %s and %s", text(c, "version"), text(c, "appVersion"))
	}
	for _, key := range []string{"keywords", "sources", "maintainers"} {
		if len(items(c, key)) == 0 {
			t.Errorf("no %s", key)
		}
	}
	for _, file := range []string{"README.md", "LICENSE", "values.schema.json"} {
		if _, err := os.Stat(filepath.Join(chart, file)); err != nil {
			t.Error(err)
		}
	}
	ours, errA := os.ReadFile(filepath.Join(framework.Root(), "LICENSE"))
	if copied, errB := os.ReadFile(filepath.Join(chart, "LICENSE")); errA != nil || errB != nil || string(ours) != string(copied) {
		t.Error("the chart's LICENSE is another")
	}
	if repo := readYAML(t, filepath.Join(framework.Root(), "charts/artifacthub-repo.yml")); len(items(repo, "owners")) == 0 {
		t.Error("charts/artifacthub-repo.yml names no owners")
	}
}

// What Artifact Hub shows, in the forms it reads.
func TestArtifactHub(t *testing.T) {
	c := readYAML(t, filepath.Join(chart, "Chart.yaml"))
	notes := at2(c, "annotations")
	list := func(key string) []any {
		var l []any
		if err := yaml.Unmarshal([]byte(text(notes, "artifacthub.io/"+key)), &l); err != nil || len(l) == 0 {
			t.Errorf("%s: %v %v", key, l, err)
		}
		return l
	}
	for key, allowed := range map[string][]string{
		"category": {"monitoring-logging"}, "license": {"Apache-2.0"}, "operator": {"true"}, "prerelease": {"true", "false"}, "containsSecurityUpdates": {"true", "false"},
		"operatorCapabilities": {"basic install", "seamless upgrades", "full lifecycle", "deep insights", "auto pilot"},
	} {
		if !slices.Contains(allowed, text(notes, "artifacthub.io/"+key)) {
			t.Errorf("%s is %q", key, text(notes, "artifacthub.io/"+key))
		}
	}
	for _, change := range list("changes") {
		if !slices.Contains([]string{"added", "changed", "deprecated", "removed", "fixed", "security"}, text(change, "kind")) || text(change, "description") == "" {
			t.Errorf("a change %v", change)
		}
	}
	for _, link := range list("links") {
		if text(link, "name") == "" || !strings.HasPrefix(text(link, "url"), "https://") {
			t.Errorf("a link %v", link)
		}
	}
	images := list("images")
	if len(images) != 1 || !strings.HasSuffix(text(images[0], "image"), "kube-pprof:"+text(c, "appVersion")) {
		t.Errorf("images %v, the version is %s", images, text(c, "appVersion"))
	}
	var kinds []string
	for _, crd := range list("crds") {
		kinds = append(kinds, text(crd, "kind"))
		found := false
		for key := range policySchemas(t) {
			found = found || key == "kube-pprof.dev/"+text(crd, "version")+"/"+text(crd, "kind")
		}
		if !found || text(crd, "name") != strings.ToLower(strings.TrimSuffix(text(crd, "kind"), "y"))+"ies.kube-pprof.dev" || text(crd, "displayName") == "" || text(crd, "description") == "" {
			t.Errorf("a kind %v", crd)
		}
	}
	if len(kinds) != len(policySchemas(t)) {
		t.Errorf("kinds %v", kinds)
	}
	for _, example := range list("crdsExamples") {
		o, _ := example.(map[string]any)
		c := checker{}
		s := policySchemas(t)[text(o, "apiVersion")+"/"+text(o, "kind")]
		if s == nil {
			t.Errorf("an example of no kind: %v", o)
			continue
		}
		if c.check(s, o, text(o, "kind")); c.errs != nil {
			t.Errorf("an example: %v", c.errs)
		}
	}
}
