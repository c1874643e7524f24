package charttest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// manifest is one that the chart makes.
type manifest map[string]any

var betweenObjects = regexp.MustCompile(`(?m)^---.*$`)

// parse splits what helm rendered; two keys of one name are an error.
func parse(t *testing.T, text string) []manifest {
	t.Helper()
	var all []manifest
	for _, doc := range betweenObjects.Split(text, -1) {
		var o manifest
		if err := yaml.UnmarshalStrict([]byte(doc), &o); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if len(o) > 0 {
			all = append(all, o)
		}
	}
	return all
}

// at follows keys of maps; nil if one is not there.
func at(v any, keys ...string) any {
	for _, key := range keys {
		if o, ok := v.(manifest); ok {
			v = map[string]any(o)
		}
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

func text(v any, keys ...string) string {
	if v = at(v, keys...); v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func items(v any, keys ...string) []any { l, _ := at(v, keys...).([]any); return l }

func (o manifest) kind() string { return text(o, "kind") }
func (o manifest) name() string { return text(o, "metadata", "name") }
func (o manifest) hook() string { return text(o, "metadata", "annotations", "helm.sh/hook") }

// of are the objects of a kind, in all or with a name.
func of(all []manifest, kind string, name ...string) []manifest {
	var found []manifest
	for _, o := range all {
		if o.kind() == kind && (len(name) == 0 || slices.Contains(name, o.name())) {
			found = append(found, o)
		}
	}
	return found
}

// one is the manifest of that kind and name.
func one(t *testing.T, all []manifest, kind, name string) manifest {
	t.Helper()
	found := of(all, kind, name)
	if len(found) != 1 {
		t.Fatalf("%d times %s %s", len(found), kind, name)
	}
	return found[0]
}

// pod is what the manifest makes pods of, with metadata and spec; nil if it makes none.
func (o manifest) pod() map[string]any {
	switch o.kind() {
	case "Pod":
		return o
	case "Deployment", "StatefulSet", "Job":
		return at(o, "spec", "template").(map[string]any)
	}
	return nil
}

// installation is one row of the matrix: a file of testdata/values.
type installation struct {
	name    string
	objects []manifest
}

var matrixCache []installation

// matrix renders the chart with every file of testdata/values, as a cluster with the APIs of all optional parts would.
func matrix(t *testing.T) []installation {
	t.Helper()
	if matrixCache != nil {
		return matrixCache
	}
	files, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d files of values (%v)", len(files), err)
	}
	for _, file := range files {
		out, err := helm(t, "template", "kube-pprof", chart, "-n", "prof", "--kube-version", "1.29", "-f", file)
		if err != nil {
			t.Fatalf("%s: %s", file, out)
		}
		matrixCache = append(matrixCache, installation{strings.TrimSuffix(filepath.Base(file), ".yaml"), parse(t, out)})
	}
	return matrixCache
}

func readYAML(t *testing.T, file string) manifest {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var o manifest
	if err := yaml.Unmarshal(data, &o); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return o
}
