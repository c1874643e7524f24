package charttest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"kube-pprof.dev/e2e/framework"
	"sigs.k8s.io/yaml"
)

// end is a pod, or an address that belongs to none.
type end struct {
	namespace string // "" = no pod
	labels    labels.Set
	address   string
	ports     map[string]int32 // its named ports
}

// flow is a connection that is tried.
type flow struct {
	from, to string
	port     int32
	protocol corev1.Protocol
}

func (f flow) String() string {
	return fmt.Sprintf("%s to %s at %s port %d", f.from, f.to, f.protocol, f.port)
}

func tcp(from, to string, port int32) flow { return flow{from, to, port, corev1.ProtocolTCP} }
func udp(from, to string, port int32) flow { return flow{from, to, port, corev1.ProtocolUDP} }

// typed is a part of a manifest as Kubernetes reads it.
func typed[T any](t *testing.T, from any) (to T) {
	t.Helper()
	data, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(data, &to)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func networkPolicies(t *testing.T, all []manifest) (found []networkingv1.NetworkPolicy) {
	for _, o := range of(all, "NetworkPolicy") {
		found = append(found, typed[networkingv1.NetworkPolicy](t, o))
	}
	return found
}

// ends are the pods of the chart, and who has to do with them.
func ends(t *testing.T, all []manifest) map[string]end {
	found := map[string]end{
		"API server":    {address: "192.0.2.10"},
		"kubelet":       {address: "192.0.2.11"},
		"metadata":      {address: "169.254.169.254"},
		"internet":      {address: "203.0.113.1"},
		"elsewhere":     {address: "198.51.100.7"},
		"DNS of a node": {address: "169.254.20.10"}, // NodeLocal DNSCache
		"DNS":           {namespace: "kube-system", labels: labels.Set{"k8s-app": "kube-dns"}, address: "10.244.0.2"},
		"Prometheus":    {namespace: "monitoring", labels: labels.Set{"app": "prometheus"}, address: "10.244.0.3"},
		"checkout":      {namespace: "shop", labels: labels.Set{"app": "checkout"}, address: "10.244.0.4"},
		"other program": {namespace: "other", labels: labels.Set{"app": "checkout"}, address: "10.244.0.5"},
		"neighbour":     {namespace: "prof", labels: labels.Set{"app": "checkout"}, address: "10.244.0.6"},
	}
	for _, o := range all {
		template := o.pod()
		if template == nil {
			continue
		}
		pod := typed[corev1.PodTemplateSpec](t, template)
		e := end{namespace: "prof", labels: pod.Labels, address: fmt.Sprintf("10.244.1.%d", len(found)), ports: map[string]int32{}}
		for _, c := range pod.Spec.Containers {
			for _, p := range c.Ports {
				e.ports[p.Name] = p.ContainerPort
			}
		}
		switch name := o.name(); {
		case name == "kube-pprof-controller":
			found["controller"] = e
		case name == "kube-pprof-registry":
			found["registry"] = e
		case o.hook() == "test":
			found["helm test"] = e
		default:
			found["hook"] = e
		}
	}
	return found
}

func selects(t *testing.T, s *metav1.LabelSelector, set labels.Set) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(set)
}

// isPeer: no peers at all are everybody; an empty one is refused by the API server.
func isPeer(t *testing.T, own string, peers []networkingv1.NetworkPolicyPeer, e end) bool {
	t.Helper()
	for _, p := range peers {
		if p.IPBlock != nil {
			block := netip.MustParsePrefix(p.IPBlock.CIDR)
			inside := block.Contains(netip.MustParseAddr(e.address))
			for _, except := range p.IPBlock.Except {
				inside = inside && !netip.MustParsePrefix(except).Contains(netip.MustParseAddr(e.address))
			}
			if inside {
				return true
			}
			continue
		}
		if p.PodSelector == nil && p.NamespaceSelector == nil {
			t.Errorf("%v is no peer", p)
		}
		namespace := e.namespace == own
		if p.NamespaceSelector != nil {
			namespace = e.namespace != "" && selects(t, p.NamespaceSelector, labels.Set{corev1.LabelMetadataName: e.namespace})
		}
		if namespace && (p.PodSelector == nil || selects(t, p.PodSelector, e.labels)) {
			return true
		}
	}
	return len(peers) == 0
}

func isPort(ports []networkingv1.NetworkPolicyPort, to end, f flow) bool {
	for _, p := range ports {
		protocol := corev1.ProtocolTCP
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		number := f.port
		if p.Port != nil && p.Port.StrVal != "" {
			number = to.ports[p.Port.StrVal] // 0, if it has none of that name
		} else if p.Port != nil {
			number = p.Port.IntVal
		}
		if protocol == f.protocol && (number == f.port || p.EndPort != nil && f.port >= number && f.port <= *p.EndPort) {
			return true
		}
	}
	return len(ports) == 0
}

