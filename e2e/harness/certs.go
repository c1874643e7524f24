package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// pki makes certificates as files NAME.crt and NAME.key in a folder.
type pki struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(dir, name string) (*pki, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
	}
	p := &pki{dir: dir, cert: tmpl, key: key}
	return p, p.sign(name, tmpl, key)
}

// sign fills in what all certificates share and writes both files.
func (p *pki) sign(name string, tmpl *x509.Certificate, key *ecdsa.PrivateKey) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return err
	}
	tmpl.SerialNumber, tmpl.NotBefore, tmpl.NotAfter = serial, time.Now().Add(-time.Hour), time.Now().AddDate(0, 0, 30)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, p.cert, &key.PublicKey, p.key)
	if err != nil {
		return err
	}
	if tmpl.IsCA {
		if p.cert, err = x509.ParseCertificate(der); err != nil {
			return err
		}
	}
	if err := writePEM(filepath.Join(p.dir, name+".crt"), "CERTIFICATE", der); err != nil {
		return err
	}
	return writeKey(filepath.Join(p.dir, name+".key"), key)
}

func (p *pki) issue(name string, subject pkix.Name, usage x509.ExtKeyUsage, ips []string, names ...string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	tmpl := &x509.Certificate{Subject: subject, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage}, DNSNames: names}
	for _, ip := range ips {
		tmpl.IPAddresses = append(tmpl.IPAddresses, net.ParseIP(ip))
	}
	return p.sign(name, tmpl, key)
}

// client issues a client certificate and writes NAME.kubeconfig beside it.
func (p *pki) client(name, user, group string) error {
	subject := pkix.Name{CommonName: user}
	if group != "" {
		subject.Organization = []string{group}
	}
	if err := p.issue(name, subject, x509.ExtKeyUsageClientAuth, nil); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.dir, name+".kubeconfig"), []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: kube-pprof-e2e, cluster: {server: "https://%[1]s:443", certificate-authority: %[2]s/ca.crt}}]
users: [{name: %[3]s, user: {client-certificate: %[2]s/%[3]s.crt, client-key: %[2]s/%[3]s.key}}]
contexts: [{name: kube-pprof-e2e, context: {cluster: kube-pprof-e2e, user: %[3]s}}]
current-context: kube-pprof-e2e
`, controlPlaneIP, p.dir, name)), 0o600)
}

// serviceAccountKeys writes the pair that signs and checks service account tokens.
func serviceAccountKeys(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, "sa.pub"), "PUBLIC KEY", pub); err != nil {
		return err
	}
	return writeKey(filepath.Join(dir, "sa.key"), key)
}

func writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(name, "EC PRIVATE KEY", der)
}

func writePEM(name, kind string, der []byte) error {
	return os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// openCA is a certificate authority of newCA.
func openCA(dir, name string) (*pki, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s.key is not an ECDSA key", name)
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	return &pki{dir: dir, cert: cert, key: key}, err
}

func (p *pki) apiserver() error {
	return p.issue("apiserver", pkix.Name{CommonName: "kube-apiserver"}, x509.ExtKeyUsageServerAuth, []string{serviceIP, controlPlaneIP, "127.0.0.1"},
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
}

// RenewCertificate gives the API server another certificate, by the authority it has, for its next start.
func (c *Cluster) RenewCertificate() error {
	ca, err := openCA(filepath.Join(c.Dir, "pki"), "ca")
	if err != nil {
		return err
	}
	return ca.apiserver()
}

// AddAuthority makes a new certificate authority and puts it behind the one there is in ca.crt, which everybody trusts who reads it
// from then on. The function returned gives the API server a certificate by it for its next start.
func (c *Cluster) AddAuthority(name string) (use func() error, err error) {
	ca, err := newCA(filepath.Join(c.Dir, "pki"), name)
	if err != nil {
		return nil, err
	}
	both, err := os.ReadFile(c.PKI("ca.crt"))
	if err != nil {
		return nil, err
	}
	added, err := os.ReadFile(c.PKI(name + ".crt"))
	if err != nil {
		return nil, err
	}
	return ca.apiserver, os.WriteFile(c.PKI("ca.crt"), append(both, added...), 0o600)
}

// certificates writes everything the control plane and the nodes need.
func certificates(dir string, nodes []string) error {
	ca, err := newCA(dir, "ca")
	if err != nil {
		return err
	}
	front, err := newCA(dir, "front")
	if err != nil {
		return err
	}
	if err := front.issue("front-proxy", pkix.Name{CommonName: "front-proxy-client"}, x509.ExtKeyUsageClientAuth, nil); err != nil {
		return err
	}
	// what signs has to be one certificate, ca.crt may become more
	if err := errors.Join(ca.apiserver(), writePEM(filepath.Join(dir, "signer.crt"), "CERTIFICATE", ca.cert.Raw)); err != nil {
		return err
	}
	masters := "system:masters"
	if err := ca.issue("kubelet-client", pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{masters}},
		x509.ExtKeyUsageClientAuth, nil); err != nil {
		return err
	}
	for _, c := range [][3]string{
		{"admin", "admin", masters}, {"dns", "coredns", masters}, {"kcm", "system:kube-controller-manager", ""},
		{"scheduler", "system:kube-scheduler", ""}, {"proxy", "system:kube-proxy", ""},
	} {
		if err := ca.client(c[0], c[1], c[2]); err != nil {
			return err
		}
	}
	for i, n := range nodes {
		if err := ca.client(n, "system:node:"+n, "system:nodes"); err != nil {
			return err
		}
		if err := ca.issue("serve-"+n, pkix.Name{CommonName: "system:node:" + n}, x509.ExtKeyUsageServerAuth, []string{nodeIP(i + 1), nodeIP6(i + 1)}, n); err != nil {
			return err
		}
	}
	return serviceAccountKeys(dir)
}
