// ocipack packs files into a one-layer OCI image archive.
//
//	ocipack -t NAME:TAG -o OUT.tar -x ENTRYPOINT[,ARG...] [-u UID:GID] [-e K=V]... [-l LABEL=V]... [-elf] [-max BYTES] SRC[:DEST]...
//
// Each SRC is copied to DEST (the same absolute path by default). With -elf the shared libraries of every ELF file come along.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kube-pprof.dev/e2e/oci"
)

type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func main() {
	var env, labels list
	name := flag.String("t", "", "image reference, NAME:TAG")
	out := flag.String("o", "", "file to write")
	entry := flag.String("x", "", "entrypoint, comma-separated")
	user := flag.String("u", "65532:65532", "UID:GID")
	elf := flag.Bool("elf", false, "add the shared libraries of ELF files")
	limit := flag.Int64("max", 0, "refuse an image of more than this many bytes")
	verbose := flag.Bool("v", false, "list the files")
	flag.Var(&env, "e", "K=V in the environment")
	flag.Var(&labels, "l", "LABEL=VALUE")
	flag.Parse()
	if *name == "" || *out == "" || *entry == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "ocipack: -t, -o, -x and at least one file are needed")
		os.Exit(2)
	}
	im := oci.New(*name, strings.Split(*entry, ",")...)
	im.User, im.Env, im.Labels = *user, env, map[string]string{}
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		im.Labels[k] = v
	}
	if err := run(im, *out, *elf, *limit, *verbose, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "ocipack:", err)
		os.Exit(1)
	}
}

func run(im *oci.Image, out string, elf bool, limit int64, verbose bool, files []string) error {
	for _, f := range files {
		src, dest, ok := strings.Cut(f, ":")
		if !ok {
			abs, err := filepath.Abs(src)
			if err != nil {
				return err
			}
			dest = abs
		}
		add := im.Add
		if elf && isELF(src) {
			add = im.AddELF
		}
		if err := add(src, dest); err != nil {
			return err
		}
	}
	if verbose {
		im.Each(func(name string, size int) { fmt.Printf("%10d %s\n", size, name) })
	}
	if limit > 0 && im.Size() > limit {
		return fmt.Errorf("the files of %s are %d bytes, more than the %d allowed (-v lists them)", im.Name, im.Size(), limit)
	}
	digest, err := im.Write(out)
	if err == nil {
		fmt.Printf("%s %s %.1f MB\n", im.Name, digest, float64(im.Size())/1e6)
	}
	return err
}

func isELF(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	var magic [4]byte
	_, err = f.Read(magic[:])
	return err == nil && bytes.Equal(magic[:], []byte("\x7fELF"))
}