// allowed decides as Kubernetes says an enforcer has to: who is selected may do what some rule allows, others everything.
func allowed(t *testing.T, policies []networkingv1.NetworkPolicy, all map[string]end, f flow) bool {
	t.Helper()
	from, ok := all[f.from]
	to, ok2 := all[f.to]
	if !ok || !ok2 {
		t.Fatalf("%s: there is no such pod", f)
	}
	out, in, isolatedOut, isolatedIn := false, false, false, false
	for _, np := range policies {
		for _, kind := range np.Spec.PolicyTypes {
			if kind == networkingv1.PolicyTypeEgress && np.Namespace == from.namespace && selects(t, &np.Spec.PodSelector, from.labels) {
				isolatedOut = true
				for _, rule := range np.Spec.Egress {
					out = out || isPeer(t, np.Namespace, rule.To, to) && isPort(rule.Ports, to, f)
				}
			}
			if kind == networkingv1.PolicyTypeIngress && np.Namespace == to.namespace && selects(t, &np.Spec.PodSelector, to.labels) {
				isolatedIn = true
				for _, rule := range np.Spec.Ingress {
					in = in || isPeer(t, np.Namespace, rule.From, from) && isPort(rule.Ports, to, f)
				}
			}
		}
	}
	return (out || !isolatedOut) && (in || !isolatedIn)
}

// What the product needs to go on is allowed, and what it does not need is not, as one decides who enforces the rules (the cluster of the
// tests has nobody who does).
func TestFlowsThroughNetworkPolicies(t *testing.T) {
	always := []flow{
		tcp("controller", "API server", 6443), udp("controller", "DNS", 53), tcp("controller", "DNS", 53), tcp("controller", "checkout", 6060),
		udp("controller", "DNS of a node", 53), udp("registry", "DNS of a node", 53), tcp("registry", "API server", 6443), udp("registry", "DNS", 53), tcp("API server", "registry", 10100), tcp("Prometheus", "controller", 8080),
		tcp("Prometheus", "registry", 8080), tcp("checkout", "registry", 10100),
		tcp("hook", "API server", 6443), udp("hook", "DNS", 53), tcp("helm test", "controller", 8080), udp("helm test", "DNS", 53),
		tcp("helm test", "registry", 8080), tcp("helm test", "registry", 10100),
	}
	never := []flow{
		tcp("registry", "checkout", 6060), tcp("registry", "neighbour", 6060), tcp("registry", "controller", 8080), tcp("registry", "metadata", 80),
		tcp("registry", "kubelet", 10250), tcp("registry", "internet", 80), tcp("controller", "metadata", 80), tcp("controller", "kubelet", 10250), tcp("controller", "internet", 80),
		tcp("hook", "checkout", 6060), tcp("hook", "metadata", 80), tcp("checkout", "hook", 8080), tcp("neighbour", "helm test", 8080),
		tcp("checkout", "registry", 6060), tcp("Prometheus", "controller", 10100), udp("checkout", "registry", 10100),
	}
	for _, c := range []struct {
		name        string
		set         []string
		may, mayNot []flow
		without     map[flow]bool // of always
		spare       string        // a rule that another one holds, with these values
	}{
		{name: "as it is", spare: "egress rule 3 of kube-pprof-controller", may: []flow{tcp("controller", "registry", 10100), tcp("controller", "other program", 9999), tcp("controller", "API server", 443), tcp("other program", "controller", 8080)}},
		{name: "who and where said", spare: "egress rule 3 of kube-pprof-controller",
			set: []string{"networkPolicy.apiServer.cidrs={192.0.2.10/32}", "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=monitoring",
				"networkPolicy.clientsFrom[0].ipBlock.cidr=192.0.2.10/32", "networkPolicy.clientsFrom[1].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=shop"},
			may: []flow{tcp("controller", "registry", 10100)},
			mayNot: []flow{tcp("controller", "internet", 443), tcp("registry", "internet", 443), tcp("hook", "internet", 6443), tcp("other program", "registry", 10100),
				tcp("other program", "registry", 8080), tcp("checkout", "controller", 8080), tcp("neighbour", "registry", 10100), tcp("kubelet", "registry", 10100)}},
		{name: "some namespaces", spare: "egress rule 0 of kube-pprof-hook", set: []string{"watchNamespaces={shop}"}, may: []flow{tcp("controller", "registry", 10100)},
			mayNot:  []flow{tcp("controller", "other program", 6060), tcp("controller", "neighbour", 6060)},
			without: map[flow]bool{tcp("hook", "API server", 6443): true, udp("hook", "DNS", 53): true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := parse(t, rendered(t, append([]string{"networkPolicy.enabled=true"}, c.set...)...))
			policies, who := networkPolicies(t, all), ends(t, all)
			if _, ok := who["hook"]; !ok { // the jobs are of the APIService
				who["hook"] = who["helm test"]
			}
			may := append([]flow(nil), c.may...)
			for _, f := range always {
				if !c.without[f] {
					may = append(may, f)
				}
			}
			for _, f := range may {
				if !allowed(t, policies, who, f) {
					t.Errorf("%s is refused", f)
				}
			}
			for _, f := range append(c.mayNot, never...) {
				if allowed(t, policies, who, f) {
					t.Errorf("%s is allowed", f)
				}
			}
			everyRuleIsNeeded(t, policies, who, may, c.spare)
		})
	}
}

