// chart-readme writes the table of values in the chart's README.md anew, from values.yaml. Run it in e2e/: go run ./cmd/chart-readme
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"kube-pprof.dev/e2e/chartdoc"
	"kube-pprof.dev/e2e/framework"
)

func main() {
	chart := filepath.Join(framework.Root(), "charts/kube-pprof")
	text, err := chartdoc.README(chart)
	if err == nil {
		err = os.WriteFile(filepath.Join(chart, "README.md"), []byte(text), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chart-readme:", err)
		os.Exit(1)
	}
}
