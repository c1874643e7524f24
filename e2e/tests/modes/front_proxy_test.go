package modes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

const trusted = "extension-apiserver-authentication" // ConfigMap in kube-system

func requestHeaderCA(t *testing.T) string {
	t.Helper()
	return f.K(t, "get", "configmap", trusted, "-n", "kube-system", "-o", `jsonpath={.data.requestheader-client-ca-file}`)
}

// dial reaches the registry's Service with a client certificate, or an empty one for none.
func dial(t *testing.T, pair tls.Certificate) (*tls.Conn, error) {
	t.Helper()
	own := f.NeedOwn(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(company.pem))
	config := &tls.Config{RootCAs: pool, ServerName: "kube-pprof-registry." + f.Namespace + ".svc"}
	if pair.Certificate != nil {
		config.Certificates = []tls.Certificate{pair}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	raw, err := own.Dial(ctx, "tcp", net.JoinHostPort(f.K(t, "get", "service", "-n", f.Namespace, "kube-pprof-registry", "-o", "jsonpath={.spec.clusterIP}"), "443"))
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// asFrontProxy asks the registry for the profiles of a namespace as the API server would for its administrator.
func asFrontProxy(t *testing.T, pair tls.Certificate) int {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return dial(t, pair) }}}
	request, err := http.NewRequest("GET", "https://kube-pprof-registry."+f.Namespace+".svc"+agg+"/namespaces/"+modest+"/profiles?limit=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Remote-User", "admin")
	request.Header.Set("X-Remote-Group", "system:masters")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// through reads through the API server until it is told to stop, and says what went wrong.
func through(stop chan struct{}, wait *sync.WaitGroup, n *int, wrong *[]string) {
	defer wait.Done()
	for {
		select {
		case <-stop:
			return
		default:
		}
		*n++
		if out, err := f.Kubectl("get", "--raw", agg+"/namespaces/"+modest+"/profiles?limit=1"); err != nil {
			*wrong = append(*wrong, time.Now().Format("15:04:05.000 ")+err.Error()+out)
		}
	}
}

// The API server reads its files again: first both authorities are believed, then it shows a certificate of the new one, then the old
// one is forgotten. The API server itself forgets none before its time, so the last is done by hand.
func theFrontProxysAuthorityChanges(t *testing.T, _ *world) {
	own := f.NeedOwn(t)
	files := map[string]string{}
	for _, name := range []string{"front.crt", "front-proxy.crt", "front-proxy.key"} {
		text, err := os.ReadFile(own.PKI(name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	write := func(name, text string) {
		// in place: the API server has the folder, and must never see half a file
		if err := os.WriteFile(own.PKI(name)+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(own.PKI(name)+".new", own.PKI(name)); err != nil {
			t.Fatal(err)
		}
	}
	next, err := newAuthority("the front proxy's next CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, _, _, err := sign(&x509.Certificate{Subject: pkix.Name{CommonName: "front-proxy-client"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, next)
	if err != nil {
		t.Fatal(err)
	}
	oldPair, err := tls.X509KeyPair([]byte(files["front-proxy.crt"]), []byte(files["front-proxy.key"]))
	if err != nil {
		t.Fatal(err)
	}
	newPair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	believes := func(what, ca string, yes bool) {
		t.Helper()
		f.Within(t, 90*time.Second, what, func() error {
			if strings.Contains(requestHeaderCA(t), strings.TrimSpace(ca)) != yes {
				return fmt.Errorf("not yet")
			}
			return nil
		})
	}
	forget := func(keep string) {
		t.Helper()
		patch, _ := json.Marshal(map[string]any{"data": map[string]string{"requestheader-client-ca-file": keep}})
		f.K(t, "patch", "configmap", trusted, "-n", "kube-system", "--type=merge", "-p", string(patch))
	}
	answers := func(what string, pair tls.Certificate, status int) {
		t.Helper()
		f.Within(t, 60*time.Second, what, func() error {
			if got := asFrontProxy(t, pair); got != status {
				return fmt.Errorf("%d", got)
			}
			return nil
		})
	}
	defer func() { // as it was, whatever happened
		write("front.crt", next.pem+files["front.crt"])
		believes("the old authority again", files["front.crt"], true)
		write("front-proxy.key", files["front-proxy.key"])
		write("front-proxy.crt", files["front-proxy.crt"])
		write("front.crt", files["front.crt"])
		f.K(t, "get", "--raw", agg+"/namespaces/"+modest+"/profiles?limit=1")
	}()
	answers("the old certificate is let in", oldPair, 200)
	answers("the new one is not", newPair, 401)

	stop, wait, n, wrong := make(chan struct{}), sync.WaitGroup{}, 0, []string{}
	wait.Add(1)
	go through(stop, &wait, &n, &wrong)
	write("front.crt", files["front.crt"]+next.pem)
	believes("both authorities are published", next.pem, true)
	answers("the new certificate is let in as well", newPair, 200)
	answers("the old one still", oldPair, 200)
	write("front-proxy.key", key)
	write("front-proxy.crt", cert)
	time.Sleep(5 * time.Second) // it watches the files; if it were slower, requests would fail below
	write("front.crt", next.pem)
	forget(next.pem)
	answers("the old certificate is refused", oldPair, 401)
	answers("the new one is let in", newPair, 200)
	time.Sleep(2 * time.Second)
	close(stop)
	wait.Wait()
	t.Logf("%d requests through the API server meanwhile, %d failed", n, len(wrong))
	for _, w := range wrong {
		t.Error(w)
	}
	if n < 20 {
		t.Errorf("only %d requests", n)
	}
}
