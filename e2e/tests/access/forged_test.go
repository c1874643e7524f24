package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

func clientPair(t *testing.T, cert, key string) tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// made is a client certificate with this name, of an authority nobody knows (parent nil) or of one of the cluster.
func made(t *testing.T, name string, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"system:masters"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	issuer, by := template, any(key)
	if parent != nil {
		if issuer, err = x509.ParseCertificate(parent.Certificate[0]); err != nil {
			t.Fatal(err)
		}
		by = parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

var forged = []string{"X-Remote-User: admin", "X-Remote-Group: system:masters", "X-Remote-Extra-Scopes: all", "X-Remote-Uid: 1"}

func forgedHeaders(t *testing.T, w *world) {
	front := clientPair(t, w.own.PKI("front.crt"), w.own.PKI("front.key")) // the authority itself
	ca := clientPair(t, w.own.PKI("ca.crt"), w.own.PKI("ca.key"))
	paths := []string{in(pay), in(pay) + "/" + w.theirCPU + "/download", in(pay) + "/-/merge?type=cpu", agg + "/profiles", "/api/v1/profiles?namespace=" + pay, "/api/0/services"}
	for what, certs := range map[string][]tls.Certificate{
		"no certificate":                          nil,
		"a made-up certificate":                   {made(t, "front-proxy-client", nil)},
		"the administrator's certificate":         {clientPair(t, w.own.PKI("admin.crt"), w.own.PKI("admin.key"))},
		"the right name of the cluster's CA":      {made(t, "front-proxy-client", &ca)},
		"another name of the front proxy's CA":    {made(t, "admin", &front)},
		"the front proxy's authority as a client": {front},
		"the kubelets' client":                    {clientPair(t, w.own.PKI("kubelet-client.crt"), w.own.PKI("kubelet-client.key"))},
	} {
		s := registry(t, w.own, w.admin, certs...)
		for _, p := range paths {
			s.ask(t, "GET", p, "", "", forged...).is(t, what+", "+p, 401)
			// with a token that is good the headers say nothing either
			if a := s.ask(t, "GET", p, w.viewer.direct, "", forged...); a.status != 401 && a.status != 403 && p != "/api/0/services" || w.leak(p, a) != "" {
				t.Errorf("%s and the viewer's token, %s: %v", what, p, a)
			}
		}
		s.ask(t, "DELETE", in(pay), "", "", forged...).is(t, what+", delete all", 401)
	}
	// the control: what the API server shows is let in, below /apis only
	right := registry(t, w.own, w.admin, clientPair(t, w.own.PKI("front-proxy.crt"), w.own.PKI("front-proxy.key")))
	right.ask(t, "GET", in(pay)+"?limit=1", "", "", forged...).is(t, "the front proxy", 200, pay)
	right.ask(t, "GET", in(pay), "", "", "X-Remote-User: "+w.viewer.full()).is(t, "the front proxy for the viewer", 403)
	right.ask(t, "GET", in(pay), "", "", "X_remote_user: admin", "X_remote_group: system:masters").is(t, "the front proxy with underscores", 401)
	right.ask(t, "GET", "/api/v1/profiles?namespace="+pay, "", "", forged...).is(t, "the front proxy at /api/v1", 401)
	right.ask(t, "GET", "/api/0/services", "", "", forged...).is(t, "the front proxy at /api/0", 401)

	// through the API server they are replaced, and underscores are no dashes
	for _, h := range [][]string{forged, {"X_remote_user: admin", "X_remote_group: system:masters"}, {"x-remote-user: admin", "x-remote-group: system:masters"},
		{"X-Remote-User: admin", "X-Remote-Group: system:masters", "Connection: X-Remote-User, X-Remote-Group"}, {"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Uri: " + in(pay)}} {
		w.api.ask(t, "GET", in(pay), w.viewer.api, "", h...).is(t, h[0]+" through the API server", 403)
		w.api.ask(t, "GET", in(shop)+"/"+w.theirCPU, w.viewer.api, "", h...).is(t, h[0]+" through the API server, by id", 404)
		same(t, h[0]+" through the API server, its own", names(t, w.api.ask(t, "GET", in(shop), w.viewer.api, "", h...)), ids(w.mine))
	}
}
