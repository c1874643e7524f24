//go:build ignore

// The same with google/pprof: microseconds of ParseData, the best and the median of many rounds. In an empty folder:
//
//	go mod init x && go get github.com/google/pprof && go run .../bench/codec/parse.go FILES...
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/google/pprof/profile"
)

func main() {
	fmt.Printf("%-28s %8s %8s\n", "microseconds", "best", "median")
	for _, file := range os.Args[1:] {
		data, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		var us []float64
		for i := 0; i < 200; i++ {
			start := time.Now()
			if _, err := profile.ParseData(data); err != nil {
				panic(err)
			}
			us = append(us, float64(time.Since(start).Nanoseconds())/1e3)
		}
		sort.Float64s(us)
		fmt.Printf("%-28s %8.1f %8.1f\n", filepath.Base(file), us[0], us[len(us)/2])
	}
}
