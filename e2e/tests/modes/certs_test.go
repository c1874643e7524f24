package modes

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

// authority signs as a company's own would.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(name string) (*authority, error) {
	a := &authority{}
	var err error
	a.pem, _, a.key, a.cert, err = sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}, nil)
	return a, err
}

// sign returns certificate and key, as PEM and as they are; by nil: it signs itself.
func sign(template *x509.Certificate, by *authority) (cert, key string, private *ecdsa.PrivateKey, parsed *x509.Certificate, err error) {
	if private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	issuer, issuerKey := template, private
	if by != nil {
		issuer, issuerKey = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &private.PublicKey, issuerKey)
	if err != nil {
		return
	}
	if parsed, err = x509.ParseCertificate(der); err != nil {
		return
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return
	}
	cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})), private, parsed, nil
}

// serving is a kubernetes.io/tls Secret with a certificate for these names, as a person or cert-manager makes it.
func (a *authority) serving(secret string, names ...string) (string, error) {
	cert, key, _, _, err := sign(&x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, a)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
		"metadata":   map[string]string{"name": secret, "namespace": f.Namespace},
		"stringData": map[string]string{"tls.crt": cert, "tls.key": key, "ca.crt": a.pem}})
	return string(text), err
}

const ownSecret = "company-tls"

var company *authority

// makeSecret is what somebody does before he installs with registry.tls.mode=secret.
func makeSecret() (err error) {
	if company, err = newAuthority("the company's CA"); err != nil {
		return err
	}
	secret, err := company.serving(ownSecret, "kube-pprof-registry."+f.Namespace+".svc", "kube-pprof-registry."+f.Namespace)
	if err != nil {
		return err
	}
	if out, err := f.KubectlIn(secret, "apply", "-f", "-"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	f.RegistrySecret = ownSecret
	return nil
}
