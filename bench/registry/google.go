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
	for _, kind := range []string{"cpu", "heap", "goroutine"} {
		bodies, err := captures(args[0], kind)
		if err != nil {
			return err
		}
		var took []time.Duration
		for round := 0; round < 10; round++ {
			for _, body := range bodies {
				began := time.Now()
				if _, err := profile.ParseData(body); err != nil {
					return err
				}
				took = append(took, time.Since(began))
			}
		}
		m := median(took) // sorts
		fmt.Printf("google/pprof Parse %-9s best %.3f ms, median %.3f ms\n", kind, ms(took[0]), ms(m))
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
