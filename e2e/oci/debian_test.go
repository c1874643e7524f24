package oci

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLibrariesAreFoundWithoutRunningAnything(t *testing.T) {
	libs, err := Needs("", "/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(libs, " ")
	if !strings.Contains(all, "/libc.so.6") || !strings.Contains(all, "/ld-linux") {
		t.Fatalf("a shell needs %v", libs)
	}
	if _, err := Needs(t.TempDir(), "/bin/sh"); err == nil || !strings.Contains(err.Error(), "libc.so.6") {
		t.Fatalf("libraries of an empty root: %v", err)
	}
	self, err := os.Executable() // Go's own are linked statically, or against the C library
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Needs("", self); err != nil {
		t.Fatal(err)
	}
}

// debianRoot is a machine with the packages liba and libb (of one source) and what belongs to none.
func debianRoot(t *testing.T) string {
	root := t.TempDir()
	for name, text := range map[string]string{
		"var/lib/dpkg/status": "Package: liba1\nStatus: install ok installed\nArchitecture: arm64\nSource: a (1.0)\nVersion: 1:1.0+b1\nMaintainer: A <a@b.c>\n" +
			"Description: a\n more: of it\n\nPackage: libb1\nStatus: install ok installed\nArchitecture: arm64\nVersion: 1\n\n" +
			"Package: gone\nStatus: deinstall ok config-files\nArchitecture: arm64\nVersion: 1\n",
		"var/lib/dpkg/info/liba1:arm64.list": "/.\n/usr\n/usr/lib/a/liba.so.1\n",
		"var/lib/dpkg/info/libb1.list":       "/lib/a/libb.so.1\n",
		"usr/share/doc/liba1/copyright":      "Format: https://x\n\nFiles: *\nCopyright: me\nLicense: BSD-3-clause\n text\n\nFiles: b\nLicense: GPL-2\n",
		"usr/share/doc/libb1/copyright":      "Format: https://x\n\nFiles: *\nCopyright: me\nLicense: BSD-3-clause\n text\n\nFiles: b\nLicense: GPL-2\n",
		"lib/a/liba.so.1":                    "a",
		"usr/lib/a/libb.so.1":                "b",
		"own":                                "own",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func debianImage(t *testing.T) (im *Image, members map[string][]byte, sbom []byte) {
	t.Helper()
	root, out := debianRoot(t), t.TempDir()
	if _, err := os.Stat("/var/lib/dpkg/status"); err != nil {
		t.Skip("not a Debian machine")
	}
	im = New("x:1", "/own")
	im.Root, im.Arch, im.Created = root, "arm64", time.Unix(1700000000, 0)
	im.Labels = map[string]string{"org.opencontainers.image.title": "x", "org.opencontainers.image.version": "1", "org.opencontainers.image.vendor": "v"}
	for _, file := range []string{"/lib/a/liba.so.1", "/usr/lib/a/libb.so.1", "/own"} {
		if err := im.Add(root+file, file); err != nil {
			t.Fatal(err)
		}
	}
	if err := im.AddDebian(); err != nil {
		t.Fatal(err)
	}
	digest, err := im.Write(filepath.Join(out, "image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if err := im.WriteSBOM(filepath.Join(out, "sbom"), digest); err != nil {
		t.Fatal(err)
	}
	if sbom, err = os.ReadFile(filepath.Join(out, "sbom")); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(out, "image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return im, unpack(t, f), sbom
}

func TestTheImageSaysWhichPackagesItHas(t *testing.T) {
	im, _, _ := debianImage(t)
	stanza := string(im.files["var/lib/dpkg/status.d/liba1"].data)
	if !strings.Contains(stanza, "Package: liba1\n") || !strings.Contains(stanza, "Version: 1:1.0+b1\n") || !strings.Contains(stanza, "Source: a (1.0)\n") ||
		strings.Contains(stanza, "Description") {
		t.Fatalf("stanza %q", stanza)
	}
	if !strings.Contains(string(im.files["usr/share/doc/liba1/copyright"].data), "BSD-3-clause") || im.files["usr/share/doc/libb1/copyright"].link != "../liba1/copyright" {
		t.Fatal("the licences are not there once")
	}
	if len(im.files["var/lib/dpkg/status.d/gone"].data) > 0 {
		t.Fatal("a package that is not installed")
	}
}

func TestTheSBOMNamesPackagesFilesAndSums(t *testing.T) {
	_, _, data := debianImage(t)
	var doc spdxDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.SPDXVersion != "SPDX-2.3" || doc.CreationInfo.Created != "2023-11-14T22:13:20Z" || !strings.HasPrefix(doc.Namespace, "https://kube-pprof.dev/spdx/x-1-arm64-") {
		t.Fatalf("document %+v", doc)
	}
	checkSPDX(t, &doc)
	a := doc.Packages[2]
	if a.Name != "liba1" || a.Version != "1:1.0+b1" || a.LicenseDeclared != "BSD-3-Clause" || a.ExternalRefs[0].Locator != "pkg:deb/debian/liba1@1%3A1.0%2Bb1?arch=arm64" {
		t.Fatalf("package %+v", a)
	}
	for _, f := range doc.Files {
		if f.Name == "./lib/a/liba.so.1" && f.Checksums[0].Value == "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8" { // sha1sum of "a"
			return
		}
	}
	t.Fatalf("no file liba.so.1 with its sum in %+v", doc.Files)
}

// checkSPDX: names are there once, and what relates is there.
func checkSPDX(t *testing.T, doc *spdxDocument) {
	t.Helper()
	seen := map[string]bool{doc.ID: true}
	once := func(id string) {
		if seen[id] || notInID.MatchString(id) {
			t.Errorf("id %q", id)
		}
		seen[id] = true
	}
	for _, p := range doc.Packages {
		once(p.ID)
		if p.FilesAnalyzed != (p.VerificationCode != nil) {
			t.Errorf("package %s has the code %v", p.Name, p.VerificationCode)
		}
	}
	for _, f := range doc.Files {
		once(f.ID)
	}
	contained := map[string]bool{}
	for _, r := range doc.Relationships {
		if !seen[r.From] || !seen[r.To] {
			t.Errorf("%+v: not there", r)
		}
		contained[r.To] = true
	}
	for id := range seen {
		if id != doc.ID && !contained[id] {
			t.Errorf("%s is part of nothing", id)
		}
	}
}

func TestImagesOfTwoArchitecturesMakeOne(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for _, arch := range []string{"amd64", "arm64"} {
		im := New("x:1", "/app")
		im.Arch = arch
		im.AddBytes("/app", 0o755, []byte(arch))
		file := filepath.Join(dir, arch)
		if _, err := im.Write(file); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	out := filepath.Join(dir, "both")
	digest, err := WriteIndex("x:1", out, files)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	members := unpack(t, f)
	var top, index struct{ Manifests []descriptor }
	if err := json.Unmarshal(members["index.json"], &top); err != nil || len(top.Manifests) != 1 || top.Manifests[0].Digest != digest {
		t.Fatalf("%v %s", err, members["index.json"])
	}
	if err := json.Unmarshal(members["blobs/sha256/"+strings.TrimPrefix(digest, "sha256:")], &index); err != nil || len(index.Manifests) != 2 {
		t.Fatalf("%v %+v", err, index)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		m := index.Manifests[i]
		if m.Platform.Architecture != arch || len(members["blobs/sha256/"+strings.TrimPrefix(m.Digest, "sha256:")]) != m.Size {
			t.Errorf("%s: %+v", arch, m)
		}
	}
	if _, err := WriteIndex("x:1", filepath.Join(dir, "again"), []string{out}); err == nil {
		t.Error("an index in an index was taken")
	}
}
