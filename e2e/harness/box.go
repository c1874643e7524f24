package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A box is a network, mount, PID, UTS and IPC namespace with our pause program as PID 1. Killing that PID 1 ends every process and
// every mount in it. Box 0 of a cluster holds the control plane, each other one is a node.
type box struct {
	name string
	dir  string // its folder: logs, configuration, pid files
	pid  int    // of its PID 1, seen from outside
}

// BoxInitCommand is the hidden command by which the harness's program becomes PID 1 of a box: os.Args[1].
const BoxInitCommand = "box-init"

const cgroupRoot = "/sys/fs/cgroup"

// CgroupV2 says whether this machine has the unified hierarchy only.
func CgroupV2() bool { return exists(filepath.Join(cgroupRoot, "cgroup.controllers")) }

// startBox makes the namespaces. The box's init runs setup (see BoxInit) and then becomes the pause program.
func startBox(name, dir, pause string, node bool) (*box, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if node {
		if err := makeCgroups(name); err != nil {
			return nil, err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "init.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(self, BoxInitCommand, name, dir, pause, strconv.FormatBool(node))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET,
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("new namespaces for %s: %w (is this root, with all capabilities?)", name, err)
	}
	b := &box{name: name, dir: dir, pid: cmd.Process.Pid}
	// before anything can fail: down must find it
	if err := os.WriteFile(filepath.Join(dir, "init.pid"), []byte(strconv.Itoa(b.pid)), 0o644); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill())
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// Only once it is the pause program: while it turns into that, the thread that leads the process may be over already, and with it
	// /proc/PID/ns, which everybody enters by.
	for deadline := time.Now().Add(10 * time.Second); !exists(filepath.Join(dir, "ready")) || !b.paused(); {
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("box %s ended while starting: %s", name, text)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("box %s was not ready after 10 s", name)
		}
	}
	return b, nil
}

// BoxInit runs inside the new namespaces, as PID 1. It only returns on failure.
func BoxInit(args []string) error {
	if len(args) != 4 {
		return errors.New("not meant to be called by hand")
	}
	name, dir, pause, node := args[0], args[1], args[2], args[3] == "true"
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		return err
	}
	if node {
		if err := nodeMounts(dir); err != nil {
			return err
		}
	}
	if exists("/proc/sys/net/ipv6/conf/all") { // addresses are ours alone: no second of waiting whether somebody else has them
		for name, value := range map[string]string{"all/forwarding": "1", "default/accept_dad": "0", "all/accept_dad": "0"} {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name, []byte(value), 0o644); err != nil {
				return err
			}
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return err
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "ready"), nil, 0o644); err != nil {
		return err
	}
	return syscall.Exec(pause, []string{"pause", name}, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"})
}