func TestFlowsToARegistryElsewhere(t *testing.T) {
	all := parse(t, rendered(t, "networkPolicy.enabled=true", "registry.enabled=false", "controller.registryURL=https://198.51.100.7:10100",
		"networkPolicy.controllerEgress[0].to[0].ipBlock.cidr=198.51.100.7/32", "networkPolicy.controllerEgress[0].ports[0].port=10100"))
	policies, who := networkPolicies(t, all), ends(t, all)
	if !allowed(t, policies, who, tcp("controller", "elsewhere", 10100)) {
		t.Error("the registry elsewhere is not reached")
	}
	for _, f := range []flow{tcp("controller", "elsewhere", 22), tcp("controller", "internet", 10100)} {
		if allowed(t, policies, who, f) {
			t.Errorf("%s is allowed", f)
		}
	}
}

// everyRuleIsNeeded: without any one of the rules something that is needed is refused.
func everyRuleIsNeeded(t *testing.T, policies []networkingv1.NetworkPolicy, who map[string]end, may []flow, spare string) {
	t.Helper()
	without := func(what string) {
		for _, f := range may {
			if !allowed(t, policies, who, f) {
				return
			}
		}
		if what != spare {
			t.Errorf("nothing needs %s", what)
		}
	}
	for i := range policies {
		spec := &policies[i].Spec
		for r, all := range spec.Egress {
			spec.Egress = append(append([]networkingv1.NetworkPolicyEgressRule(nil), spec.Egress[:r]...), spec.Egress[r+1:]...)
			without(fmt.Sprintf("egress rule %d of %s", r, policies[i].Name))
			spec.Egress = append(append(append([]networkingv1.NetworkPolicyEgressRule(nil), spec.Egress[:r]...), all), spec.Egress[r:]...)
		}
		for r, all := range spec.Ingress {
			spec.Ingress = append(append([]networkingv1.NetworkPolicyIngressRule(nil), spec.Ingress[:r]...), spec.Ingress[r+1:]...)
			without(fmt.Sprintf("ingress rule %d of %s", r, policies[i].Name))
			spec.Ingress = append(append(append([]networkingv1.NetworkPolicyIngressRule(nil), spec.Ingress[:r]...), all), spec.Ingress[r:]...)
		}
	}
}

// What docs/operations.md tells the owner of a namespace that is closed to others lets the controller in, and nobody else.
func TestTheRecipeForAClosedNamespace(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(framework.Root(), "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, recipe, found := strings.Cut(string(data), "kubectl apply -n shop -f - <<EOF\n    apiVersion: networking.k8s.io/v1\n")
	recipe, _, ended := strings.Cut(recipe, "    EOF\n")
	if !found || !ended {
		t.Fatal("there is no recipe")
	}
	var object map[string]any
	text := "    apiVersion: networking.k8s.io/v1\n" + strings.ReplaceAll(recipe, "kubernetes.io/metadata.name: kube-pprof}", "kubernetes.io/metadata.name: prof}")
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(text, "\n    ", "\n")[4:]), &object); err != nil {
		t.Fatal(err)
	}
	opened := typed[networkingv1.NetworkPolicy](t, object)
	closed := networkingv1.NetworkPolicy{Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}}}
	opened.Namespace, closed.Namespace = "shop", "shop"
	all := parse(t, rendered(t, "networkPolicy.enabled=true"))
	who := ends(t, all)
	other := who["checkout"]
	other.ports = map[string]int32{"pprof": 7070}
	who["named"] = other
	policies := append(networkPolicies(t, all), closed)
	for _, f := range []flow{tcp("controller", "checkout", 6060), tcp("controller", "named", 7070)} {
		if allowed(t, policies, who, f) || !allowed(t, append(policies, opened), who, f) {
			t.Errorf("%s: want it refused while closed, and allowed with the recipe", f)
		}
	}
	for _, f := range []flow{tcp("controller", "checkout", 8080), tcp("controller", "checkout", 7070), tcp("registry", "checkout", 6060), tcp("Prometheus", "checkout", 6060),
		tcp("neighbour", "checkout", 6060), tcp("other program", "named", 7070), tcp("kubelet", "checkout", 6060)} {
		if allowed(t, append(policies, opened), who, f) {
			t.Errorf("%s is allowed", f)
		}
	}
}
