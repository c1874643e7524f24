package charttest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kube-pprof.dev/e2e/framework"
)

type schema = map[string]any

// checker compares values with schemas. Fields that a schema does not know are errors, as with kubectl's --validate=strict.
type checker struct {
	schemas map[string]schema
	errs    []string
}

func (c *checker) fail(path, format string, a ...any) {
	c.errs = append(c.errs, path+": "+fmt.Sprintf(format, a...))
}

func (c *checker) check(s schema, v any, path string) {
	if v == nil { // like a field that is not there
		return
	}
	if ref, ok := s["$ref"].(string); ok {
		c.check(c.schemas[strings.TrimPrefix(ref, "#/components/schemas/")], v, path)
	}
	for _, part := range items(s, "allOf") {
		c.check(part.(schema), v, path)
	}
	if s["format"] == "int-or-string" || s["oneOf"] != nil || s["x-kubernetes-int-or-string"] == true {
		switch v.(type) {
		case string, float64, int64:
		default:
			c.fail(path, "%T is neither number nor text", v)
		}
		return
	}
	switch s["type"] {
	case "object":
		c.object(s, v, path)
	case "array":
		c.array(s, v, path)
	case "string":
		c.text(s, v, path)
	case "boolean":
		if _, ok := v.(bool); !ok {
			c.fail(path, "%T is no boolean", v)
		}
	case "integer", "number":
		c.number(s, v, path)
	}
}

func (c *checker) object(s schema, v any, path string) {
	m, ok := v.(map[string]any)
	if !ok {
		c.fail(path, "%T is no object", v)
		return
	}
	properties, _ := s["properties"].(map[string]any)
	more, open := s["additionalProperties"].(map[string]any)
	for key, value := range m {
		if property, ok := properties[key].(map[string]any); ok {
			c.check(property, value, path+"."+key)
		} else if open {
			c.check(more, value, path+"."+key)
		} else if properties != nil {
			c.fail(path, "unknown field %q", key)
		}
	}
	for _, key := range items(s, "required") {
		if m[key.(string)] == nil {
			c.fail(path, "no %s", key)
		}
	}
}

func (c *checker) array(s schema, v any, path string) {
	list, ok := v.([]any)
	if !ok {
		c.fail(path, "%T is no list", v)
		return
	}
	seen, keys := map[string]bool{}, items(s, "x-kubernetes-list-map-keys")
	if merge := s["x-kubernetes-patch-merge-key"]; keys == nil && merge != nil {
		keys = []any{merge}
	}
	for i, item := range list {
		c.check(s["items"].(map[string]any), item, fmt.Sprintf("%s[%d]", path, i))
		key := ""
		for _, k := range keys {
			key += text(item, k.(string)) + "\x00"
		}
		if key != "" && seen[key] {
			c.fail(path, "two items %q", strings.TrimSuffix(key, "\x00"))
		}
		seen[key] = true
	}
}

func (c *checker) text(s schema, v any, path string) {
	value, ok := v.(string)
	if !ok {
		c.fail(path, "%T %v is no text", v, v)
		return
	}
	if enum := items(s, "enum"); enum != nil && !slices.Contains(enum, any(value)) {
		c.fail(path, "%q is none of %v", value, enum)
	}
	if pattern, ok := s["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(value) {
		c.fail(path, "%q is not %s", value, pattern)
	}
}

func (c *checker) number(s schema, v any, path string) {
	n, ok := v.(float64)
	if !ok {
		c.fail(path, "%T %v is no number", v, v)
	} else if s["type"] == "integer" && n != float64(int64(n)) {
		c.fail(path, "%v is no whole number", n)
	}
}

type release struct {
	Version string
	Kinds   map[string]string
	Schemas map[string]schema
}

