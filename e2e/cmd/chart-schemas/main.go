// chart-schemas writes what a release of Kubernetes says of the kinds that the chart makes: the schemas of its OpenAPI, without texts.
// They come from the source, a Go module. Run it in e2e/, for each version in charttest/testdata/openapi:
//
//	go run ./cmd/chart-schemas v1.29.15 >charttest/testdata/openapi/v1.29.json
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// files of api/openapi-spec/v3 and the kinds in them; a file that a version does not have is left out.
var files = map[string][]string{
	"api__v1":                             {"ConfigMap", "PersistentVolumeClaim", "Pod", "Secret", "Service", "ServiceAccount"},
	"apis__apps__v1":                      {"Deployment", "StatefulSet"},
	"apis__batch__v1":                     {"Job"},
	"apis__rbac.authorization.k8s.io__v1": {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"},
	"apis__networking.k8s.io__v1":         {"NetworkPolicy"},
	"apis__policy__v1":                    {"PodDisruptionBudget"},
	"apis__apiextensions.k8s.io__v1":      {"CustomResourceDefinition"},
}

type spec = map[string]any

// Document is one file of testdata/openapi.
type Document struct {
	Version string            `json:"version"`
	Kinds   map[string]string `json:"kinds"` // apps/v1/Deployment -> name in Schemas
	Schemas map[string]spec   `json:"schemas"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: chart-schemas VERSION >FILE")
		os.Exit(2)
	}
	doc, err := read(os.Args[1])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(doc)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chart-schemas:", err)
		os.Exit(1)
	}
}

func read(version string) (*Document, error) {
	out, err := exec.Command("go", "mod", "download", "-json", "k8s.io/kubernetes@"+version).Output()
	if err != nil {
		return nil, fmt.Errorf("go mod download k8s.io/kubernetes@%s: %w: %s", version, err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, err
	}
	doc := &Document{Version: version, Kinds: map[string]string{}, Schemas: map[string]spec{}}
	for file, kinds := range files {
		data, err := os.ReadFile(filepath.Join(module.Dir, "api/openapi-spec/v3", file+"_openapi.json"))
		if err != nil {
			return nil, err
		}
		var text struct {
			Components struct{ Schemas map[string]spec }
		}
		if err := json.Unmarshal(data, &text); err != nil {
			return nil, err
		}
		for _, kind := range kinds {
			if err := doc.take(text.Components.Schemas, kind); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return doc, nil
}

// take finds the kind by what its schema says of itself.
func (d *Document) take(schemas map[string]spec, kind string) error {
	for name, schema := range schemas {
		for _, g := range list(schema["x-kubernetes-group-version-kind"]) {
			gvk := g.(spec)
			if gvk["kind"] != kind {
				continue
			}
			d.Kinds[strings.TrimPrefix(fmt.Sprintf("%s/%s/%s", gvk["group"], gvk["version"], kind), "/")] = name
			d.add(schemas, name)
			return nil
		}
	}
	return fmt.Errorf("no kind %s", kind)
}

func list(v any) []any { l, _ := v.([]any); return l }

func (d *Document) add(schemas map[string]spec, name string) {
	if d.Schemas[name] != nil {
		return
	}
	d.Schemas[name] = schemas[name]
	d.trim(schemas, schemas[name], false)
}

// What tells items of a list apart; before 1.30 only the second said so.
var kept = []string{"x-kubernetes-list-map-keys", "x-kubernetes-patch-merge-key"}

// trim removes texts and adds what is referred to. Below properties a key is a field's name.
func (d *Document) trim(schemas map[string]spec, v any, names bool) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			d.trim(schemas, item, false)
		}
	case spec:
		for key, value := range v {
			switch {
			case names:
				d.trim(schemas, value, false)
			case key == "description" || key == "default" || strings.HasPrefix(key, "x-kubernetes-") && !slices.Contains(kept, key):
				delete(v, key)
			case key == "$ref":
				d.add(schemas, strings.TrimPrefix(value.(string), "#/components/schemas/"))
			default:
				d.trim(schemas, value, key == "properties")
			}
		}
	}
}
