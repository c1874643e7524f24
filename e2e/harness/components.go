package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

func (c *Cluster) ip(ctx context.Context, b *box, args ...string) error {
	_, err := output(ctx, b.enterNet(append([]string{"ip"}, args...)...))
	return err
}

func (c *Cluster) startControlPlaneBox(ctx context.Context) (err error) {
	name := c.Name + "-0"
	if c.cp, err = startBox(name, filepath.Join(c.Dir, name), c.Tools.Pause, false); err != nil {
		return err
	}
	steps := [][]string{
		{"link", "add", "br0", "type", "bridge"}, {"addr", "add", controlPlaneIP + "/24", "dev", "br0"}, {"link", "set", "br0", "up"},
		// the API server's service address is simply local here: it works without kube-proxy
		{"addr", "add", serviceIP + "/32", "dev", "lo"},
	}
	if c.ipv6 {
		steps = append(steps, []string{"addr", "add", controlPlaneIP6 + "/64", "dev", "br0", "nodad"})
	}
	for _, args := range steps {
		if err := c.ip(ctx, c.cp, args...); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startNodeBox(ctx context.Context, name string, n int) error {
	b, err := startBox(name, filepath.Join(c.Dir, name), c.Tools.Pause, true)
	if err != nil {
		return err
	}
	c.nodes = append(c.nodes, b)
	outer := fmt.Sprintf("node%d", n)
	type step struct {
		b    *box
		args []string
	}
	steps := []step{
		{b, []string{"link", "add", "eth0", "type", "veth", "peer", "name", outer, "netns", strconv.Itoa(c.cp.pid)}},
		{c.cp, []string{"link", "set", outer, "master", "br0", "up"}},
		{b, []string{"addr", "add", nodeIP(n) + "/24", "dev", "eth0"}},
		{b, []string{"link", "set", "eth0", "up"}},
		{b, []string{"route", "add", "default", "via", controlPlaneIP}},
		{c.cp, []string{"route", "add", fmt.Sprintf("10.244.%d.0/24", n), "via", nodeIP(n)}}, // pods of all nodes reach each other
	}
	if n == 1 { // API server -> services (webhooks, aggregated APIs, proxy): a node translates
		steps = append(steps, step{c.cp, []string{"route", "add", serviceCIDR, "via", nodeIP(n)}})
	}
	if c.ipv6 {
		steps = append(steps, step{b, []string{"addr", "add", nodeIP6(n) + "/64", "dev", "eth0", "nodad"}},
			step{b, []string{"route", "add", "default", "via", controlPlaneIP6}},
			step{c.cp, []string{"route", "add", nodePods6(n), "via", nodeIP6(n)}})
	}
	for _, s := range steps {
		if err := c.ip(ctx, s.b, s.args...); err != nil {
			return err
		}
	}
	if err := c.nodeFiles(b, n); err != nil {
		return err
	}
	return b.daemon(ctx, "containerd", "env", "PATH="+c.Tools.ContainerdBin()+":"+os.Getenv("PATH"),
		filepath.Join(c.Tools.ContainerdBin(), "containerd"), "-c", filepath.Join(b.dir, "containerd.toml"))
}

// nodeFiles writes the configuration of CNI, containerd, kubelet and kube-proxy.
func (c *Cluster) nodeFiles(b *box, n int) error {
	for _, dir := range []string{"cni", "static"} {
		if err := os.MkdirAll(filepath.Join(b.dir, dir), 0o755); err != nil {
			return err
		}
	}
	deb, pki := c.Tools.Debian, filepath.Join(c.Dir, "pki")
	pods, proxied := fmt.Sprintf(`[{"subnet":"10.244.%d.0/24"}]`, n), podCIDR
	routes := `{"dst":"0.0.0.0/0"}`
	if c.ipv6 {
		pods += fmt.Sprintf(`,[{"subnet":"%s"}]`, nodePods6(n))
		routes, proxied = routes+`,{"dst":"::/0"}`, podCIDR+","+podCIDR6
	}
	files := map[string]string{
		"cni/10-pods.conflist": fmt.Sprintf(`{"cniVersion":"0.4.0","name":"pods","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,
"ipMasq":false,"hairpinMode":true,"ipam":{"type":"host-local","ranges":[%s],"routes":[%s]}}]}
`, pods, routes),
		"containerd.toml": fmt.Sprintf(`version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"      # else it makes /opt/containerd
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%s"
  restrict_oom_score_adj = true         # a lower oom_score_adj cannot be set everywhere
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%s/usr/lib/cni"
    conf_dir = "%s/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "%s/usr/bin/runc"
      SystemdCgroup = false
`, PauseImage, deb, b.dir, deb),
		"resolv.conf": "options ndots:1\n",
		"kubelet.yaml": fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %[1]s/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: %[1]s/serve-%[2]s.crt
tlsPrivateKeyFile: %[1]s/serve-%[2]s.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
failCgroupV1: false                      # 1.35 and later refuse cgroup v1 by default
cgroupDriver: cgroupfs
cgroupRoot: /%[2]s
enforceNodeAllocatable: []
failSwapOn: false
oomScoreAdj: 0
readOnlyPort: 0
volumePluginDir: /var/lib/kubelet/flex   # else it makes /usr/libexec/kubernetes
clusterDNS: [%[3]s]
clusterDomain: cluster.local
resolvConf: %[4]s/resolv.conf
staticPodPath: %[4]s/static
maxPods: 250
imageGCHighThresholdPercent: 100         # images cannot be pulled again: never remove them
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: "0%%", nodefs.available: "0%%", nodefs.inodesFree: "0%%", imagefs.available: "0%%", imagefs.inodesFree: "0%%"}
`, pki, b.name, controlPlaneIP, b.dir),
		"proxy.yaml": fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: %s/proxy.kubeconfig}
mode: nftables
clusterCIDR: %s
hostnameOverride: %s
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}   # settings of the machine: leave alone
`, pki, proxied, b.name),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startAPI(ctx context.Context) error {
	services := serviceCIDR
	if c.ipv6 {
		services += "," + serviceCIDR6
	}
	k8s, pki, cp := c.Tools.K8s, filepath.Join(c.Dir, "pki")+"/", c.cp
	if err := cp.daemon(ctx, "etcd", k8s+"/etcd", "--data-dir="+cp.dir+"/etcd", "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379", "--listen-peer-urls=http://127.0.0.1:2380",
		"--initial-advertise-peer-urls=http://127.0.0.1:2380", "--initial-cluster=default=http://127.0.0.1:2380"); err != nil {
		return err
	}
	return cp.daemon(ctx, "apiserver", k8s+"/kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--bind-address=0.0.0.0", "--secure-port=443",
		"--advertise-address="+controlPlaneIP, "--service-cluster-ip-range="+services, "--tls-cert-file="+pki+"apiserver.crt",
		"--tls-private-key-file="+pki+"apiserver.key", "--client-ca-file="+pki+"ca.crt", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+pki+"sa.pub", "--service-account-signing-key-file="+pki+"sa.key",
		// without the front proxy the controller-manager logs errors for ever
		"--requestheader-client-ca-file="+pki+"front.crt", "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--proxy-client-cert-file="+pki+"front-proxy.crt",
		"--proxy-client-key-file="+pki+"front-proxy.key", "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true", "--profiling=true", "--enable-aggregator-routing=true",
		"--kubelet-client-certificate="+pki+"kubelet-client.crt", "--kubelet-client-key="+pki+"kubelet-client.key",
		"--kubelet-certificate-authority="+pki+"ca.crt", "--kubelet-preferred-address-types=InternalIP")
}

func (c *Cluster) waitContainerd(ctx context.Context) error {
	for _, n := range c.nodes {
		if err := wait(ctx, 30*time.Second, "containerd on "+n.name, func() error {
			_, err := n.run(ctx, "test", "-S", "/run/containerd/containerd.sock")
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startRest(ctx context.Context) error {
	k8s, pki, cp := c.Tools.K8s, filepath.Join(c.Dir, "pki")+"/", c.cp
	auth := func(name string) []string {
		conf := pki + name + ".kubeconfig"
		return []string{"--kubeconfig=" + conf, "--authentication-kubeconfig=" + conf, "--authorization-kubeconfig=" + conf,
			"--client-ca-file=" + pki + "ca.crt", "--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=true"}
	}
	corefile := fmt.Sprintf(". {\n bind %s\n errors\n kubernetes cluster.local in-addr.arpa {\n  kubeconfig %sdns.kubeconfig\n }\n}\n", controlPlaneIP, pki)
	if err := os.WriteFile(filepath.Join(cp.dir, "Corefile"), []byte(corefile), 0o644); err != nil {
		return err
	}
	err := errors.Join(
		cp.daemon(ctx, "kcm", append([]string{k8s + "/kube-controller-manager", "--root-ca-file=" + pki + "ca.crt",
			"--service-account-private-key-file=" + pki + "sa.key", "--use-service-account-credentials=true",
			// else the default ServiceAccount comes 5 s later
			"--kube-api-qps=1000", "--kube-api-burst=1000", "--flex-volume-plugin-dir=" + cp.dir + "/flex",
			"--cluster-signing-cert-file=" + pki + "signer.crt", "--cluster-signing-key-file=" + pki + "ca.key"}, auth("kcm")...)...),
		cp.daemon(ctx, "scheduler", append([]string{k8s + "/kube-scheduler"}, auth("scheduler")...)...),
		cp.daemon(ctx, "coredns", c.Tools.CoreDNS, "-conf", filepath.Join(cp.dir, "Corefile")))
	for i, n := range c.nodes {
		ip := nodeIP(i + 1)
		if c.ipv6 && i == 0 {
			ip += "," + nodeIP6(i+1)
		} else if c.ipv6 {
			ip = nodeIP6(i+1) + "," + ip
		}
		err = errors.Join(err,
			n.daemon(ctx, "kubelet", k8s+"/kubelet", "--config="+n.dir+"/kubelet.yaml", "--kubeconfig="+pki+n.name+".kubeconfig",
				"--hostname-override="+n.name, "--node-ip="+ip),
			n.daemon(ctx, "proxy", "env", "LD_LIBRARY_PATH="+c.Tools.Debian+"/usr/lib/"+multiarch(),
				"PATH="+c.Tools.Debian+"/usr/sbin:"+os.Getenv("PATH"), k8s+"/kube-proxy", "--config="+n.dir+"/proxy.yaml"))
	}
	return err
}

// multiarch is Debian's name of this machine's libraries folder.
func multiarch() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64-linux-gnu"
	}
	return "x86_64-linux-gnu"
}
