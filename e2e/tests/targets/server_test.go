package targets

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/pprof"
	"strings"
	"sync"
	"time"
)

// kinds are the ways a target can misbehave. What is fed is the connection behind a request that was read. See also inTime.
var kinds = []struct {
	name    string
	outcome string // of a capture
	says    string // in its sentence
	feed    func(c net.Conn)
}{
	{"hang", "Timeout", "no whole answer in time", hang},
	{"drip", "Timeout", "/debug/pprof/heap", drip},
	{"hoard", "Timeout", "/debug/pprof/heap", hoard},
	{"reset", "Unreachable", "closed the connection", reset},
	{"bomb", "TooLarge", "inflates to more", bomb},
	{"gigabyte", "TooLarge", "profileBytes", gigabyte},
	{"headers", "NotPprof", "headers without end", headers},
	{"html", "NotPprof", "text/html", text("200 OK", "text/html", "<!doctype html><title>Shop</title>")},
	{"inject", "NotPprof", "not a pprof profile", text("200 OK", "x\x1b[31m\"}{\x01\t evil", "no profile")},
	{"redirect", "HTTPError", "redirects are never followed", text("302 Found\r\nLocation: http://169.254.169.254:6060/latest/meta-data", "text/plain", "")},
}

const profileBytes = 2 << 20 // of the policies of the bad ones

func text(status, contentType, body string) func(net.Conn) {
	return func(c net.Conn) {
		fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, contentType, len(body), body)
	}
}

const head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n"

func hang(c net.Conn) { io.Copy(io.Discard, c) }

func drip(c net.Conn) {
	for _, b := range []byte(head + "\x1f\x8b\x08\x00" + strings.Repeat("x", 4096)) {
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		if b == 'x' {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// hoard sends all but the last of what it may, and keeps the rest.
func hoard(c net.Conn) {
	io.WriteString(c, head+"\x1f\x8b\x08\x00")
	c.Write(noise[:profileBytes-4096])
	hang(c)
}

func reset(c net.Conn) {
	io.WriteString(c, head+"\x1f\x8b\x08\x00half")
	c.(*net.TCPConn).SetLinger(0)
}

func bomb(c net.Conn) {
	io.WriteString(c, head)
	c.Write(bombBytes())
}

// bombBytes inflate to a thousand times their size.
var bombBytes = sync.OnceValue(func() []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	zeros := make([]byte, 1<<20)
	for range 64 {
		w.Write(zeros)
	}
	w.Close()
	return bytes.Repeat(out.Bytes(), 4) // members behind each other are one stream
})

func gigabyte(c net.Conn) {
	io.WriteString(c, head+"\x1f\x8b\x08\x00")
	for range 1 << 30 / len(noise) {
		if _, err := c.Write(noise); err != nil {
			return
		}
	}
}

func headers(c net.Conn) {
	io.WriteString(c, "HTTP/1.1 200 OK\r\n")
	more := []byte(strings.Repeat("X-More: "+strings.Repeat("a", 100)+"\r\n", 100))
	for range 1 << 14 {
		if _, err := c.Write(more); err != nil {
			return
		}
	}
}

var noise = func() []byte {
	b := make([]byte, 4<<20)
	rand.Read(b)
	return b
}()

// server is every pod of the tests: one listener on all addresses of a network, told apart by the address a connection came for.
type server struct {
	listener net.Listener
	heap     []byte
	sync.Mutex
	kind map[string]int // address -> kind; others are good
	seen map[string][]string
	hold map[string]chan struct{} // address -> answers of CPU profiles wait for it
}

func newServer(l net.Listener) *server {
	var heap bytes.Buffer
	pprof.Lookup("heap").WriteTo(&heap, 0)
	s := &server{listener: l, heap: heap.Bytes(), kind: map[string]int{}, seen: map[string][]string{}, hold: map[string]chan struct{}{}}
	go s.run()
	return s
}

func (s *server) run() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		go s.serve(c)
	}
}

func addressOf(c net.Conn) string {
	host, _, _ := net.SplitHostPort(c.LocalAddr().String())
	return host
}

func (s *server) serve(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	at := addressOf(c)
	s.note(at, "connection")
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	s.note(at, r.RequestURI)
	s.Lock()
	kind, isBad := s.kind[at]
	hold := s.hold[at]
	s.Unlock()
	if isBad {
		kinds[kind].feed(c)
		return
	}
	if seconds := r.URL.Query().Get("seconds"); seconds != "" {
		d, _ := time.ParseDuration(seconds + "s")
		time.Sleep(d)
		if hold != nil {
			<-hold
		}
	}
	text("200 OK", "application/octet-stream", string(s.heap))(c)
}

func (s *server) note(at, what string) {
	s.Lock()
	defer s.Unlock()
	s.seen[at] = append(s.seen[at], what)
}

// of is what came for an address: "connection", then its request.
func (s *server) of(at string) []string {
	s.Lock()
	defer s.Unlock()
	return append([]string(nil), s.seen[at]...)
}
