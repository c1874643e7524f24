// Makes the golden texts of pkg/profile with google/pprof, which is the reference for what they say:
//
//	cd pkg/profile/testdata/reference && go run . merge ../ > ../merge.golden
//	cd pkg/profile/testdata/reference && go run . filter ../ > ../filter.golden
//	cd pkg/profile/testdata/reference && go run . raw ../raw ../corpus/* ../odd/* ../legacy/*
//
// A profile is told by its header, totals, number of samples, and the XXH64 of its samples as sorted lines of
// text (merge_fixture.h prints the same).
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
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

func pattern(text string) *regexp.Regexp {
	if text == "" {
		return nil
	}
	return regexp.MustCompile(text)
}

func tagMatch(text string) profile.TagMatch {
	if text == "" {
		return nil
	}
	rx := regexp.MustCompile(text)
	return func(s *profile.Sample) bool {
		for key, values := range s.Label {
			for _, v := range values {
				if rx.MatchString(key+":"+v) || rx.MatchString(v) {
					return true
				}
			}
		}
		return false
	}
}

// file, focus, ignore, hide, show, tag focus, tag ignore
var filters = [][7]string{
	{"corpus/etcd-cpu.pb.gz", "grpc"},
	{"corpus/etcd-cpu.pb.gz", "", "^runtime\\."},
	{"corpus/etcd-cpu.pb.gz", "(?i)RAFT|bbolt", "syscall\\.Syscall$"},
	{"corpus/etcd-cpu.pb.gz", "", "", "^runtime\\.|google"},
	{"corpus/etcd-cpu.pb.gz", "", "", "", "etcd"},
	{"corpus/etcd-cpu.pb.gz", "server", "mvcc", "^net", "etcd|grpc|net"},
	{"corpus/etcd-cpu.pb.gz", "nothing has this name"},
	{"corpus/prom-cpu.pb.gz", "tsdb/.*\\.go"},
	{"corpus/prom-cpu.pb.gz", "bin/prometheus$"},
	{"corpus/etcd-cpu.pb.gz", "", "libc|vdso|pthread"},
	{"corpus/prom-heap.pb.gz", "scrape", "labels\\.\\(|append$"},
	{"corpus/prom-goroutine.pb.gz", "", "", "gopark", "prometheus"},
	{"odd/labels-1.pb.gz", "", "", "", "", "^red$"},
	{"odd/labels-1.pb.gz", "", "", "", "", "tenant:b|env:"},
	{"odd/labels-1.pb.gz", "", "", "", "", "", "^tenant:red"},
	{"odd/sample-without-stack.pb.gz", "", "nothing has this name"},
	{"odd/no-mapping.pb.gz", "", "", "x"},
}

func filterGolden() {
	for _, f := range filters {
		p := load(f[0])
		if f[1] != "" || f[2] != "" || f[3] != "" || f[4] != "" {
			p.FilterSamplesByName(pattern(f[1]), pattern(f[2]), pattern(f[3]), pattern(f[4]))
		}
		p.FilterSamplesByTag(tagMatch(f[5]), tagMatch(f[6]))
		say(strings.Join(f[:], " "), p)
	}
	for keep := 0; keep < 64; keep += 7 {
		p := load("corpus/etcd-cpu.pb.gz")
		if err := p.Aggregate(keep&32 != 0, keep&1 != 0, keep&2 != 0, keep&4 != 0, keep&8 != 0, keep&16 != 0); err != nil {
			log.Fatal(err)
		}
		if keep&1 == 0 {
			for _, f := range p.Function {
				f.StartLine = 0 // a function without a name has none here
			}
		}
		say(fmt.Sprintf("aggregate %d", keep), p)
		say(fmt.Sprintf("aggregate %d, compact", keep), p.Compact())
	}
	drops := [][2]string{
		{"runtime\\.mallocgc", ""},
		{"runtime\\..*", ""},
		{"runtime\\..*", "runtime\\.(mcall|gcBgMarkWorker.*)"},
		{"syscall\\.Sys", ""},
		{"(.*\\.)?(Read|Write|Sync)|google.golang.org/grpc.*", ".*\\(\\*serverConn\\).*"},
		{".*", ""},
	}
	for _, d := range drops {
		p := load("corpus/etcd-cpu.pb.gz")
		p.DropFrames, p.KeepFrames = d[0], d[1]
		if err := p.RemoveUninteresting(); err != nil {
			log.Fatal(err)
		}
		say("drop "+d[0]+" keep "+d[1], p)
	}
	p := load("corpus/prom-heap.pb.gz")
	p.ScaleN([]float64{0.5, 1.0 / 3, 0.00001, -2})
	say("scale", p)
	heap, other := load("corpus/prom-heap.pb.gz"), load("corpus/etcd-heap.pb.gz")
	other.SampleType = []*profile.ValueType{other.SampleType[3], {Type: "extra"}, {Type: "more"}, other.SampleType[0]}
	other.DefaultSampleType = "more"
	if err := profile.CompatibilizeSampleTypes([]*profile.Profile{heap, other}); err != nil {
		log.Fatal(err)
	}
	say("common types, first", heap)
	say("common types, second", other)
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: go run . merge|filter TESTDATA, or raw OUT_FOLDER FILES...")
	}
	folder = os.Args[2]
	switch os.Args[1] {
	case "merge":
		mergeGolden()
	case "filter":
		filterGolden()
	case "raw":
		rawGolden(os.Args[2], os.Args[3:])
	default:
		log.Fatal("merge, filter or raw")
	}
}