// nodeMounts gives a node private places for everything containerd and the kubelet keep at fixed paths.
func nodeMounts(dir string) error {
	bind := func(src, dst string) error {
		if err := unix.Mount(src, dst, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s to %s: %w", src, dst, err)
		}
		return nil
	}
	for _, d := range []string{"lib/kubelet", "lib/containerd", "lib/cni", "log", "sysctl"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for i := 1; i <= persistentVolumes; i++ { // hostPath volumes: their owner is not changed to the pod's group
		pv := filepath.Join(dir, "lib/pv", strconv.Itoa(i))
		if err := errors.Join(os.MkdirAll(pv, 0o777), os.Chmod(pv, 0o777)); err != nil {
			return err
		}
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	if err := errors.Join(os.Mkdir("/run/netns", 0o755), os.Mkdir("/run/lock", 0o755)); err != nil {
		return err
	}
	if err := errors.Join(bind(filepath.Join(dir, "lib"), "/var/lib"), bind(filepath.Join(dir, "log"), "/var/log")); err != nil {
		return err
	}
	// port-forward goes to what "localhost" is here, and not every machine says that it is ::1 as well
	hosts := filepath.Join(dir, "hosts")
	if err := errors.Join(os.WriteFile(hosts, []byte("127.0.0.1 localhost\n::1 localhost\n"), 0o644), bind(hosts, "/etc/hosts")); err != nil {
		return err
	}
	// The kubelet sets these to fixed values and fails if it cannot: it gets files instead of the machine's settings.
	for _, s := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"} {
		from, copied := filepath.Join("/proc/sys", s), filepath.Join(dir, "sysctl", filepath.Base(s))
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := errors.Join(os.WriteFile(copied, data, 0o644), bind(copied, from)); err != nil {
			return err
		}
	}
	return nil
}

// makeCgroups makes the folder(s) below which a node keeps its pods.
func makeCgroups(name string) error {
	if CgroupV2() {
		return makeCgroupV2(cgroupRoot, name)
	}
	dirs, err := filepath.Glob(cgroupRoot + "/*")
	if err != nil {
		return err
	}
	for _, d := range dirs {
		// hierarchies that cannot be written (or links to others that were) do no harm
		_ = os.Mkdir(filepath.Join(d, name), 0o755)
	}
	for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
		data, err := os.ReadFile(filepath.Join(cgroupRoot, "cpuset", f))
		if err != nil {
			return fmt.Errorf("cgroup v1 without cpuset: %w", err)
		}
		if err := os.WriteFile(filepath.Join(cgroupRoot, "cpuset", name, f), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// A group of v2 holds either processes or groups with controllers (but for the real root). So the node's own processes live in the
// leaf NAME/box and the pods below NAME/kubepods.
func makeCgroupV2(root, name string) error {
	if err := moveToLeaf(root); err != nil {
		return err
	}
	if err := enableControllers(root); err != nil {
		return err
	}
	group := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Join(group, "box"), 0o755); err != nil {
		return err
	}
	return enableControllers(group)
}

// moveToLeaf moves the processes of a root that is not the real one, as in a container, to its leaf "init". This has to come before
// any controller is enabled: cpuset, cpu and pids can be while there are processes, but make it a threaded domain, whose new groups
// take none.
func moveToLeaf(root string) error {
	if !exists(filepath.Join(root, "cgroup.type")) { // the real root has no type
		return nil
	}
	leaf := filepath.Join(root, "init")
	for try := 0; try < 10; try++ { // they fork meanwhile
		data, err := os.ReadFile(filepath.Join(root, "cgroup.procs"))
		if err != nil {
			return err
		}
		procs := strings.Fields(string(data))
		if len(procs) == 0 {
			return nil
		}
		if err := os.MkdirAll(leaf, 0o755); err != nil {
			return err
		}
		for _, pid := range procs {
			if pid == "0" { // of another PID namespace; written, it would mean ourselves
				return fmt.Errorf("cgroup v2: %s has processes that cannot be moved to a group of their own, since they are not of this PID namespace", root)
			}
			// one at a time; those that ended meanwhile do not matter
			_ = os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte(pid), 0o644)
		}
	}
	return fmt.Errorf("cgroup v2: the processes in %s could not be moved to %s", root, leaf)
}

func enableControllers(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	have := strings.Fields(string(data))
	for _, c := range []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids"} {
		if !slices.Contains(have, c) {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0o644); err != nil {
			return fmt.Errorf("cgroup v2: enable %s below %s: %w", c, dir, err)
		}
	}
	return nil
}

// removeCgroups removes what makeCgroups made and what grew below. All its processes must be gone.
func removeCgroups(name string) {
	roots := []string{filepath.Join(cgroupRoot, name)}
	if !CgroupV2() {
		roots, _ = filepath.Glob(filepath.Join(cgroupRoot, "*", name))
	}
	for _, root := range roots {
		for try := 0; try < 50 && exists(root); try++ {
			removeGroups(root)
			if exists(root) {
				time.Sleep(20 * time.Millisecond) // dead processes leave a moment later
			}
		}
	}
}

func removeGroups(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeGroups(filepath.Join(dir, e.Name()))
		}
	}
	_ = syscall.Rmdir(dir)
}

// enter is the argv that runs something in all namespaces of the box.
func (b *box) enter(args ...string) []string {
	return append([]string{"nsenter", "-t", strconv.Itoa(b.pid), "-m", "-u", "-i", "-n", "-p", "--"}, args...)
}

