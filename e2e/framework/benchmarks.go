package framework

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const sums = `package sums

//go:noinline
func Fast(n uint64) (h uint64) {
	for i := uint64(0); i < n; i++ {
		h = (h ^ i) * 0x9E3779B185EBCA87
	}
	return h
}

//go:noinline
func Slower(n uint64) (h uint64) {
	for i := uint64(0); i < ROUNDS*n; i++ {
		h = (h ^ i) * 0x9E3779B185EBCA87
	}
	return h
}
`

const sumsTest = `package sums

import "testing"

func BenchmarkSums(b *testing.B) {
	for i := 0; i < b.N; i++ {
		if Fast(200000)+Slower(50000) == 0 {
			b.Fatal()
		}
	}
}
`

// TwoCommits makes a repository in dir with a benchmark at two commits, of which the second makes sums.Slower slower, and runs it at each:
// loaded is called when dir/cpu.out is of that commit.
func TwoCommits(t *testing.T, dir string, loaded func(commit string)) (commits []string) {
	t.Helper()
	run := func(argv ...string) string {
		t.Helper()
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off", "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.com/sums\n\ngo 1.21\n")
	write("sums_test.go", sumsTest)
	write(".gitignore", "*.out\n*.test\n")
	run("git", "init", "-q")
	for _, rounds := range []string{"1", "8"} {
		write("sums.go", strings.ReplaceAll(sums, "ROUNDS", rounds))
		run("git", "add", ".")
		run("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", rounds)
		commits = append(commits, run("git", "rev-parse", "HEAD"))
		run("go", "test", "-run", "none", "-bench", ".", "-benchtime", "1000x", "-cpuprofile", "cpu.out", ".")
		loaded(commits[len(commits)-1])
	}
	return commits
}
