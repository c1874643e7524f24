// ocipack packs files into a one-layer OCI image archive.
//
//	ocipack -t NAME:TAG -o OUT.tar -x ENTRYPOINT[,ARG...] [-u UID:GID] [-e K=V]... [-l LABEL=V]... [-elf] [-max BYTES] SRC[:DEST]...
//	ocipack -t NAME:TAG -o OUT.tar -index IMAGE.tar...      images for several architectures as one
//	ocipack [-root FOLDER] -needs PROGRAM                   the shared libraries it needs, and the file with the licence of each
//
// Each SRC is copied to DEST (the same absolute path by default). With -elf the shared libraries of every ELF file come along, of
// another architecture (-arch) from another root (-root). -debian adds which Debian packages the files are of and their licences; -sbom
// writes the same as SPDX.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"kube-pprof.dev/e2e/oci"
)

type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

type options struct {
	name, out, entry, user, arch, root, sbom string
	env, labels                              list
	elf, debian, index, needs, verbose       bool
	limit, created                           int64
}

func main() {
	var o options
	flag.StringVar(&o.name, "t", "", "image reference, NAME:TAG")
	flag.StringVar(&o.out, "o", "", "file to write")
	flag.StringVar(&o.entry, "x", "", "entrypoint, comma-separated")
	flag.StringVar(&o.user, "u", "65532:65532", "UID:GID")
	flag.StringVar(&o.arch, "arch", runtime.GOARCH, "architecture the image is for")
	flag.StringVar(&o.root, "root", "", "folder with the libraries of that architecture")
	flag.StringVar(&o.sbom, "sbom", "", "file to write with what the image is made of, SPDX 2.3 JSON")
	flag.BoolVar(&o.elf, "elf", false, "add the shared libraries of ELF files")
	flag.BoolVar(&o.debian, "debian", false, "add which Debian packages the files are of, and their licences")
	flag.BoolVar(&o.index, "index", false, "join images for several architectures")
	flag.BoolVar(&o.needs, "needs", false, "print the shared libraries a program needs and their licences")
	flag.Int64Var(&o.limit, "max", 0, "refuse an image of more than this many bytes")
	flag.Int64Var(&o.created, "created", 0, "when it was made, seconds since 1970")
	flag.BoolVar(&o.verbose, "v", false, "list the files")
	flag.Var(&o.env, "e", "K=V in the environment")
	flag.Var(&o.labels, "l", "LABEL=VALUE")
	flag.Parse()
	if err := o.run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "ocipack:", err)
		os.Exit(1)
	}
}

func (o *options) run(args []string) error {
	if o.needs && len(args) == 1 {
		return o.printNeeds(args[0])
	}
	if o.name == "" || o.out == "" || (o.entry == "" && !o.index) || len(args) == 0 {
		return errors.New("-t, -o, -x and at least one file are needed")
	}
	if o.index {
		digest, err := oci.WriteIndex(o.name, o.out, args)
		if err == nil {
			fmt.Printf("%s %s\n", o.name, digest)
		}
		return err
	}
	return o.pack(args)
}

func (o *options) printNeeds(program string) error {
	libs, err := oci.Needs(o.root, program)
	if err != nil {
		return err
	}
	licenses, err := oci.Licenses(o.root, libs)
	for i := range licenses {
		fmt.Println(filepath.Join("/", o.root, libs[i]), filepath.Join("/", o.root, licenses[i]))
	}
	return err
}

func (o *options) pack(files []string) error {
	im := oci.New(o.name, strings.Split(o.entry, ",")...)
	im.User, im.Env, im.Labels, im.Arch, im.Root = o.user, o.env, map[string]string{}, o.arch, o.root
	for _, l := range o.labels {
		k, v, _ := strings.Cut(l, "=")
		im.Labels[k] = v
	}
	if o.created != 0 {
		im.Created = time.Unix(o.created, 0)
	}
	if err := o.add(im, files); err != nil {
		return err
	}
	if o.debian {
		if err := im.AddDebian(); err != nil {
			return err
		}
	}
	if o.verbose {
		im.Each(func(name string, size int) { fmt.Printf("%10d %s\n", size, name) })
	}
	if o.limit > 0 && im.Size() > o.limit {
		return fmt.Errorf("the files of %s are %d bytes, more than the %d allowed (-v lists them)", im.Name, im.Size(), o.limit)
	}
	digest, err := im.Write(o.out)
	if err == nil && o.sbom != "" {
		err = im.WriteSBOM(o.sbom, digest)
	}
	if err == nil {
		fmt.Printf("%s %s %.1f MB\n", im.Name, digest, float64(im.Size())/1e6)
	}
	return err
}

func (o *options) add(im *oci.Image, files []string) error {
	for _, f := range files {
		src, dest, ok := strings.Cut(f, ":")
		abs, err := filepath.Abs(src)
		if err != nil {
			return err
		}
		if !ok {
			if dest = abs; o.root != "" {
				dest = "/" + strings.TrimPrefix(strings.TrimPrefix(abs, filepath.Clean(o.root)), "/")
			}
		}
		add := im.Add
		if o.elf && isELF(abs) {
			add = im.AddELF
		}
		if err := add(abs, dest); err != nil {
			return err
		}
	}
	return nil
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
