// Package oci packs files into a one-layer OCI image archive without a container engine. The result is reproducible: members are
// sorted, times are zero and nothing is compressed, so equal input gives equal bytes.
package oci

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"
)

// Image says what goes into an image. Add files with Add, AddBytes and AddELF, then Write it.
type Image struct {
	Name       string            // reference, for example "local.test/app:1"
	User       string            // "UID:GID"
	Entrypoint []string          // argv; the pod's args are appended
	Env        []string          // K=V
	Labels     map[string]string // org.opencontainers.image.*
	Arch       string            // as Go calls it; this machine's by default
	Root       string            // where libraries are looked for; "" is this machine
	Created    time.Time         // the zero time is not written
	files      map[string]file
}

type file struct {
	mode int64
	data []byte
	src  string // where Add found it
	link string // the file is a symbolic link to this
}

// New returns an image with the user 65532, /tmp and the two account files that some libraries look for.
func New(name string, entrypoint ...string) *Image {
	im := &Image{Name: name, User: "65532:65532", Entrypoint: entrypoint, Arch: runtime.GOARCH, files: map[string]file{}}
	im.AddBytes("/etc/passwd", 0o644, []byte("root:x:0:0:root:/:/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/nologin\n"))
	im.AddBytes("/etc/group", 0o644, []byte("root:x:0:\nnonroot:x:65532:\n"))
	return im
}

// AddBytes puts data at dest, owned by root.
func (im *Image) AddBytes(dest string, mode int64, data []byte) {
	im.put(dest, file{mode: mode, data: data})
}

func (im *Image) put(dest string, f file) { im.files[strings.TrimPrefix(path.Clean(dest), "/")] = f }

// Add copies the file src to dest. It stays executable if it was.
func (im *Image) Add(src, dest string) error {
	st, err := os.Stat(src)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if st.Mode()&0o111 != 0 {
		mode = 0o755
	}
	im.put(dest, file{mode: mode, data: data, src: src})
	return nil
}

// Size is the sum of all file sizes: what the image takes on a node's disk.
func (im *Image) Size() (n int64) {
	for _, f := range im.files {
		n += int64(len(f.data))
	}
	return n
}

// Each calls fn for every file, sorted by path, with the path in the image and its size.
func (im *Image) Each(fn func(name string, size int)) {
	for _, name := range im.names() {
		fn("/"+name, len(im.files[name].data))
	}
}

func (im *Image) names() []string {
	names := make([]string, 0, len(im.files))
	for name := range im.files {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (im *Image) layer() ([]byte, error) {
	dirs := map[string]int64{"tmp": 0o1777}
	for name := range im.files {
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			if _, ok := dirs[d]; !ok {
				dirs[d] = 0o755
			}
		}
	}
	sorted := make([]string, 0, len(dirs))
	for d := range dirs {
		sorted = append(sorted, d)
	}
	sort.Strings(sorted)
	var out bytes.Buffer
	t := tar.NewWriter(&out)
	for _, d := range sorted {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: d + "/", Mode: dirs[d], ModTime: time.Unix(0, 0), Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
	}
	for _, name := range im.names() {
		if err := put(t, name, im.files[name]); err != nil {
			return nil, err
		}
	}
	err := t.Close()
	return out.Bytes(), err
}

func put(t *tar.Writer, name string, f file) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: f.mode, Size: int64(len(f.data)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	if f.link != "" {
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.link, 0o777
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := t.Write(f.data)
	return err
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

const indexType = "application/vnd.oci.image.index.v1+json"

type archive map[string]file

func (a archive) blob(data []byte, kind string) descriptor {
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	a["blobs/sha256/"+digest] = file{mode: 0o644, data: data}
	return descriptor{MediaType: "application/vnd.oci.image." + kind, Digest: "sha256:" + digest, Size: len(data)}
}

func (a archive) json(v any, kind string) descriptor {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // only maps, strings and numbers go in
	}
	return a.blob(data, kind)
}

func hasTag(name string) error {
	if strings.LastIndex(name, ":") <= strings.LastIndex(name, "/") {
		return errors.New("image name '" + name + "' has no tag: give NAME:TAG")
	}
	return nil
}

// Write stores the image as an OCI layout in a tar at out; containerd imports it under its Name. It returns the manifest's digest.
func (im *Image) Write(out string) (string, error) {
	if err := hasTag(im.Name); err != nil {
		return "", err
	}
	layer, err := im.layer()
	if err != nil {
		return "", err
	}
	a := archive{}
	l := a.blob(layer, "layer.v1.tar")
	config := map[string]any{
		"architecture": im.Arch, "os": "linux",
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{l.Digest}},
		"config": map[string]any{
			"User": im.User, "Entrypoint": im.Entrypoint, "WorkingDir": "/", "Labels": im.Labels,
			"Env": append([]string{"PATH=/usr/local/bin:/usr/bin:/bin"}, im.Env...),
		},
	}
	if !im.Created.IsZero() {
		config["created"] = im.Created.UTC().Format(time.RFC3339)
	}
	manifest := a.json(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": a.json(config, "config.v1+json"), "layers": []descriptor{l},
		"annotations": im.Labels,
	}, "manifest.v1+json")
	manifest.Platform = &platform{Architecture: im.Arch, OS: "linux"}
	return manifest.Digest, a.finish(im.Name, manifest, out)
}

// finish names what the archive is of, and writes it.
func (a archive) finish(name string, top descriptor, out string) error {
	top.Annotations = map[string]string{"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name[strings.LastIndex(name, ":")+1:]}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": []descriptor{top}})
	if err != nil {
		return err
	}
	a["index.json"] = file{mode: 0o644, data: index}
	a["oci-layout"] = file{mode: 0o644, data: []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	return a.write(out)
}

func (a archive) write(out string) error {
	names := make([]string, 0, len(a))
	for name := range a {
		names = append(names, name)
	}
	sort.Strings(names)
	tmp, err := os.CreateTemp(filepath.Dir(out), ".oci-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	t := tar.NewWriter(tmp)
	for _, name := range names {
		if err := put(t, name, a[name]); err != nil {
			return err
		}
	}
	if err := errors.Join(t.Close(), tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), out)
}
