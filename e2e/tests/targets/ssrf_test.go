package targets

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

func itoa(n int) string { return strconv.Itoa(n) }

// led are networks that end in the controller's own network during these tests, where somebody listens: whatever is sent there is seen.
var led = []string{"169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "10.77.0.11/32", "10.96.77.0/24", "0.0.0.0/8",
	"64:ff9b::/96", "2002::/16", "2001::/32", "::ffff:0:0:0/96", "fd00:ec2::254/128", "fe80::1/128"}

// lure leads those networks to a listener in the controller's network and returns how many connections came.
func (w *world) lure(t *testing.T, pid int) func() int {
	t.Helper()
	var came atomic.Int32
	for _, network := range led {
		family, table := "-4", "local"
		if strings.Contains(network, ":") {
			family = "-6"
		}
		out, err := f.Host(t.Context(), []string{"nsenter", "-t", itoa(pid), "-n", "ip", family, "route", "replace", "local", network, "dev", "lo", "table", table})
		if err != nil {
			t.Logf("no way for %s to the listener: %s", network, out)
		}
	}
	l := listen(t, pid, fmt.Sprintf(":%d", port))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			c.Close()
		}
	}()
	tried := 0
	for _, address := range []string{"127.0.0.1", "169.254.169.254", "100.100.100.200", "10.77.0.11", "10.96.77.7", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1"} {
		c, err := dialIn(pid, net.JoinHostPort(address, itoa(port)))
		if err != nil {
			t.Logf("%s does not lead to the listener: %v", address, err)
			continue
		}
		c.Close()
		tried++
	}
	f.Within(t, 10*time.Second, "the listener hears", func() error {
		if int(came.Load()) != tried || tried < 4 {
			return fmt.Errorf("%d of %d connections", came.Load(), tried)
		}
		return nil
	})
	return func() int { return int(came.Load()) - tried }
}

func dialIn(pid int, address string) (net.Conn, error) {
	return harness.InNetwork(pid, func() (net.Conn, error) { return net.DialTimeout("tcp", address, 5*time.Second) })
}

// claims are what a pod's status may say of its address, and what has to come of it: the outcome of its captures, or why it is left out.
var claims = []struct {
	name, ip, hostIP string
	result, leftOut  string
	says             string
	hostNetwork      bool
	also             string // a second address
}{
	{name: "loopback", ip: "127.0.0.1", result: "Refused", says: "loopback"},
	{name: "loopback-far", ip: "127.9.9.9", result: "Refused", says: "loopback"},
	{name: "loopback-six", ip: "::1", result: "Refused", says: "loopback"},
	{name: "unspecified", ip: "0.0.0.0", result: "Refused", says: "unspecified"},
	{name: "unspecified-six", ip: "::", result: "Refused", says: "unspecified"},
	{name: "metadata", ip: "169.254.169.254", result: "Refused", says: "link-local"},
	{name: "link-local-six", ip: "fe80::1", result: "Refused", says: "link-local"},
	{name: "multicast", ip: "224.0.0.1", result: "Refused", says: "multicast"},
	{name: "multicast-six", ip: "ff02::1", result: "Refused", says: "multicast"},
	{name: "broadcast", ip: "255.255.255.255", result: "Refused", says: "reserved"},
	{name: "mapped", ip: "::ffff:127.0.0.1", result: "Refused", says: "loopback"},
	{name: "mapped-hex", ip: "::ffff:a9fe:a9fe", result: "Refused", says: "link-local"},
	{name: "nat64", ip: "64:ff9b::169.254.169.254", result: "Refused", says: "NAT64"},
	{name: "six-to-four", ip: "2002:7f00:1::1", result: "Refused", says: "6to4"},
	{name: "teredo", ip: "2001:0:4136:e378:8000:63bf:3fff:fdd2", result: "Refused", says: "Teredo"},
	{name: "cloud", ip: "100.100.100.200", result: "Refused", says: "metadata"},
	{name: "service", ip: "10.96.77.7", result: "Refused", says: "10.96.0.0/16"},
	{name: "api-server", ip: "10.77.0.1", result: "Refused", says: "the API server"},
	{name: "own-node", ip: farNode(1), hostIP: farNode(1), leftOut: "AddressConflict", says: "a node has the address"},
	{name: "other-node", ip: "10.77.0.11", hostIP: farNode(1), leftOut: "AddressConflict", says: "a node has the address"},
	{name: "host-network", ip: farNode(2), hostIP: farNode(2), hostNetwork: true, leftOut: "HostNetwork", says: "--allow-host-network"},
	{name: "victim", ip: podIP(900), leftOut: "AddressConflict", says: "another live pod claims"},
	{name: "thief", ip: podIP(900), leftOut: "AddressConflict", says: "another live pod claims"},
	{name: "two-families", ip: podIP(901), also: "fd00:77::1", result: "Succeeded"},
	{name: "other-family", ip: "fd00:77::1", leftOut: "AddressConflict", says: "another live pod claims"},
	{name: "honest", ip: podIP(902), result: "Succeeded"},
	{name: "resident", ip: podIP(903), hostIP: "10.77.0.11", result: "Succeeded"}, // which addresses are nodes' is known by their pods
}

