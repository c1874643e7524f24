// Package releasetest: what tools/release leaves is of one version, the same each time, and what others can read.
package releasetest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	f "kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

func run(t *testing.T, dir string, argv ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	helm := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+helm, "HELM_CONFIG_HOME="+helm, "HELM_DATA_HOME="+helm)
	for _, name := range []string{"SOURCE_DATE_EPOCH", "KUBE_PPROF_BUILD"} {
		cmd.Env = append(cmd.Env, name+"=") // an empty one is none
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func must(t *testing.T, dir string, argv ...string) string {
	t.Helper()
	out, err := run(t, dir, argv...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return out
}

func version(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^project\(kube-pprof VERSION ([0-9.]+)`).FindSubmatch(read(t, filepath.Join(f.Root(), "CMakeLists.txt")))
	if m == nil {
		t.Fatal("no version in CMakeLists.txt")
	}
	return string(m[1])
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// clone is a checkout of this one's last commit in a folder of its own.
func clone(t *testing.T) string {
	t.Helper()
	if out, err := run(t, f.Root(), "git", "rev-parse", "HEAD"); err != nil {
		t.Skip("not a git checkout: " + out)
	}
	dir := filepath.Join(t.TempDir(), "clone")
	must(t, f.Root(), "git", "clone", "-q", "--shared", f.Root(), dir)
	return dir
}

func TestAllFilesSayTheSameVersion(t *testing.T) {
	must(t, f.Root(), "tools/release", "--check")
	dir := clone(t)
	for _, file := range []string{"charts/kube-pprof/Chart.yaml", "docs/openapi.yaml", "README.md", "CHANGELOG.md"} {
		good := read(t, filepath.Join(dir, file))
		bad := bytes.Replace(good, []byte(version(t)), []byte("9.9.9"), 1)
		if err := os.WriteFile(filepath.Join(dir, file), bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := run(t, dir, "tools/release", "--check"); err == nil || !strings.Contains(out, file+" says version 9.9.9") {
			t.Errorf("%s with another version: %v\n%s", file, err, out)
		}
		if err := os.WriteFile(filepath.Join(dir, file), good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACheckoutWithChangesIsRefused(t *testing.T) {
	dir := clone(t)
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, dir, "tools/release", "-o", filepath.Join(dir, "out"))
	if err == nil || !strings.Contains(out, "?? new") || !strings.Contains(out, "has changes") {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
		t.Fatal("and something was made")
	}
}

func TestAReleaseIsTheSameFromTwoFolders(t *testing.T) {
	first, second := clone(t), clone(t)
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	must(t, first, "tools/release", "-o", a, "--arch", runtime.GOARCH)
	must(t, second, "tools/release", "-o", b, "--arch", runtime.GOARCH)
	names, err := os.ReadDir(a)
	if err != nil || len(names) != 8 {
		t.Fatalf("files %v, %v", names, err)
	}
	for _, entry := range names {
		if !bytes.Equal(read(t, filepath.Join(a, entry.Name())), read(t, filepath.Join(b, entry.Name()))) {
			t.Errorf("%s is not the same", entry.Name())
		}
	}
	must(t, a, "sha256sum", "--strict", "-c", "SHA256SUMS")
	v := version(t)
	t.Run("image", func(t *testing.T) { image(t, filepath.Join(a, "kube-pprof-"+v+"-image.tar"), v, first) })
	t.Run("sbom", func(t *testing.T) { sbom(t, filepath.Join(a, "kube-pprof-"+v+"-image."+runtime.GOARCH+".spdx.json")) })
	t.Run("chart", func(t *testing.T) { chart(t, filepath.Join(a, "kube-pprof-"+v+".tgz"), v) })
	t.Run("source", func(t *testing.T) { source(t, filepath.Join(a, "kube-pprof-"+v+"-source.tar.gz"), v) })
	t.Run("plugin", func(t *testing.T) { plugin(t, a, v) })
	if notes := string(read(t, filepath.Join(a, "NOTES.md"))); !strings.Contains(notes, "### Added\n") || strings.Contains(notes, "\n## ") || strings.Contains(notes, "]: http") {
		t.Errorf("notes:\n%s", notes)
	}
}

// The other of amd64 and arm64, if it is asked for: the first time it fetches Debian's libraries and compiles everything for minutes.
func TestTheOtherArchitecture(t *testing.T) {
	if os.Getenv("KP_E2E_CROSS") == "" {
		t.Skip("set KP_E2E_CROSS to build for another architecture")
	}
	arch, machine := "arm64", elf.EM_AARCH64
	if runtime.GOARCH == "arm64" {
		arch, machine = "amd64", elf.EM_X86_64
	}
	dir := t.TempDir()
	must(t, f.Root(), "tools/image", "-t", "x:1", "-o", filepath.Join(dir, "image.tar"), "--arch", arch, "--sbom", filepath.Join(dir, "image"))
	sbom(t, filepath.Join(dir, "image."+arch+".spdx.json"))
	archive := members(t, bytes.NewReader(read(t, filepath.Join(dir, "image.tar"))))
	elfs := 0
	for name, data := range archive {
		if !strings.HasPrefix(name, "blobs/") || len(data) < 1<<20 {
			continue
		}
		for file, data := range members(t, bytes.NewReader(data)) {
			program, err := elf.NewFile(bytes.NewReader(data))
			if err != nil {
				continue
			}
			if elfs++; program.Machine != machine {
				t.Errorf("%s is for %s", file, program.Machine)
			}
		}
	}
	if elfs < 20 {
		t.Errorf("the image has %d programs and libraries", elfs)
	}
}

func members(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if all[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}

type descriptor struct{ Digest string }

// blob decodes what a descriptor leads to, if its sum is right.
func blob(t *testing.T, archive map[string][]byte, d descriptor, into any) []byte {
	t.Helper()
	data := archive["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")]
	if sum := sha256.Sum256(data); "sha256:"+hex.EncodeToString(sum[:]) != d.Digest {
		t.Fatalf("%s has another sum", d.Digest)
	}
	if into != nil {
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
	}
	return data
}

func image(t *testing.T, file, v, checkout string) {
	archive := members(t, bytes.NewReader(read(t, file)))
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(archive["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("%v %s", err, archive["index.json"])
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	var config struct {
		Architecture, OS, Created string
		Config                    struct {
			User       string
			Entrypoint []string
			Labels     map[string]string
		}
	}
	blob(t, archive, index.Manifests[0], &manifest)
	blob(t, archive, manifest.Config, &config)
	if config.Architecture != runtime.GOARCH || config.OS != "linux" || config.Config.User != "65532:65532" || config.Config.Entrypoint[0] != "/kube-pprof" {
		t.Errorf("config %+v", config)
	}
	commit := strings.TrimSpace(must(t, checkout, "git", "log", "-1", "--format=%H"))
	made := strings.TrimSpace(must(t, checkout, "env", "TZ=UTC", "git", "log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"))
	want := map[string]string{"title": "kube-pprof", "version": v, "revision": commit, "created": made, "licenses": "Apache-2.0"}
	for _, name := range []string{"title", "description", "version", "revision", "created", "source", "licenses", "vendor", "documentation"} {
		got := config.Config.Labels["org.opencontainers.image."+name]
		if got == "" || (want[name] != "" && got != want[name]) {
			t.Errorf("label %s is %q, wanted %q", name, got, want[name])
		}
	}
	if config.Created != made {
		t.Errorf("created %s, wanted %s", config.Created, made)
	}
	size := 0
	for name, data := range members(t, bytes.NewReader(blob(t, archive, manifest.Layers[0], nil))) {
		if size += len(data); regexp.MustCompile(`(^|/)(ba|da|a)?sh$|busybox`).MatchString(name) {
			t.Errorf("a shell: %s", name)
		}
	}
	if size > 25_000_000 {
		t.Errorf("the image has %d bytes, 25 000 000 are allowed", size)
	}
}

func sbom(t *testing.T, file string) {
	var doc struct {
		SPDXVersion   string
		Packages      []struct{ SPDXID, Name, VersionInfo, Supplier, LicenseDeclared string }
		Files         []struct{ FileName string }
		Relationships []struct{ SpdxElementId, RelationshipType, RelatedSpdxElement string }
	}
	if err := json.Unmarshal(read(t, file), &doc); err != nil {
		t.Fatal(err)
	}
	found, files := map[string]bool{}, map[string]bool{}
	for _, p := range doc.Packages {
		found[p.Name] = p.VersionInfo != "" && p.Supplier != "" && p.LicenseDeclared != ""
	}
	for _, one := range doc.Files {
		files[one.FileName] = true
	}
	for _, name := range []string{"kube-pprof", "libc6", "libcurl4", "libssl3", "libuv1", "libwebsockets-evlib-uv", "libsqlite3-0", "ca-certificates"} {
		if !found[name] {
			t.Errorf("no package %s with version, supplier and licence", name)
		}
	}
	if !files["./kube-pprof"] || !files["./etc/ssl/certs/ca-certificates.crt"] || doc.SPDXVersion != "SPDX-2.3" {
		t.Errorf("%s with %d files", doc.SPDXVersion, len(doc.Files))
	}
	if len(doc.Relationships) < len(doc.Files)+len(doc.Packages) || doc.Relationships[0].RelationshipType != "DESCRIBES" {
		t.Errorf("%d relationships, first %+v", len(doc.Relationships), doc.Relationships[0])
	}
	if tool, err := exec.LookPath("pyspdxtools"); err == nil { // PyPI's spdx-tools, where it is installed
		must(t, "/", tool, "-i", file)
	}
}

func chart(t *testing.T, file, v string) {
	for name := range members(t, gunzip(t, file)) {
		if !strings.HasPrefix(name, "kube-pprof/") {
			t.Errorf("the chart has %s", name)
		}
	}
	helm := harness.FindTools().Helm
	if _, err := os.Stat(helm); err != nil {
		t.Skip("helm is not built: run kp-cluster build")
	}
	if out := must(t, "/", helm, "show", "chart", file); !strings.Contains(out, "\nversion: "+v+"\n") || !strings.Contains(out, "appVersion: "+v+"\n") {
		t.Errorf("helm shows\n%s", out)
	}
	packed := must(t, "/", helm, "template", "x", file, "--kube-version", "1.29")
	if packed != must(t, "/", helm, "template", "x", filepath.Join(f.Root(), "charts/kube-pprof"), "--kube-version", "1.29") {
		t.Error("the package renders other manifests than the folder")
	}
}

func gunzip(t *testing.T, file string) io.Reader {
	t.Helper()
	return strings.NewReader(must(t, "/", "gzip", "-dc", file))
}

func source(t *testing.T, file, v string) {
	all := members(t, gunzip(t, file))
	if len(all["kube-pprof-"+v+"/CMakeLists.txt"]) == 0 || len(all["kube-pprof-"+v+"/tools/release"]) == 0 {
		t.Errorf("the source has %d files", len(all))
	}
}

func plugin(t *testing.T, dir, v string) {
	manifest := string(read(t, filepath.Join(dir, "pprof.yaml")))
	archive := "kubectl-pprof-linux-" + runtime.GOARCH + ".tar.gz"
	sum := sha256.Sum256(read(t, filepath.Join(dir, archive)))
	for _, want := range []string{"version: v" + v + "\n", "/v" + v + "/" + archive + "\n", "sha256: " + hex.EncodeToString(sum[:])} {
		if !strings.Contains(manifest, want) {
			t.Errorf("krew's manifest does not hold %q:\n%s", want, manifest)
		}
	}
	all := members(t, gunzip(t, filepath.Join(dir, archive)))
	if len(all["./licenses/libcurl4"]) == 0 || len(all["./LICENSE"]) == 0 {
		t.Error("licences are missing")
	}
	out := t.TempDir()
	must(t, out, "tar", "xzf", filepath.Join(dir, archive))
	if got := must(t, out, "./kubectl-pprof", "version"); !strings.Contains(got, v) {
		t.Errorf("the program says %q", got)
	}
}