func releases(t *testing.T) []release {
	t.Helper()
	files, err := filepath.Glob("testdata/openapi/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files of schemas (%v)", len(files), err)
	}
	var all []release
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r release
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// policySchemas are those of our own kinds.
func policySchemas(t *testing.T) map[string]schema {
	t.Helper()
	found := map[string]schema{}
	files, _ := filepath.Glob(filepath.Join(framework.Root(), "crds/*.yaml"))
	for _, file := range files {
		crd := readYAML(t, file)
		for _, version := range items(crd, "spec", "versions") {
			s := at(version, "schema", "openAPIV3Schema").(map[string]any)
			delete(at(s, "properties").(map[string]any), "metadata")
			s["properties"].(map[string]any)["metadata"] = schema{"type": "object"}
			found[text(crd, "spec", "group")+"/"+text(version, "name")+"/"+text(crd, "spec", "names", "kind")] = s
		}
	}
	if len(found) < 2 {
		t.Fatalf("%d kinds of policies", len(found))
	}
	return found
}

// Kinds of others: their schemas belong to them.
var others = []string{"cert-manager.io/", "monitoring.coreos.com/"}

func TestEveryObjectIsAsSeveralKubernetesVersionsWantIt(t *testing.T) {
	ours := policySchemas(t)
	for _, r := range releases(t) {
		kinds := map[string]bool{}
		for _, in := range matrix(t) {
			for _, o := range in.objects {
				kind := text(o, "apiVersion") + "/" + o.kind()
				s, known := r.Schemas[r.Kinds[kind]], r.Kinds[kind] != ""
				if s == nil {
					s, known = ours[kind], ours[kind] != nil
				}
				if !known {
					if !slices.ContainsFunc(others, func(p string) bool { return strings.HasPrefix(kind, p) }) {
						t.Errorf("%s: %s has no %s", in.name, r.Version, kind)
					}
					continue
				}
				kinds[kind] = true
				c := checker{schemas: r.Schemas}
				c.check(s, map[string]any(o), o.kind()+" "+o.name())
				for _, err := range c.errs {
					t.Errorf("%s, Kubernetes %s: %s", in.name, r.Version, err)
				}
			}
		}
		if len(kinds) < 15 {
			t.Errorf("only %d kinds were looked at with %s", len(kinds), r.Version)
		}
	}
}

// The checker itself finds what it is for.
func TestTheCheckerFindsMistakes(t *testing.T) {
	const good = `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {"replicas": 1, "selector": {}, "template": {"spec":
		{"containers": [{"name": "a", "image": "b", "ports": [{"containerPort": 80, "name": "x"}], "resources": {"limits": {"cpu": 1}}}]}}}}`
	for _, r := range releases(t) {
		for from, to := range map[string]string{
			`"replicas": 1`: `"replicas": "1"`, `"image"`: `"imgae"`, `"name": "a",`: ``, `[{"name": "a"`: `[{"name": "a"}, {"name": "a"`, `{"cpu": 1}`: `{"cpu": true}`,
			`"selector": {}`: `"selector": []`, `"containerPort": 80`: `"containerPort": 80.5`, `{"containers"`: `{"restartPolicy": {}, "containers"`,
		} {
			for i, manifest := range []string{good, strings.Replace(good, from, to, 1)} {
				var v map[string]any
				if err := json.Unmarshal([]byte(manifest), &v); err != nil {
					t.Fatal(err)
				}
				c := checker{schemas: r.Schemas}
				c.check(r.Schemas[r.Kinds["apps/v1/Deployment"]], v, "x")
				if (len(c.errs) > 0) != (i == 1) {
					t.Errorf("%s, %s: %v", r.Version, manifest, c.errs)
				}
			}
		}
	}
}

// What needs a newer Kubernetes than the chart allows would be dropped without a word by an older one.
func TestTheOldestSchemasAreOfTheOldestVersionAllowed(t *testing.T) {
	want := text(readYAML(t, filepath.Join(chart, "Chart.yaml")), "kubeVersion")
	oldest := releases(t)[0].Version
	minor := strings.Join(strings.Split(strings.TrimPrefix(oldest, "v"), ".")[:2], ".")
	if want != ">="+minor+".0-0" {
		t.Errorf("the chart wants %s, the oldest schemas are of %s", want, oldest)
	}
}
