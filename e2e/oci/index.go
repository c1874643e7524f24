package oci

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// WriteIndex joins image archives (as Write makes them), one for each architecture, into one under a name: a node takes the one for its own.
func WriteIndex(name, out string, images []string) (string, error) {
	if err := hasTag(name); err != nil {
		return "", err
	}
	a := archive{}
	var manifests []descriptor
	for _, image := range images {
		manifest, err := a.read(image)
		if err != nil {
			return "", fmt.Errorf("%s: %w", image, err)
		}
		manifests = append(manifests, manifest)
	}
	d := a.json(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": manifests}, "index.v1+json")
	return d.Digest, a.finish(name, d, out)
}

// read takes the blobs of an archive over and returns what its one manifest is called there.
func (a archive) read(image string) (descriptor, error) {
	f, err := os.Open(image)
	if err != nil {
		return descriptor{}, err
	}
	defer f.Close()
	var index struct{ Manifests []descriptor }
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return descriptor{}, err
		}
		data, err := io.ReadAll(t)
		if err != nil {
			return descriptor{}, err
		}
		if strings.HasPrefix(h.Name, "blobs/") {
			a[h.Name] = file{mode: 0o644, data: data}
		} else if h.Name == "index.json" {
			if err := json.Unmarshal(data, &index); err != nil {
				return descriptor{}, err
			}
		}
	}
	if len(index.Manifests) != 1 || index.Manifests[0].Platform == nil {
		return descriptor{}, errors.New("not the archive of one image for one architecture")
	}
	index.Manifests[0].Annotations = nil
	return index.Manifests[0], nil
}
