package oci

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"sort"
	"strings"
	"time"
)

// What an image is made of, as SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/) writes it in JSON.
type spdxDocument struct {
	SPDXVersion   string             `json:"spdxVersion"`
	DataLicense   string             `json:"dataLicense"`
	ID            string             `json:"SPDXID"`
	Name          string             `json:"name"`
	Namespace     string             `json:"documentNamespace"`
	CreationInfo  spdxCreation       `json:"creationInfo"`
	Packages      []spdxPackage      `json:"packages"`
	Files         []spdxFile         `json:"files"`
	Relationships []spdxRelationship `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID               string            `json:"SPDXID"`
	Name             string            `json:"name"`
	Version          string            `json:"versionInfo,omitempty"`
	Supplier         string            `json:"supplier"`
	Purpose          string            `json:"primaryPackagePurpose"`
	DownloadLocation string            `json:"downloadLocation"`
	Homepage         string            `json:"homepage,omitempty"`
	SourceInfo       string            `json:"sourceInfo,omitempty"`
	FilesAnalyzed    bool              `json:"filesAnalyzed"`
	VerificationCode *spdxVerification `json:"packageVerificationCode,omitempty"`
	Checksums        []spdxChecksum    `json:"checksums,omitempty"`
	LicenseConcluded string            `json:"licenseConcluded"`
	LicenseDeclared  string            `json:"licenseDeclared"`
	Copyright        string            `json:"copyrightText"`
	ExternalRefs     []spdxRef         `json:"externalRefs,omitempty"`
}

type spdxVerification struct {
	Value string `json:"packageVerificationCodeValue"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxFile struct {
	ID               string         `json:"SPDXID"`
	Name             string         `json:"fileName"`
	Checksums        []spdxChecksum `json:"checksums"`
	LicenseConcluded string         `json:"licenseConcluded"`
	Copyright        string         `json:"copyrightText"`
}

type spdxRelationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

const noAssertion = "NOASSERTION"

var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

func spdxID(kind, name string) string {
	return "SPDXRef-" + kind + "-" + strings.Trim(notInID.ReplaceAllString(strings.ReplaceAll(name, "+", "plus"), "-"), "-")
}

// WriteSBOM says in out what the image is made of: itself, the product, each Debian package, each file with its sums. digest is what Write returned.
func (im *Image) WriteSBOM(out, digest string) error {
	packages, own, err := im.packages()
	if err != nil {
		return err
	}
	label := func(name string) string { return im.Labels["org.opencontainers.image."+name] }
	title, version := label("title"), label("version")
	doc := &spdxDocument{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: fmt.Sprintf("%s-%s-%s", title, version, im.Arch),
		Namespace:    fmt.Sprintf("https://kube-pprof.dev/spdx/%s-%s-%s-%s", title, version, im.Arch, strings.TrimPrefix(digest, "sha256:")),
		CreationInfo: spdxCreation{im.Created.UTC().Format(time.RFC3339), []string{"Organization: " + label("vendor"), "Tool: ocipack"}},
	}
	image := spdxPackage{ID: "SPDXRef-Image", Name: im.Name, Version: version, Supplier: "Organization: " + label("vendor"), Purpose: "CONTAINER",
		LicenseDeclared: noAssertion, Checksums: []spdxChecksum{{"SHA256", strings.TrimPrefix(digest, "sha256:")}},
		ExternalRefs: []spdxRef{{"PACKAGE-MANAGER", "purl", fmt.Sprintf("pkg:oci/%s@%s?arch=%s", title, url.PathEscape(digest), im.Arch)}}}
	doc.add(im, image, nil)
	doc.relate(doc.ID, "DESCRIBES", image.ID)
	product := spdxPackage{ID: "SPDXRef-Product", Name: title, Version: version, Supplier: image.Supplier, Purpose: "APPLICATION",
		LicenseDeclared: label("licenses"), SourceInfo: "built from revision " + label("revision")}
	doc.add(im, product, own)
	doc.relate(image.ID, "CONTAINS", product.ID)
	for _, p := range packages {
		s := debianPackage(p)
		doc.add(im, s, p.files)
		doc.relate(image.ID, "CONTAINS", s.ID)
	}
	data, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(data, '\n'), 0o644)
}

func debianPackage(p *debPackage) spdxPackage {
	source := p.fields["Source"]
	if source == "" {
		source = p.name()
	}
	locator := fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", strings.ReplaceAll(p.name(), "+", "%2B"), url.QueryEscape(p.fields["Version"]), p.fields["Architecture"])
	return spdxPackage{ID: spdxID("deb", p.name()), Name: p.name(), Version: p.fields["Version"], Supplier: "Organization: Debian", Purpose: "LIBRARY",
		Homepage: p.fields["Homepage"], SourceInfo: "built from the Debian source package " + source, LicenseDeclared: p.declared(),
		ExternalRefs: []spdxRef{{"PACKAGE-MANAGER", "purl", locator}}}
}

// add takes a package in and those of the image's files that are its.
func (d *spdxDocument) add(im *Image, p spdxPackage, files []string) {
	p.DownloadLocation, p.LicenseConcluded, p.Copyright = noAssertion, noAssertion, noAssertion
	sums := []string{}
	for _, name := range files {
		if im.files[strings.TrimPrefix(name, "/")].link != "" {
			continue
		}
		data := im.files[strings.TrimPrefix(name, "/")].data
		one, two := sha1.Sum(data), sha256.Sum256(data)
		f := spdxFile{ID: spdxID("file", name), Name: "." + name, LicenseConcluded: noAssertion, Copyright: noAssertion,
			Checksums: []spdxChecksum{{"SHA1", hex.EncodeToString(one[:])}, {"SHA256", hex.EncodeToString(two[:])}}}
		d.Files = append(d.Files, f)
		sums = append(sums, f.Checksums[0].Value)
		d.relate(p.ID, "CONTAINS", f.ID)
	}
	if len(files) > 0 {
		sort.Strings(sums)
		code := sha1.Sum([]byte(strings.Join(sums, "")))
		p.FilesAnalyzed, p.VerificationCode = true, &spdxVerification{hex.EncodeToString(code[:])}
	}
	d.Packages = append(d.Packages, p)
}

func (d *spdxDocument) relate(from, kind, to string) {
	d.Relationships = append(d.Relationships, spdxRelationship{from, kind, to})
}
