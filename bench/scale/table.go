package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
)

type row struct {
	what, ours, beside, wanted string
	reached                    *bool // nil: nothing is wanted of it
}

type table struct{ rows []row }

func (t *table) add(what, ours, beside string) {
	t.rows = append(t.rows, row{what: what, ours: ours, beside: beside})
	fmt.Fprintf(os.Stderr, "    %s: %s  %s\n", what, ours, beside)
}

// want adds a row with a figure that has to be at most limit.
func (t *table) want(what, ours, beside string, figure, limit float64, unit string) {
	ok := figure <= limit // false for NaN
	r := row{what, ours, beside, strings.TrimSpace(fmt.Sprintf("%.3g of at most %.3g %s", figure, limit, unit)), &ok}
	t.rows = append(t.rows, r)
	fmt.Fprintf(os.Stderr, "    %s: %s  %s  %s\n", what, ours, beside, r.wanted)
}

func (t *table) print() (missed int) {
	fmt.Println()
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "what\tkube-pprof\tbeside it\twanted")
	for _, r := range t.rows {
		verdict := ""
		if r.reached != nil {
			verdict = "reached: "
			if !*r.reached {
				verdict = "MISSED: "
				missed++
			}
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s%s\n", r.what, r.ours, r.beside, verdict, r.wanted)
	}
	out.Flush()
	return missed
}
