// Measures a running registry from outside, and google/pprof's profile package beside it: what people use in Go.
//
//	go run . parse DIR [TYPES...]              google/pprof: Parse, per capture; CPU time is that of the whole process
//	go run . merge DIR TYPE N                  google/pprof: Parse + Merge + Write of N captures
//	go run . push URL DIR [-n N] [-c 4] [-types cpu,heap] [-pods P] [-service S]
//	go run . get URL [-n N] [-c 1]             the same answer again and again
//
// DIR holds captures named TYPE.NN.pb.gz. Each prints one line per figure.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 3 {
		usage()
	}
	commands := map[string]func([]string) error{"parse": parse, "merge": merge, "push": push, "get": get}
	run, ok := commands[os.Args[1]]
	if !ok {
		usage()
	}
	if err := run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "registry bench:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: parse DIR | merge DIR TYPE N | push URL DIR [flags] | get URL [flags]")
	os.Exit(2)
}
