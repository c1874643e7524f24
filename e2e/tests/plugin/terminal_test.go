package plugin

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	f "kube-pprof.dev/e2e/framework"
)

// terminal is a pseudo-terminal with the plugin in it.
type terminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	slave  *os.File
	before *unix.Termios
	done   chan struct{}
	mu     sync.Mutex
	bytes  []byte
}

func (w *world) terminal(t *testing.T, c call, columns, rows uint16, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("there are no pseudo-terminals here: ", err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	tty := &terminal{t: t, cmd: w.command(ctx, c, args...), master: master, slave: slave, done: make(chan struct{})}
	tty.resize(columns, rows)
	tty.before = tty.state()
	tty.cmd.Stdin, tty.cmd.Stdout, tty.cmd.Stderr = slave, slave, slave
	tty.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := tty.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 65536)
		for {
			n, err := master.Read(buf)
			if err != nil {
				close(tty.done)
				return
			}
			tty.mu.Lock()
			tty.bytes = append(tty.bytes, buf[:n]...)
			tty.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		slave.Close()
		master.Close()
	})
	return tty
}

func (tty *terminal) state() *unix.Termios {
	state, err := unix.IoctlGetTermios(int(tty.slave.Fd()), unix.TCGETS)
	if err != nil {
		tty.t.Fatal(err)
	}
	return state
}

