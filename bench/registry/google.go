package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"time"

	"github.com/google/pprof/profile"
)

// captures returns the bodies of one type, in order of their names.
func captures(dir, kind string) ([][]byte, error) {
	names, err := filepath.Glob(filepath.Join(dir, kind+".*.pb.gz"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no %s captures in %s", kind, dir)
	}
	sort.Strings(names)
	var bodies [][]byte
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, body)
	}
	return bodies, nil
}

func median(d []time.Duration) time.Duration {
	sort.Slice(d, func(i, k int) bool { return d[i] < d[k] })
	return d[len(d)/2]
}

func parse(args []string) error {
	kinds := []string{"cpu", "heap", "goroutine"}
	if len(args) > 1 {
		kinds = args[1:]
	}
	for _, kind := range kinds {
		bodies, err := captures(args[0], kind)
		if err != nil {
			return err
		}
		var took []time.Duration
		cpu := own()
		best := make([]time.Duration, len(bodies))
		for round := 0; round < 20; round++ {
			for i, body := range bodies {
				began := time.Now()
				if _, err := profile.ParseData(body); err != nil {
					return err
				}
				d := time.Since(began)
				took = append(took, d)
				if round == 0 || d < best[i] {
					best[i] = d
				}
			}
		}
		var sum time.Duration
		for _, d := range best {
			sum += d
		}
		each := (own() - cpu) / time.Duration(len(took)) // with what collecting garbage took
		fmt.Printf("google/pprof Parse %s: best %.3f ms, median %.3f ms, CPU time %.3f ms\n", kind, ms(sum)/float64(len(best)), ms(median(took)), ms(each))
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func merge(args []string) error {
	if len(args) < 3 {
		usage()
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	bodies, err := captures(args[0], args[1])
	if err != nil {
		return err
	}
	var took []time.Duration
	for round := 0; round < 5; round++ {
		began := time.Now()
		var all []*profile.Profile
		for i := 0; i < n; i++ {
			p, err := profile.ParseData(bodies[i%len(bodies)])
			if err != nil {
				return err
			}
			all = append(all, p)
		}
		sum, err := profile.Merge(all)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if err := sum.Write(&out); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	d := median(took)
	fmt.Printf("google/pprof Parse + Merge + Write, %d %s: %.1f ms, %.3f ms each\n", n, args[1], ms(d), ms(d)/float64(n))
	return nil
}
