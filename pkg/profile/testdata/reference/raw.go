package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"sort"

	"github.com/google/pprof/profile"
)

type row struct {
	name      string
	flat, cum int64
}

func top(p *profile.Profile, out *bytes.Buffer) {
	rows := map[string]*row{}
	totals := make([]int64, len(p.SampleType))
	for _, s := range p.Sample {
		for i, v := range s.Value {
			totals[i] += v
		}
		v, seen := s.Value[len(s.Value)-1], map[string]bool{}
		for k, l := range s.Location {
			for j, line := range l.Line {
				name := line.Function.Name
				if rows[name] == nil {
					rows[name] = &row{name: name}
				}
				if k == 0 && j == 0 {
					rows[name].flat += v
				}
				if !seen[name] {
					rows[name].cum += v
				}
				seen[name] = true
			}
		}
	}
	for i, t := range p.SampleType {
		fmt.Fprintf(out, "total %s %d\n", t.Type, totals[i])
	}
	var sorted []*row
	for _, r := range rows {
		if r.flat != 0 {
			sorted = append(sorted, r)
		}
	}
	sort.Slice(sorted, func(i, j int) bool {
		if sorted[i].flat != sorted[j].flat {
			return sorted[i].flat > sorted[j].flat
		}
		return sorted[i].name < sorted[j].name
	})
	for i, r := range sorted {
		if i < 10 {
			fmt.Fprintf(out, "%d %d %s\n", r.flat, r.cum, r.name)
		}
	}
}

var times = regexp.MustCompile(`(?m)^(Time|Duration): .*\n`)

// A profile in its raw form with time and duration in nanoseconds, then totals and the ten functions with the
// largest own value.
func raw(p *profile.Profile) []byte {
	var out bytes.Buffer
	out.WriteString(times.ReplaceAllStringFunc(p.String(), func(line string) string {
		if line[0] == 'T' {
			return fmt.Sprintf("TimeNanos: %d\n", p.TimeNanos)
		}
		return fmt.Sprintf("DurationNanos: %d\n", p.DurationNanos)
	}))
	if p.DropFrames != "" {
		fmt.Fprintf(&out, "DropFrames: %s\nKeepFrames: %s\n", p.DropFrames, p.KeepFrames)
	}
	top(p, &out)
	return out.Bytes()
}

func rawGolden(out string, files []string) {
	for _, file := range files {
		var gz bytes.Buffer
		data, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		p, err := profile.ParseData(data)
		if err != nil {
			fmt.Println(file, err)
			continue
		}
		zw, _ := gzip.NewWriterLevel(&gz, 9)
		zw.Write(raw(p))
		zw.Close()
		if err := os.WriteFile(filepath.Join(out, filepath.Base(file)+".txt.gz"), gz.Bytes(), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
