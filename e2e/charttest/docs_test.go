package charttest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kube-pprof.dev/e2e/framework"
)

// anchors are the names headings are linked by.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile("[^a-z0-9 _-]").ReplaceAllString(strings.ToLower(m[1]), "")
		all[strings.ReplaceAll(name, " ", "-")] = true
	}
	return all
}

func TestLinksOfTheDocsLeadSomewhere(t *testing.T) {
	root := framework.Root()
	files, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d pages: %v", len(files), err)
	}
	n := 0
	for _, file := range append(files, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)\s:]*?)(#[^)\s]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			target := file
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(file), m[1])
			}
			page, err := os.ReadFile(target)
			if st, statErr := os.Stat(target); statErr == nil && st.IsDir() && m[2] == "" {
				continue
			}
			if err != nil {
				t.Errorf("%s links to %s, which is not there", filepath.Base(file), m[1])
			} else if m[2] != "" && !anchors(string(page))[m[2][1:]] {
				t.Errorf("%s links to %s%s, where no such heading is", filepath.Base(file), m[1], m[2])
			}
			n++
		}
	}
	if n < 20 {
		t.Errorf("only %d links were found", n)
	}
}
