// Makes the golden texts of pkg/profile with google/pprof, which is the reference for what they say:
//
//	cd pkg/profile/testdata/reference && go run . merge ../ > ../merge.golden
//	cd pkg/profile/testdata/reference && go run . filter ../ > ../filter.golden
//
// A profile is told by its header, totals, number of samples, and the XXH64 of its samples as sorted lines of
// text (merge_fixture.h prints the same).
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/google/pprof/profile"
)

var folder string

func load(name string) *profile.Profile {
	f, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	return p
}

func frame(l *profile.Location) string {
	var b strings.Builder
	file := ""
	if l.Mapping != nil {
		file = l.Mapping.File
	}
	fmt.Fprintf(&b, "%#x@%s", l.Address, file)
	if l.IsFolded {
		b.WriteString(" folded")
	}
	for _, n := range l.Line {
		fmt.Fprintf(&b, " %s|%s|%s|%d:%d:%d", n.Function.Name, n.Function.SystemName, n.Function.Filename,
			n.Function.StartLine, n.Line, n.Column)
	}
	return b.String()
}

func labels(s *profile.Sample) []string {
	var out []string
	for k, values := range s.Label {
		for _, v := range values {
			out = append(out, k+"="+v)
		}
	}
	for k, values := range s.NumLabel {
		for i, v := range values {
			unit := ""
			if i < len(s.NumUnit[k]) {
				unit = s.NumUnit[k][i]
			}
			out = append(out, fmt.Sprintf("%s=%d %s", k, v, unit))
		}
	}
	sort.Strings(out)
	return out
}

func say(title string, p *profile.Profile) {
	totals := make([]int64, len(p.SampleType))
	var lines []string
	for _, s := range p.Sample {
		var b strings.Builder
		for _, l := range s.Location {
			b.WriteString(frame(l) + ";")
		}
		b.WriteString(" " + strings.Join(labels(s), ","))
		for i, v := range s.Value {
			totals[i] += v
			fmt.Fprintf(&b, " %d", v)
		}
		lines = append(lines, b.String())
	}
	sort.Strings(lines)
	fmt.Printf("%s\n  time %d duration %d period %d default '%s' samples %d\n ", title, p.TimeNanos,
		p.DurationNanos, p.Period, p.DefaultSampleType, len(p.Sample))
	for i, t := range p.SampleType {
		fmt.Printf(" %s/%s %d", t.Type, t.Unit, totals[i])
	}
	fmt.Printf("\n  stacks %016x\n", xxhash.Sum64String(strings.Join(lines, "\n")))
}

func merge(title string, names ...string) {
	var all []*profile.Profile
	for _, n := range names {
		all = append(all, load(n))
	}
	p, err := profile.Merge(all)
	if err != nil {
		log.Fatal(err)
	}
	say(title, p)
}

func captures(kind string, n int) []string {
	var names []string
	for i := 0; i < n; i++ {
		names = append(names, fmt.Sprintf("merge/%s.%02d.pb.gz", kind, i%10+1))
	}
	return names
}

func mergeGolden() {
	for _, kind := range []string{"cpu", "heap"} {
		for _, n := range []int{1, 2, 10, 30} {
			merge(fmt.Sprintf("%s x %d", kind, n), captures(kind, n)...)
		}
	}
	merge("two programs", "corpus/etcd-cpu.pb.gz", "corpus/prom-cpu.pb.gz")
	merge("labels", "odd/labels-1.pb.gz", "odd/labels-1.pb.gz", "odd/no-mapping.pb.gz")
	merge("mutex", "corpus/etcd-mutex.pb.gz", "corpus/prom-mutex.pb.gz")
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: go run . merge|filter TESTDATA")
	}
	folder = os.Args[2]
	switch os.Args[1] {
	case "merge":
		mergeGolden()
	default:
		log.Fatal("merge or filter")
	}
}