func (tty *terminal) resize(columns, rows uint16) {
	if err := unix.IoctlSetWinsize(int(tty.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		tty.t.Fatal(err)
	}
}

func (tty *terminal) press(keys string) {
	if _, err := tty.master.WriteString(keys); err != nil {
		tty.t.Fatal(err)
	}
}

func (tty *terminal) output() string {
	tty.mu.Lock()
	defer tty.mu.Unlock()
	return string(tty.bytes)
}

// shows waits for something on the screen.
func (tty *terminal) shows(columns, rows int, what string) *screen {
	tty.t.Helper()
	var s *screen
	f.Within(tty.t, 3*time.Second+f.Slack, fmt.Sprintf("the terminal of %dx%d shows %q", columns, rows, what), func() error {
		s = draw(tty.output(), columns, rows)
		if !regexp.MustCompile(what).MatchString(s.text()) {
			return fmt.Errorf("it shows\n%s", s.text())
		}
		return nil
	})
	return s
}

// end waits for the exit, and wants the terminal as it was.
func (tty *terminal) end(code int) string {
	tty.t.Helper()
	_ = tty.cmd.Wait()
	if got := tty.cmd.ProcessState.ExitCode(); got != code {
		tty.t.Errorf("exit %d, not %d:\n%q", got, code, tty.output())
	}
	if after := tty.state(); *after != *tty.before {
		tty.t.Errorf("the terminal is not as it was: %+v, %+v", after, tty.before)
	}
	tty.slave.Close()
	<-tty.done
	return tty.output()
}

// screen is what a terminal would show, as far as the plugin's sequences go.
type screen struct {
	cells         [][]rune
	row, column   int
	outside       int // characters that were drawn where there is no cell
	isAlternative bool
}

func (s *screen) text() string {
	var out strings.Builder
	for _, line := range s.cells {
		out.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	return out.String()
}

var control = regexp.MustCompile(`^\x1b(\[([?>]?)([0-9;]*)([a-zA-Z])|[()][A-Z0-9]|[=>78]|\][^\x07\x1b]*(\x07|\x1b\\))`)

func (s *screen) clear() {
	for _, line := range s.cells {
		for i := range line {
			line[i] = ' '
		}
	}
}

func (s *screen) sequence(kind, numbers, final string) {
	var n []int
	for _, part := range strings.Split(numbers, ";") {
		v, _ := strconv.Atoi(part)
		n = append(n, v)
	}
	switch kind + final {
	case "H":
		s.row, s.column = max(n[0], 1)-1, 0
		if len(n) > 1 {
			s.column = max(n[1], 1) - 1
		}
	case "J":
		s.clear()
	case "K":
		if s.row < len(s.cells) {
			for i := s.column; i < len(s.cells[s.row]); i++ {
				s.cells[s.row][i] = ' '
			}
		}
	case "C":
		s.column += max(n[0], 1)
	case "G":
		s.column = max(n[0], 1) - 1
	case "?h", "?l":
		if n[0] == 1049 {
			s.isAlternative = final == "h"
			s.clear()
		}
	}
}

func draw(bytes string, columns, rows int) *screen {
	s := &screen{cells: make([][]rune, rows)}
	for i := range s.cells {
		s.cells[i] = make([]rune, columns)
	}
	s.clear()
	for len(bytes) > 0 {
		if m := control.FindStringSubmatch(bytes); m != nil {
			if m[4] != "" {
				s.sequence(m[2], m[3], m[4])
			}
			bytes = bytes[len(m[0]):]
			continue
		}
		r, n := utf8.DecodeRuneInString(bytes)
		bytes = bytes[n:]
		switch {
		case r == '\r':
			s.column = 0
		case r == '\n':
			s.row++
		case r < ' ':
		case s.row < rows && s.column < columns:
			s.cells[s.row][s.column] = r
			s.column++
		default:
			s.outside++
		}
	}
	return s
}

// colours are the sequences that set one.
func colours(out string) (found []string) {
	for _, m := range regexp.MustCompile(`\x1b\[([0-9;]*)m`).FindAllStringSubmatch(out, -1) {
		for _, n := range strings.Split(m[1], ";") {
			if v, _ := strconv.Atoi(n); v >= 30 && v <= 49 || v >= 90 && v <= 107 {
				found = append(found, m[0])
				break
			}
		}
	}
	return found
}

func flame(t *testing.T, w *world) {
	c := call{user: w.view, dir: t.TempDir()}
	tty := w.terminal(t, c, 80, 24, "flame", "ten")
	s := tty.shows(80, 24, `(?s)checkout\.hashOr.*q quit`)
	if s.outside > 0 || !s.isAlternative {
		t.Errorf("%d characters are outside of 80x24:\n%s", s.outside, s.text())
	}
	if len(colours(tty.output())) == 0 {
		t.Errorf("there are no colours: %q", tty.output())
	}
	// another size: everything is drawn anew, and nothing where there is no room
	for _, size := range [][2]uint16{{50, 15}, {132, 43}} {
		before := len(tty.output())
		tty.resize(size[0], size[1])
		f.Within(t, 2*time.Second+f.Slack, fmt.Sprintf("it is drawn for %v", size), func() error {
			s = draw("\x1b[?1049h"+tty.output()[before:], int(size[0]), int(size[1]))
			if !strings.Contains(s.text(), "checkout") || strings.TrimSpace(string(s.cells[size[1]-1])) == "" {
				return fmt.Errorf("it shows\n%s", s.text())
			}
			return nil
		})
		if s.outside > 0 {
			t.Errorf("%d characters are outside of %v:\n%s", s.outside, size, s.text())
		}
	}
	tty.resize(80, 24)
	tty.press("\t")
	tty.shows(80, 24, `(?i)(flat|self).*(cum|total)`)
	tty.press("\t/hashOrders\r")
	tty.shows(80, 24, `hashOr`)
	tty.press("\x1b")
	time.Sleep(300 * time.Millisecond) // Esc alone is told from a sequence by time
	tty.press("q")
	out := tty.end(0)
	if s := draw(out, 80, 24); s.isAlternative || !strings.HasSuffix(out, "\x1b[?1049l") && !strings.Contains(out[max(0, len(out)-80):], "\x1b[?1049l") {
		t.Errorf("the screen is not left: %q", out[max(0, len(out)-80):])
	}

	c.env = []string{"NO_COLOR=1"}
	tty = w.terminal(t, c, 80, 24, "flame", "ten")
	tty.shows(80, 24, `checkout\.hashOr`)
	tty.press("q")
	if found := colours(tty.end(0)); len(found) > 0 {
		t.Errorf("NO_COLOR: there is %q", found[0])
	}
	// Ctrl-C leaves as q does
	tty = w.terminal(t, c, 80, 24, "flame", "ten")
	tty.shows(80, 24, `checkout\.hashOr`)
	tty.press("\x03")
	_ = tty.cmd.Wait()
	if state := tty.state(); *state != *tty.before {
		t.Errorf("Ctrl-C leaves the terminal as %+v", state)
	}
}

func progress(t *testing.T, w *world) {
	dir := t.TempDir()
	c := call{user: w.view, dir: dir}
	tty := w.terminal(t, c, 80, 24, "capture", w.pods[3], w.pods[4], "--duration", "3s")
	s := tty.shows(80, 24, `0 of 2 done \| ten-\S+ cpu \ds`)
	if s.row != 0 {
		t.Errorf("progress takes more than a line:\n%s", s.text())
	}
	out := tty.end(0)
	if s = draw(out, 80, 24); strings.Contains(s.text(), " done |") || len(files(t, dir)) != 2 || !strings.Contains(s.text(), "2 profiles of 2 processes") {
		t.Errorf("in the end it shows\n%s", s.text())
	}
	// Ctrl-C by the keyboard
	dir = t.TempDir()
	tty = w.terminal(t, call{user: w.view, dir: dir}, 80, 24, "capture", w.pods[3], "--duration", "30s")
	tty.shows(80, 24, `0 of 1 done \| ten-\S+ cpu \d+s`)
	tty.press("\x03")
	pressed := time.Now()
	tty.end(130)
	if took := time.Since(pressed); took > time.Second+f.Slack || len(files(t, dir)) > 0 {
		t.Errorf("Ctrl-C: after %s there is %v", took, files(t, dir))
	}
	// --open goes on with the graph
	tty = w.terminal(t, call{user: w.view, dir: t.TempDir()}, 80, 24, "capture", w.pods[5], "--duration", "3s", "--open")
	tty.shows(80, 24, `(?s)checkout\.hashOr.*q quit`)
	tty.press("q")
	tty.end(0)
	// a profile is no text: a terminal gets none of it
	tty = w.terminal(t, call{user: w.view, dir: t.TempDir()}, 80, 24, "download", w.ids[0])
	if out := tty.end(0); !strings.Contains(out, "_cpu_") || strings.Contains(out, "\x1f\x8b") {
		t.Errorf("download on a terminal: %q", out)
	}
}

// Nothing but text where there is no terminal.
func plain(t *testing.T, w *world) {
	c := call{user: w.view, dir: t.TempDir(), limit: 6 * time.Second}
	for _, args := range []string{"top ten", "tree ten", "flame ten", "diff ten --base ten", "get profiles", "get services", "status", "capture " + w.pods[6] + " --duration 2s", "capture nobody"} {
		r := w.run(t, c, strings.Fields(args)...)
		if strings.ContainsAny(r.out+r.err, "\x1b\r") {
			t.Errorf("there is a control character in it: %q", r.out+r.err)
		}
	}
	// into a pipe goes the profile
	r := w.ok(t, c, "merge", "ten", "-O", "-")
	opens(t, write(t, filepath.Join(c.dir, "piped.pb.gz"), r.out, 0o644))
	// and out of one comes one
	if r := w.ok(t, call{user: w.nothing, in: r.out}, "top", "-"); !strings.Contains(r.out, hot) {
		t.Errorf("top -: %v", r)
	}
}
