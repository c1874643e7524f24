package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// exchange sends a prepared request and reads the answer, with as little work as possible: the client shares the
// machine with what it measures.
func exchange(c net.Conn, r *bufio.Reader, request []byte) (status int, size int, err error) {
	if _, err = c.Write(request); err != nil {
		return
	}
	line, err := r.ReadString('\n')
	if err != nil {
		return
	}
	if len(line) < 12 {
		return 0, 0, fmt.Errorf("bad status line %q", line)
	}
	status, err = strconv.Atoi(line[9:12])
	length, chunked := 0, false
	for err == nil {
		if line, err = r.ReadString('\n'); err != nil || line == "\r\n" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(name) {
		case "content-length":
			length, err = strconv.Atoi(strings.TrimSpace(value))
		case "transfer-encoding":
			chunked = true
		}
	}
	if err != nil {
		return
	}
	if !chunked {
		_, err = r.Discard(length)
		return status, length, err
	}
	for {
		if line, err = r.ReadString('\n'); err != nil {
			return
		}
		n, e := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
		if e != nil {
			return status, size, e
		}
		if _, err = r.Discard(int(n) + 2); err != nil || n == 0 {
			return
		}
		size += int(n)
	}
}

type figures struct {
	took  []time.Duration
	bytes int
}

// run lets c connections send requests made by make(i), n in all.
func run(address string, n, c int, make func(i int) []byte) (figures, error) {
	var next atomic.Int64
	var mu sync.Mutex
	var all figures
	var failed error
	var wg sync.WaitGroup
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if failed == nil {
			failed = err
		}
	}
	for k := 0; k < c; k++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			conn, err := net.Dial("tcp", address)
			if err != nil {
				fail(err)
				return
			}
			defer conn.Close()
			reader := bufio.NewReaderSize(conn, 1<<16)
			var mine figures
			for i := int(next.Add(1) - 1); i < n; i = int(next.Add(1) - 1) {
				request := make(i)
				began := time.Now()
				status, size, err := exchange(conn, reader, request)
				if err != nil {
					if errors.Is(err, io.EOF) {
						err = errors.New("the registry closed the connection")
					}
					fail(err)
					return
				}
				if status/100 != 2 {
					fail(fmt.Errorf("request %d was answered %d", i, status))
					return
				}
				mine.took = append(mine.took, time.Since(began))
				mine.bytes += size
			}
			mu.Lock()
			all.took = append(all.took, mine.took...)
			all.bytes += mine.bytes
			mu.Unlock()
		}()
	}
	wg.Wait()
	return all, failed
}

func own() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(what string, f figures, wall, cpu time.Duration) {
	sort.Slice(f.took, func(i, k int) bool { return f.took[i] < f.took[k] })
	n := len(f.took)
	at := func(q float64) float64 { return ms(f.took[int(q*float64(n-1))]) }
	free := wall - cpu/2 // two cores: what was left of them to the registry
	fmt.Printf("%s: %d in %.2f s: %.0f/s (%.0f/s without the client's %.2f s of CPU on 2 cores), p50 %.2f ms, p99 %.2f ms, max %.2f ms, %d bytes\n",
		what, n, wall.Seconds(), float64(n)/wall.Seconds(), float64(n)/free.Seconds(), cpu.Seconds(), at(.5), at(.99), at(1), f.bytes)
}

func push(args []string) error {
	flags := flag.NewFlagSet("push", flag.ExitOnError)
	n := flags.Int("n", 10000, "profiles")
	c := flags.Int("c", 4, "connections")
	types := flags.String("types", "cpu,heap", "types, in turn")
	pods := flags.Int("pods", 20, "pods they come from")
	service := flags.String("service", "bench", "service")
	route := flags.String("route", "/api/v1/profiles", "where to")
	if len(args) < 2 {
		usage()
	}
	_ = flags.Parse(args[2:])
	target, err := url.Parse(args[0])
	if err != nil {
		return err
	}
	var bodies [][][]byte
	kinds := strings.Split(*types, ",")
	for _, kind := range kinds {
		b, err := captures(args[1], kind)
		if err != nil {
			return err
		}
		bodies = append(bodies, b)
	}
	// every request is there before the clock runs
	prepared := make([][]byte, 0, len(kinds)**pods)
	for i := 0; i < len(kinds)**pods; i++ {
		kind, pod := i%len(kinds), i/len(kinds)
		body := bodies[kind][pod%len(bodies[kind])]
		labels := url.QueryEscape(fmt.Sprintf("pod=p%d,zone=z%d", pod, pod%3))
		head := fmt.Sprintf("POST %s?service=%s&type=%s&labels=%s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n",
			*route, *service, kinds[kind], labels, target.Host, len(body))
		prepared = append(prepared, append([]byte(head), body...))
	}
	cpu, began := own(), time.Now()
	f, err := run(target.Host, *n, *c, func(i int) []byte { return prepared[i%len(prepared)] })
	if err != nil {
		return err
	}
	report("push "+*types, f, time.Since(began), own()-cpu)
	return nil
}

func get(args []string) error {
	flags := flag.NewFlagSet("get", flag.ExitOnError)
	n := flags.Int("n", 20, "times")
	c := flags.Int("c", 1, "connections")
	_ = flags.Parse(args[1:])
	target, err := url.Parse(args[0])
	if err != nil {
		return err
	}
	request := []byte(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", target.RequestURI(), target.Host))
	cpu, began := own(), time.Now()
	f, err := run(target.Host, *n, *c, func(int) []byte { return request })
	if err != nil {
		return err
	}
	report("get "+target.Path, f, time.Since(began), own()-cpu)
	return nil
}
