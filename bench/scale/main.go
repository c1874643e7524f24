// Figures of the controller among many pods, a program on controller-runtime beside it. bench/scale/run builds and calls it.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `scale measure ...        the figures; runs in the network of a control plane, KUBECONFIG set
scale informer KIND      holds all pods in an informer of controller-runtime: full, or metadata
scale targets DIR        answers /debug/pprof/profile with the files of DIR, after as many seconds as asked for
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	var err error
	switch os.Args[1] {
	case "measure":
		err = measureCommand(os.Args[2:])
	case "informer":
		err = informer(os.Args[2])
	case "targets":
		err = targets(os.Args[2:])
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func measureCommand(args []string) error {
	f := flag.NewFlagSet("measure", flag.ExitOnError)
	o := options{}
	f.StringVar(&o.program, "program", "", "kube-pprof")
	f.StringVar(&o.crds, "crds", "", "folder of the CRDs")
	f.StringVar(&o.corpus, "corpus", "", "folder of CPU profiles that targets answer with")
	f.StringVar(&o.dir, "dir", "", "folder for what is written")
	f.StringVar(&o.only, "only", "", "steps, by comma: idle,sync,updates,flight,day; default: all")
	f.IntVar(&o.pods, "pods", 10000, "pods")
	f.IntVar(&o.updates, "updates", 20000, "pod updates")
	f.IntVar(&o.rate, "rate", 500, "pod updates a second")
	f.IntVar(&o.rounds, "rounds", 3, "times each is started for the sync")
	f.IntVar(&o.seconds, "seconds", 180, "how long captures are counted, when all is under way")
	f.BoolVar(&o.small, "small", false, "2 000 pods, and ratios that only a gross regression misses")
	f.BoolVar(&o.check, "check", false, "fail if a wanted figure is not reached")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.small {
		o.pods, o.updates, o.rounds = 2000, 3000, 1
		if o.only == "" {
			o.only = "idle,sync,updates"
		}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		endAll()
		os.Exit(130)
	}()
	defer endAll()
	return measure(o)
}
