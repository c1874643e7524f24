package oci

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// where the dynamic loader looks, by the machine a file is for
var libraries = map[elf.Machine][]string{
	elf.EM_X86_64:  {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"},
	elf.EM_AARCH64: {"/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"},
}

// AddELF copies a program or a library and every shared library it needs, each at the path the dynamic loader finds it by.
func (im *Image) AddELF(src, dest string) error {
	if err := im.Add(src, dest); err != nil {
		return err
	}
	needs, err := Needs(im.Root, src)
	if err != nil {
		return err
	}
	for _, lib := range needs {
		if err := im.Add(filepath.Join("/", im.Root, lib), lib); err != nil {
			return err
		}
	}
	return nil
}

// Needs names the shared libraries of a program or library, and theirs, and its loader: paths below root. Nothing is run, so that it
// works for another machine's files as well.
func Needs(root, src string) ([]string, error) {
	var found []string
	seen, queue := map[string]bool{}, []string{src}
	for len(queue) > 0 {
		file := queue[0]
		queue = queue[1:]
		names, machine, err := needed(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, name := range names {
			if seen[name] || strings.HasPrefix(name, "ld-linux") { // the loader is there, by its path
				continue
			}
			seen[name] = true
			lib, err := find(root, machine, name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			found = append(found, lib)
			if !filepath.IsAbs(name) {
				queue = append(queue, filepath.Join("/", root, lib))
			}
		}
	}
	return found, nil
}

// needed: the names in the dynamic section, and the loader's path
func needed(file string) ([]string, elf.Machine, error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	names, err := f.ImportedLibraries()
	if err != nil {
		return nil, 0, err
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			data := make([]byte, p.Filesz)
			if _, err := p.ReadAt(data, 0); err != nil {
				return nil, 0, err
			}
			names = append(names, string(data[:max(len(data)-1, 0)]))
		}
	}
	return names, f.Machine, nil
}

func find(root string, machine elf.Machine, name string) (string, error) {
	if filepath.IsAbs(name) {
		_, err := os.Stat(filepath.Join("/", root, name))
		return name, err
	}
	for _, dir := range libraries[machine] {
		lib := filepath.Join(dir, name)
		if f, err := elf.Open(filepath.Join("/", root, lib)); err == nil {
			f.Close()
			if f.Machine == machine {
				return lib, nil
			}
		}
	}
	return "", fmt.Errorf("the library %s is nowhere in %v below '%s'", name, libraries[machine], root)
}
