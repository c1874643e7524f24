package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program under measurement.
type process struct {
	name   string
	cmd    *exec.Cmd
	began  time.Time
	synced chan time.Duration // once, when a line held the words that were waited for
	ended  chan struct{}
}

var (
	runningLock sync.Mutex
	running     = map[*process]bool{}
)

// start runs a program; what it writes goes to log. word is what it says when its caches are complete.
func start(name, log, word string, argv ...string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(argv[0], argv[1:]...), synced: make(chan time.Duration, 1), ended: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = writer, writer
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	writer.Close()
	runningLock.Lock()
	running[p] = true
	runningLock.Unlock()
	go p.read(io.TeeReader(out, file), word)
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.ended)
	}()
	return p, nil
}

func (p *process) read(out io.Reader, word string) {
	lines := bufio.NewReader(out)
	told := word == ""
	for {
		line, err := lines.ReadBytes('\n')
		if !told && bytes.Contains(line, []byte(word)) {
			told = true
			p.synced <- time.Since(p.began)
		}
		if err != nil {
			return
		}
	}
}

func (p *process) waitSynced(limit time.Duration) (time.Duration, error) {
	select {
	case took := <-p.synced:
		return took, nil
	case <-p.ended:
		return 0, fmt.Errorf("%s ended: see its log", p.name)
	case <-time.After(limit):
		return 0, fmt.Errorf("%s has no complete cache after %s", p.name, limit)
	}
}

func (p *process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	runningLock.Lock()
	delete(running, p)
	runningLock.Unlock()
}

func endAll() {
	runningLock.Lock()
	var all []*process
	for p := range running {
		all = append(all, p)
	}
	runningLock.Unlock()
	for _, p := range all {
		p.end()
	}
}

// memory is in MB (1e6 is not what anybody else means by it: 2^20).
type memory struct{ anonymous, rss, peak float64 }

func (p *process) memory() (memory, error) {
	var m memory
	proc := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	for name, into := range map[string]map[string]*float64{
		"smaps_rollup": {"Rss:": &m.rss, "Anonymous:": &m.anonymous},
		"status":       {"VmHWM:": &m.peak},
	} {
		data, err := os.ReadFile(proc + name)
		if err != nil {
			return m, fmt.Errorf("%s is gone: %w", p.name, err)
		}
		for line := range strings.Lines(string(data)) {
			words := strings.Fields(line)
			if len(words) < 2 || into[words[0]] == nil {
				continue
			}
			kb, err := strconv.ParseFloat(words[1], 64)
			if err != nil {
				return m, err
			}
			*into[words[0]] = kb / 1024
		}
	}
	return m, nil
}

// cpu is user and system time so far, in seconds; ticks of 10 ms.
func (p *process) cpu() (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("%s is gone: %w", p.name, err)
	}
	words := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+2:]))
	user, err := strconv.ParseFloat(words[11], 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(words[12], 64)
	return (user + system) / 100, err
}
