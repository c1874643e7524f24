package oci

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func pack(t *testing.T, name string, fill func(*Image)) map[string][]byte {
	t.Helper()
	im := New(name, "/app")
	fill(im)
	out := filepath.Join(t.TempDir(), "image.tar")
	if _, err := im.Write(out); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return unpack(t, f)
}

func unpack(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	members := map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return members
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		members[h.Name] = data
	}
}

func TestTheSameFilesGiveTheSameImage(t *testing.T) {
	a := pack(t, "x:1", func(im *Image) { im.AddBytes("/b", 0o644, []byte("2")); im.AddBytes("/a/c", 0o755, []byte("1")) })
	b := pack(t, "x:1", func(im *Image) { im.AddBytes("/a/c", 0o755, []byte("1")); im.AddBytes("/b", 0o644, []byte("2")) })
	if !bytes.Equal(a["index.json"], b["index.json"]) {
		t.Fatal("the order of adding changed the digest")
	}
	c := pack(t, "x:1", func(im *Image) { im.AddBytes("/b", 0o644, []byte("3")) })
	if bytes.Equal(a["index.json"], c["index.json"]) {
		t.Fatal("other contents gave the same digest")
	}
}

func TestLayoutHoldsManifestConfigAndLayer(t *testing.T) {
	members := pack(t, "local.test/x:1", func(im *Image) {
		im.Labels = map[string]string{"a": "b"}
		im.AddBytes("/dir/app", 0o755, []byte("hello"))
	})
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(members["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("index: %v %s", err, members["index.json"])
	}
	if got := index.Manifests[0].Annotations["io.containerd.image.name"]; got != "local.test/x:1" {
		t.Fatalf("name %q", got)
	}
	blob := func(d descriptor) []byte { return members["blobs/sha256/"+d.Digest[len("sha256:"):]] }
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	if err := json.Unmarshal(blob(index.Manifests[0]), &manifest); err != nil || len(manifest.Layers) != 1 {
		t.Fatalf("manifest: %v", err)
	}
	var config struct {
		Config struct {
			User   string
			Labels map[string]string
		}
	}
	if err := json.Unmarshal(blob(manifest.Config), &config); err != nil || config.Config.User != "65532:65532" || config.Config.Labels["a"] != "b" {
		t.Fatalf("config: %v %s", err, blob(manifest.Config))
	}
	layer := unpack(t, bytes.NewReader(blob(manifest.Layers[0])))
	if string(layer["dir/app"]) != "hello" || layer["tmp/"] == nil || layer["dir/"] == nil {
		t.Fatalf("layer has %d members", len(layer))
	}
}

func TestANameNeedsATag(t *testing.T) {
	for _, name := range []string{"x", "host:5000/x"} {
		if _, err := New(name, "/x").Write(filepath.Join(t.TempDir(), "o")); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}
