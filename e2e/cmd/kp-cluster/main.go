// kp-cluster brings a real Kubernetes cluster up on this machine and takes it down again. See docs/testing.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"kube-pprof.dev/e2e/harness"
)

const usage = `kp-cluster: a real Kubernetes in namespaces of its own, as root on Linux

usage: kp-cluster COMMAND [--name NAME] ...

  up [--nodes N] [--owner PID] [--ipv6]
                                 build what is missing (6 minutes the first time), start a cluster; an old one of that name is
                                 removed first. 0 nodes: a control plane alone. With --owner it is taken down when that process ends, however it ends
                                 --ipv6: everything has an IPv6 address as well, which comes first on all nodes but the first
  down                           end it and remove every trace (also of a run that was killed)
  status                         components of the cluster and whether they run; without --name lists all clusters
  exec [--in BOX] -- CMD...      run CMD in the control plane's network with kubectl and helm ready; --in: inside a node (NAME-1 ...)
  load FILE.tar...               import image archives on every node
  stop BOX COMPONENT [SIGNAL]    stop etcd, apiserver, kcm, scheduler or coredns (box 0), containerd, kubelet or proxy (box NAME-N)
  start BOX COMPONENT            start it again
  env                            print shell settings: . <(kp-cluster env), then kubectl and helm work through kpc
  build [--extra]                build only; --extra also the images of CoreDNS and Prometheus

NAME is 'kube-pprof' by default; several clusters run side by side.
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if os.Args[1] == harness.BoxInitCommand {
		fmt.Fprintln(os.Stderr, harness.BoxInit(os.Args[2:]))
		os.Exit(1)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	err := run(ctx, os.Args[1], os.Args[2:])
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && os.Args[1] == "exec":
		os.Exit(max(exit.ExitCode(), 1))
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "kp-cluster:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong usage")

func say(format string, a ...any) { fmt.Printf(format+"\n", a...) }

func run(ctx context.Context, command string, args []string) error {
	f := flag.NewFlagSet(command, flag.ExitOnError)
	f.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	name := f.String("name", "kube-pprof", "")
	nodes := f.Int("nodes", 1, "")
	owner := f.Int("owner", 0, "")
	ipv6 := f.Bool("ipv6", false, "")
	extra := f.Bool("extra", false, "")
	in := f.String("in", "", "")
	named := false
	if err := f.Parse(args); err != nil {
		return errUsage
	}
	f.Visit(func(f *flag.Flag) { named = named || f.Name == "name" })
	switch command {
	case "up":
		return up(ctx, harness.Options{Name: *name, Nodes: *nodes, IPv6: *ipv6, Say: say}, *owner)
	case "down":
		return harness.Down(*name)
	case "reap":
		return reap(*name, *owner)
	case "build":
		_, err := harness.Build(ctx, *extra, say)
		return err
	case "status":
		if !named {
			for _, n := range harness.List() {
				fmt.Println(n)
			}
			return nil
		}
	case "help", "--help", "-h":
		fmt.Print(usage)
		return nil
	}
	c, err := harness.Open(*name)
	if err != nil {
		return err
	}
	switch command {
	case "status":
		return status(ctx, c)
	case "exec":
		return execIn(ctx, c, *in, f.Args())
	case "load":
		for _, file := range f.Args() {
			if err := c.Load(ctx, file); err != nil {
				return err
			}
		}
		return nil
	case "stop":
		if f.NArg() < 2 {
			return errUsage
		}
		signal := "TERM"
		if f.NArg() > 2 {
			signal = f.Arg(2)
		}
		return c.Stop(ctx, f.Arg(0), f.Arg(1), signal)
	case "start":
		if f.NArg() != 2 {
			return errUsage
		}
		return c.Start(ctx, f.Arg(0), f.Arg(1))
	case "env":
		return env(c)
	}
	return errUsage
}

func up(ctx context.Context, o harness.Options, owner int) error {
	if owner != 0 {
		if err := startReaper(o.Name, owner); err != nil {
			return err
		}
	}
	c, err := harness.Up(ctx, o)
	if err != nil {
		return err
	}
	fmt.Println("cluster", c.Name, "is up: kp-cluster exec --name", c.Name, "-- kubectl get nodes")
	return nil
}

// The reaper lives in a session of its own, so that neither Ctrl-C nor kill -9 of the owner's group ends it.
func startReaper(name string, owner int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "reap", "--name", name, "--owner", strconv.Itoa(owner))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	return cmd.Start()
}

func reap(name string, owner int) error {
	fd, err := unix.PidfdOpen(owner, 0)
	if err == nil {
		for {
			_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if !errors.Is(err, syscall.EINTR) {
				break
			}
		}
	}
	return harness.Down(name) // waits for an up that is under way
}

func status(ctx context.Context, c *harness.Cluster) error {
	pids, err := filepath.Glob(filepath.Join(c.Dir, c.Name+"-*", "*.pid"))
	if err != nil {
		return err
	}
	bad := 0
	for _, file := range pids {
		component, box := strings.TrimSuffix(filepath.Base(file), ".pid"), filepath.Base(filepath.Dir(file))
		if component == "init" {
			continue
		}
		argv, err := c.Node(box, "sh", "-c", `kill -0 $(cat "$1")`, "sh", file)
		state := "running"
		if err != nil || exec.CommandContext(ctx, argv[0], argv[1:]...).Run() != nil {
			state = "stopped"
			bad++
		}
		fmt.Printf("%-20s %-12s %-8s %s\n", box, component, state, strings.TrimSuffix(file, ".pid")+".log")
	}
	if bad > 0 {
		return fmt.Errorf("%d components are stopped", bad)
	}
	return nil
}

func execIn(ctx context.Context, c *harness.Cluster, in string, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	argv := c.Net(args...)
	if in != "" {
		var err error
		if argv, err = c.Node(in, args...); err != nil {
			return err
		}
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	// exec.Cmd leaves one of each variable, the last: of one that comes twice some programs take the first, some the other
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), c.Env()...)
	return syscall.Exec(path, argv, cmd.Environ())
}

func env(c *harness.Cluster) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, kv := range c.Env() {
		k, v, _ := strings.Cut(kv, "=")
		fmt.Printf("export %s='%s'\n", k, v)
	}
	fmt.Printf("kpc() { '%s' exec --name '%s' -- \"$@\"; }\n", self, c.Name)
	return nil
}