// enterNet is the argv that runs something in the box's network only: it sees the machine's files and processes.
func (b *box) enterNet(args ...string) []string {
	return append([]string{"nsenter", "-t", strconv.Itoa(b.pid), "-n", "--"}, args...)
}

func (b *box) run(ctx context.Context, args ...string) (string, error) {
	return output(ctx, b.enter(args...))
}

func output(ctx context.Context, argv []string) (string, error) {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return string(out), nil
}

func quote(args []string) string {
	q := make([]string, len(args))
	for i, a := range args {
		q[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(q, " ")
}

// daemon starts a program as a child of the box's PID 1. Its command, log and pid are the files NAME.cmd, NAME.log, NAME.pid.
func (b *box) daemon(ctx context.Context, name string, args ...string) error {
	cmd := "exec " + quote(args) + "\n"
	if CgroupV2() && exists(filepath.Join(cgroupRoot, b.name, "box")) {
		cmd = "echo 0 >" + filepath.Join(cgroupRoot, b.name, "box", "cgroup.procs") + "\n" + cmd
	}
	if err := os.WriteFile(filepath.Join(b.dir, name+".cmd"), []byte(cmd), 0o644); err != nil {
		return err
	}
	return b.start(ctx, name)
}

func (b *box) start(ctx context.Context, name string) error {
	_, err := b.run(ctx, "sh", "-c", `setsid sh "$1.cmd" </dev/null >>"$1.log" 2>&1 & echo $! >"$1.pid"`, "sh", filepath.Join(b.dir, name))
	return err
}

// startWith is start with further arguments, which the command it had does not keep.
func (b *box) startWith(ctx context.Context, name string, args ...string) error {
	cmd, err := os.ReadFile(filepath.Join(b.dir, name+".cmd"))
	if err != nil {
		return err
	}
	once := strings.TrimSuffix(string(cmd), "\n") + " " + quote(args)
	_, err = b.run(ctx, "sh", "-c", `setsid sh -c "$2" </dev/null >>"$1.log" 2>&1 & echo $! >"$1.pid"`, "sh", filepath.Join(b.dir, name), once)
	return err
}

func (b *box) stop(ctx context.Context, name, signal string) error {
	_, err := b.run(ctx, "sh", "-c", `p=$(cat "$1.pid"); kill "-$2" $p; while kill -0 $p 2>/dev/null; do sleep 0.02; done`,
		"sh", filepath.Join(b.dir, name), signal)
	return err
}

// restart kills a component, if it runs, and starts it.
func (b *box) restart(ctx context.Context, name string) error {
	_, err := b.run(ctx, "sh", "-c", `p=$(cat "$1.pid"); kill -KILL $p 2>/dev/null; while kill -0 $p 2>/dev/null; do sleep 0.02; done`,
		"sh", filepath.Join(b.dir, name))
	return errors.Join(err, b.start(ctx, name))
}

// openBox finds a box by its folder. It fails when its PID 1 is no longer ours.
func openBox(dir string) (*box, error) {
	data, err := os.ReadFile(filepath.Join(dir, "init.pid"))
	if err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, err
	}
	b := &box{name: filepath.Base(dir), dir: dir, pid: pid}
	argv := b.argv()
	starting := len(argv) == 6 && argv[1] == BoxInitCommand && argv[3] == dir
	if !b.paused() && !starting {
		return nil, fmt.Errorf("box %s is not running", b.name)
	}
	return b, nil
}

// argv is "pause NAME", or still "kp-cluster box-init NAME DIR ..."; anything else is not ours.
func (b *box) argv() []string {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", b.pid))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
}

func (b *box) paused() bool {
	argv := b.argv()
	return len(argv) == 2 && argv[0] == "pause" && argv[1] == b.name
}

// kill ends everything in the box and waits for it.
func (b *box) kill() error {
	if err := syscall.Kill(b.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		st, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.pid))
		if err != nil || strings.Contains(string(st), ") Z ") {
			return nil
		}
	}
	return fmt.Errorf("PID %d of box %s did not end", b.pid, b.name)
}