func farNode(n int) string { return fmt.Sprintf(farIP, n) }

// notes are annotations that try to lead elsewhere. Nothing that is sent may hold them.
var notes = []struct {
	name, key, value string
	leftOut, result  string
}{
	{"note-dots", "kube-pprof.dev/path", "/debug/../../etc", "BadAnnotation", ""},
	{"note-percent", "kube-pprof.dev/path", "/debug/%2f..%2f..%2fadmin", "BadAnnotation", ""},
	{"note-crlf", "kube-pprof.dev/path", "/debug/pprof HTTP/1.1\r\nHost: evil\r\n\r\nGET /", "BadAnnotation", ""},
	{"note-user", "kube-pprof.dev/path", "@169.254.169.254:6060/debug/pprof", "BadAnnotation", ""},
	{"note-query", "kube-pprof.dev/path", "/debug/pprof?x=y#z", "BadAnnotation", ""},
	{"note-slashes", "kube-pprof.dev/path", "//169.254.169.254/debug/", "", ""},
	{"note-outside", "kube-pprof.dev/path", "/admin", "PathNotAllowed", ""},
	{"note-port", "kube-pprof.dev/port", "6060@169.254.169.254", "BadAnnotation", ""},
	{"note-scheme", "kube-pprof.dev/scheme", "gopher", "BadAnnotation", ""},
	{"note-service", "kube-pprof.dev/service", "other-tenant/checkout\r\n", "", "Succeeded"},
}

const claimsPolicy = `
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: claims}
spec:
  selector: {}
  profiles: [{type: heap, interval: 10s}]
  budget: {overheadPercent: 5, concurrentPerWorkload: 100%}
---
apiVersion: kube-pprof.dev/v1alpha1
kind: ProfilingPolicy
metadata: {name: headers}
spec:
  selector: {matchLabels: {app: headers}}
  endpoints: [{name: main, port: 6060, headers: [{name: X-Tenant, value: a}]}]
  profiles: [{type: goroutine, interval: 10s}]
`

// wrong are specs that would send a request elsewhere or smuggle one; the API server takes none of them.
var wrong = map[string]string{
	"header with a line feed": `endpoints: [{name: main, port: 1, headers: [{name: X-A, value: "a\r\nHost: b"}]}]`,
	"header name":             `endpoints: [{name: main, port: 1, headers: [{name: "X-A: b\r\nHost", value: a}]}]`,
	"header Host":             `endpoints: [{name: main, port: 1, headers: [{name: hOsT, value: a}]}]`,
	"path with dots":          `endpoints: [{name: main, port: 1, path: /debug/../admin}]`,
	"path with a line feed":   `endpoints: [{name: main, port: 1, path: "/debug/\r\nX: y"}]`,
	"path with an encoded /":  `endpoints: [{name: main, port: 1, path: /debug/%2f..%2f}]`,
	"path with userinfo":      `endpoints: [{name: main, port: 1, path: "@evil/debug/"}]`,
	"path with a query":       `endpoints: [{name: main, port: 1, path: "/debug/pprof?a=b"}]`,
	"profile's path":          `profiles: [{type: own, interval: 10s, path: "/debug/../x"}]`,
	"server's name":           `endpoints: [{name: main, port: 1, scheme: HTTPS, tls: {serverName: "a\r\nb"}}]`,
	"static label k8s.":       `labels: {static: {k8s.namespace: other}}`,
	"service of another":      `service: {source: Static, value: other/checkout}`,
}

