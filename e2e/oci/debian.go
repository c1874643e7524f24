package oci

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// debian is a dpkg database: which package each file is of.
type debian struct {
	root   string
	stanza map[string]map[string]string // by NAME:ARCH, fields of the status file
	owner  map[string]string            // path without /usr -> NAME:ARCH
}

// debPackage is a Debian package of which files are in the image.
type debPackage struct {
	fields    map[string]string
	copyright []byte
	files     []string // paths in the image
}

func (p *debPackage) name() string { return p.fields["Package"] }

// made by the package's scripts, so that no list of files names it
var generated = map[string]string{"/etc/ssl/certs/ca-certificates.crt": "ca-certificates"}

// merged is a path as it is on a machine whose /lib is /usr/lib.
func merged(path string) string { return strings.TrimPrefix(path, "/usr") }

func readDebian(root string) (*debian, error) {
	d := &debian{root: filepath.Join("/", root), stanza: map[string]map[string]string{}, owner: map[string]string{}}
	status, err := os.ReadFile(filepath.Join(d.root, "var/lib/dpkg/status"))
	if err != nil {
		return nil, err
	}
	for _, text := range bytes.Split(status, []byte("\n\n")) {
		fields := map[string]string{}
		for _, line := range strings.Split(string(text), "\n") {
			if key, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, " ") {
				fields[key] = value
			}
		}
		if strings.HasSuffix(fields["Status"], " installed") {
			d.stanza[fields["Package"]+":"+fields["Architecture"]] = fields
		}
	}
	for key := range d.stanza {
		if err := d.list(key); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// list reads the names of a package's files; the file is NAME:ARCH.list or NAME.list.
func (d *debian) list(key string) error {
	name, _, _ := strings.Cut(key, ":")
	f, err := os.Open(filepath.Join(d.root, "var/lib/dpkg/info", key+".list"))
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(filepath.Join(d.root, "var/lib/dpkg/info", name+".list"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		d.owner[merged(s.Text())] = key
	}
	return nil
}

// of names the package of a file: nil if it is of none.
func (d *debian) of(src string) map[string]string {
	path := strings.TrimPrefix(src, strings.TrimSuffix(d.root, "/"))
	if name := generated[path]; name != "" {
		return d.stanza[name+":all"]
	}
	return d.stanza[d.owner[merged(path)]]
}

// Licenses names the file with the licence of each library's package: paths below root, as Needs gives them.
func Licenses(root string, libs []string) ([]string, error) {
	d, err := readDebian(root)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, lib := range libs {
		p := d.of(filepath.Join(d.root, lib))
		if p == nil {
			return nil, fmt.Errorf("%s is of no Debian package", lib)
		}
		files = append(files, filepath.Join("/usr/share/doc", p["Package"], "copyright"))
	}
	return files, nil
}

// packages says of which Debian packages the image's files are, sorted by name; own are the files of none.
func (im *Image) packages() (packages []*debPackage, own []string, err error) {
	host, err := readDebian("/")
	if err != nil {
		return nil, nil, err
	}
	other := host
	if im.Root != "" {
		if other, err = readDebian(im.Root); err != nil {
			return nil, nil, err
		}
	}
	found := map[string]*debPackage{}
	for _, name := range im.names() {
		db, src := host, im.files[name].src
		if im.Root != "" && strings.HasPrefix(src, other.root+"/") {
			db = other
		}
		fields := map[string]string(nil)
		if src != "" {
			fields = db.of(src)
		}
		if fields == nil {
			own = append(own, "/"+name)
			continue
		}
		key := fields["Package"]
		if found[key] == nil {
			text, err := os.ReadFile(filepath.Join(db.root, "usr/share/doc", key, "copyright"))
			if err != nil {
				return nil, nil, fmt.Errorf("the licence of %s: %w", key, err)
			}
			found[key] = &debPackage{fields: fields, copyright: text}
			packages = append(packages, found[key])
		}
		found[key].files = append(found[key].files, "/"+name)
	}
	sort.Slice(packages, func(i, j int) bool { return packages[i].name() < packages[j].name() })
	return packages, own, nil
}

// AddDebian puts into the image what says which Debian packages its files are of: their licences, which must go where they go, and a
// folder that scanners for known holes read (/var/lib/dpkg/status.d, as in other images without dpkg).
func (im *Image) AddDebian() error {
	packages, _, err := im.packages()
	if err != nil {
		return err
	}
	same := map[string]string{} // packages of one source have the same text
	for _, p := range packages {
		var stanza strings.Builder
		for _, key := range []string{"Package", "Status", "Priority", "Section", "Maintainer", "Architecture", "Multi-Arch", "Source", "Version", "Homepage"} {
			if p.fields[key] != "" {
				fmt.Fprintf(&stanza, "%s: %s\n", key, p.fields[key])
			}
		}
		im.AddBytes("/var/lib/dpkg/status.d/"+p.name(), 0o644, []byte(stanza.String()))
		text := file{mode: 0o644, data: p.copyright}
		if other := same[string(p.copyright)]; other != "" {
			text = file{link: "../" + other + "/copyright"}
		} else {
			same[string(p.copyright)] = p.name()
		}
		im.put("/usr/share/doc/"+p.name()+"/copyright", text)
	}
	return nil
}

var (
	firstStanza = regexp.MustCompile(`(?m)^Files: *\*\s*$(?:\n.+)*`)
	license     = regexp.MustCompile(`(?m)^License: *(\S.*)$`)
)

// names of Debian's machine-readable copyright files (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/) -> SPDX
var spdxNames = map[string]string{
	"Expat": "MIT", "MIT": "MIT", "ISC": "ISC", "curl": "curl", "Zlib": "Zlib", "zlib": "Zlib", "Apache-2.0": "Apache-2.0", "public-domain": "",
	"BSD-2-clause": "BSD-2-Clause", "BSD-3-clause": "BSD-3-Clause", "BSD-3-Clause": "BSD-3-Clause", "OpenLDAP-2.8": "OLDAP-2.8", "MPL-2.0": "MPL-2.0",
	"GPL-2": "GPL-2.0-only", "GPL-2+": "GPL-2.0-or-later", "GPL-3": "GPL-3.0-only", "GPL-3+": "GPL-3.0-or-later",
	"LGPL-2": "LGPL-2.0-only", "LGPL-2+": "LGPL-2.0-or-later", "LGPL-2.1": "LGPL-2.1-only", "LGPL-2.1+": "LGPL-2.1-or-later",
	"LGPL-3": "LGPL-3.0-only", "LGPL-3+": "LGPL-3.0-or-later",
}

// declared is the licence a package says its files have as SPDX writes it, NOASSERTION if no program can know.
func (p *debPackage) declared() string {
	if m := license.FindSubmatch(firstStanza.Find(p.copyright)); m != nil {
		if name := spdxNames[string(m[1])]; name != "" {
			return name
		}
	}
	return "NOASSERTION"
}