// Whatever a pod says where it is: nothing is sent where it must not be, and the reason is told.
func TestNothingIsSentElsewhere(t *testing.T) {
	w := newWorld(t)
	control, err := w.own.Pid("0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := listen(t, control, "10.77.0.1:3128")
	var proxied atomic.Int32
	go func() {
		for {
			c, err := proxy.Accept()
			if err != nil {
				return
			}
			proxied.Add(1)
			c.Close()
		}
	}()
	f.K(t, "set", "env", "deploy/kube-pprof-controller", "-n", f.Namespace, "HTTP_PROXY=http://10.77.0.1:3128", "http_proxy=http://10.77.0.1:3128",
		"HTTPS_PROXY=http://10.77.0.1:3128", "https_proxy=http://10.77.0.1:3128", "ALL_PROXY=http://10.77.0.1:3128", "all_proxy=http://10.77.0.1:3128")
	t.Cleanup(func() {
		f.K(t, "set", "env", "deploy/kube-pprof-controller", "-n", f.Namespace, "HTTP_PROXY-", "http_proxy-", "HTTPS_PROXY-", "https_proxy-", "ALL_PROXY-", "all_proxy-")
		f.Rollout(t, f.Namespace, "deploy/kube-pprof-controller")
	})
	ns := w.namespace(t)
	f.Rollout(t, f.Namespace, "deploy/kube-pprof-controller")
	f.Within(t, 30*time.Second, "one controller is left", func() error {
		if n := len(f.Pods(t, f.Namespace, "app.kubernetes.io/component=controller")); n != 1 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	came := w.lure(t, w.process(t, "controller"))
	f.Apply(t, ns, claimsPolicy)
	for what, spec := range wrong {
		policy := fmt.Sprintf(`{apiVersion: kube-pprof.dev/v1alpha1, kind: ProfilingPolicy, metadata: {name: wrong}, spec: {selector: {}, %s}}`, spec)
		if out, err := f.KubectlIn(policy, "apply", "-n", ns, "-f", "-"); err == nil {
			t.Errorf("%s was taken: %s", what, out)
			f.K(t, "delete", "ppol", "wrong", "-n", ns)
		}
	}
	w.alone(t)
	var pods []*pod
	for i, c := range claims {
		p := &pod{ns: ns, name: c.name, app: c.name, ip: c.ip, hostIP: c.hostIP, node: fmt.Sprintf("far-%d", i), hostNetwork: c.hostNetwork}
		if c.also != "" {
			p.podIPs = []string{c.also}
		}
		pods = append(pods, p)
	}
	for i, n := range notes {
		pods = append(pods, &pod{ns: ns, name: n.name, app: n.name, ip: podIP(910 + i), node: fmt.Sprintf("far-%d", 30+i), annotations: map[string]string{n.key: n.value}})
	}
	pods = append(pods, &pod{ns: ns, name: "headers", app: "headers", ip: podIP(950), node: "far-50"})
	untaken := map[string]bool{}
	for _, p := range pods {
		if err := w.post(p); err != nil && strings.Contains(err.Error(), "422") {
			t.Logf("the API server does not take %s: %v", p.name, err)
			untaken[p.name] = true
		} else if err != nil {
			t.Fatal(err)
		}
	}
	f.Within(t, 60*time.Second, "everybody's reason is told", func() error {
		targets, err := f.Targets(ns)
		if err != nil {
			return err
		}
		for _, c := range claims {
			if untaken[c.name] {
				continue
			}
			if err := tells(targets, c.name, c.leftOut, c.result, c.says); err != nil {
				return err
			}
		}
		for _, n := range notes {
			if n.leftOut+n.result != "" {
				if err := tells(targets, n.name, n.leftOut, n.result, ""); err != nil {
					return err
				}
			}
		}
		return nil
	})
	p := f.PolicyIs(t, 30*time.Second, ns, "claims", "the policy tells of refusals", func(p *f.Policy) error {
		for _, failure := range p.Status.Failures {
			if failure.Reason == "Refused" && strings.Contains(failure.Message, "never scraped") {
				return nil
			}
		}
		return fmt.Errorf("failures: %+v", p.Status.Failures)
	})
	if p.Status.Targets.LeftOut < 5 {
		t.Errorf("targets.leftOut is %d", p.Status.Targets.LeftOut)
	}
	t.Run("re-used", func(t *testing.T) { reused(t, w, ns) })
	for what, n := range map[string]int{"in the controller's network": came(), "the proxy": int(proxied.Load())} {
		if n != 0 {
			t.Errorf("%s: %d connections", what, n)
		}
	}
	for _, c := range claims { // the server hears at the API server's addresses too
		if c.result != "Succeeded" && len(w.server.of(c.ip)) > 0 {
			t.Errorf("%s: %s was asked: %q", c.name, c.ip, w.server.of(c.ip))
		}
	}
	for i, n := range notes {
		for _, request := range w.server.of(podIP(910 + i)) {
			if request != "connection" && request != "/debug/pprof/heap" {
				t.Errorf("%s: a request for %q", n.name, request)
			}
		}
	}
	if profiles, err := f.List("namespace=" + ns); err != nil || len(profiles) == 0 {
		t.Errorf("%d profiles, %v", len(profiles), err)
	} else {
		for _, p := range profiles {
			if strings.Contains(p.Service, "other-tenant") || p.Namespace != ns {
				t.Errorf("a profile of %s/%s", p.Namespace, p.Service)
			}
		}
	}
	if plugin := os.Getenv("KP_E2E_PLUGIN"); plugin != "" {
		for name, says := range map[string]string{"metadata": "link-local", "other-node": "a node has the address", "note-dots": "kube-pprof.dev/path"} {
			out, err := f.Command(t.Context(), plugin, "explain", "pod/"+name, "-n", ns).CombinedOutput()
			if err != nil || !strings.Contains(string(out), says) {
				t.Errorf("explain %s (%v) does not tell of %s:\n%s", name, err, says, out)
			}
		}
	}
}

// tells wants a pod's last result or the reason it is left out, with a sentence.
func tells(targets []f.Target, pod, leftOut, result, says string) error {
	for _, target := range targets {
		if target.Pod != pod {
			continue
		}
		if leftOut != "" {
			if target.LeftOutReason == leftOut && len(target.Message) > 20 && strings.Contains(target.Message, says) {
				return nil
			}
			return fmt.Errorf("%s: left out %q: %q %+v", pod, target.LeftOutReason, target.Message, target.Profiles)
		}
		for _, p := range target.Profiles {
			if p.LastResult == result && strings.Contains(p.Message, says) && (result == "Succeeded" || len(p.Message) > 20) {
				return nil
			}
			return fmt.Errorf("%s: %q: %q", pod, p.LastResult, p.Message)
		}
		return fmt.Errorf("%s: %+v", pod, target)
	}
	return fmt.Errorf("%s is not among the targets", pod)
}

// reused: a pod goes while its CPU profile is taken, and another gets its address. What comes then is nobody's.
func reused(t *testing.T, w *world, ns string) {
	ip := podIP(960)
	held := make(chan struct{})
	w.server.Lock()
	w.server.hold[ip] = held
	w.server.Unlock()
	f.Apply(t, ns, `{apiVersion: kube-pprof.dev/v1alpha1, kind: ProfilingPolicy, metadata: {name: reused}, spec: {selector: {matchLabels: {app: before}},
 profiles: [{type: cpu, interval: 12s, duration: 3s}], budget: {overheadPercent: 5}}}`)
	if err := w.post(&pod{ns: ns, name: "before", app: "before", ip: ip, node: "far-55"}); err != nil {
		t.Fatal(err)
	}
	f.Within(t, 60*time.Second, "its CPU profile is being taken", func() error {
		for _, request := range w.server.of(ip) {
			if strings.Contains(request, "seconds=3") {
				return nil
			}
		}
		return fmt.Errorf("%q came", w.server.of(ip))
	})
	if err := w.do("DELETE", "/api/v1/namespaces/"+ns+"/pods/before", "application/json", object{"gracePeriodSeconds": 0}); err != nil {
		t.Fatal(err)
	}
	if err := w.post(&pod{ns: ns, name: "after", app: "after", ip: ip, node: "far-56"}); err != nil {
		t.Fatal(err)
	}
	close(held)
	f.Within(t, 60*time.Second, "its successor is captured", func() error { return f.Some("namespace="+ns+"&selector=k8s.pod%3Dafter", nil) })
	profiles, err := f.List("namespace=" + ns + "&type=cpu")
	if err != nil || len(profiles) != 0 {
		t.Errorf("%d CPU profiles were kept, %v", len(profiles), err)
	}
	if page := f.Metrics(t, "controller"); !strings.Contains(page, `kube_pprof_captures_total{result="PodGone",type="cpu"}`) {
		t.Error("no capture is counted as PodGone")
	}
}
