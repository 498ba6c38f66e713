# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster of a given size: as manifests for kproxy, and as a ruleset of the shape that kube-proxy's
nftables mode makes (chain per Service and per endpoint, verdict maps from frontends to chains).

Every Service has one TCP port, and every fifth also a node port.  All endpoints have addresses of
their own.  With all features each Service has a node port, a load balancer IP and an external IP, source
ranges and session affinity; two of its endpoints are on this node, and half of the Services have policy
Local inside, half outside."""
import hashlib
import ipaddress
import json
from typing import NamedTuple

N_ENDPOINTS = 5
PODS = "10.128.0.0/9"
FIRST_POD = int(ipaddress.ip_address("10.180.0.1"))
FIRST_CLUSTER_IP = int(ipaddress.ip_address("172.16.0.1"))
FIRST_EXTERNAL_IP = int(ipaddress.ip_address("172.24.0.1"))
FIRST_VIP = int(ipaddress.ip_address("172.28.0.1"))
TIMEOUTS_S = [600, 3600, 10800]
PORT, TARGET_PORT = 80, 8080


def cluster_ip(n):
    return str(ipaddress.ip_address(FIRST_CLUSTER_IP + n))


def endpoints(n):
    return [str(ipaddress.ip_address(FIRST_POD + N_ENDPOINTS * n + i)) for i in range(N_ENDPOINTS)]


def node_port(n):
    """None for most Services."""
    return 10000 + n // 5 if n % 5 == 0 else None


def service_objects(n):
    port = {"name": "http", "protocol": "TCP", "port": PORT, "targetPort": TARGET_PORT}
    if node_port(n):
        port["nodePort"] = node_port(n)
    name, ip = f"service-{n}", cluster_ip(n)
    return [{"apiVersion": "v1", "kind": "Service",
             "metadata": {"name": name, "namespace": "bench"},
             "spec": {"type": "NodePort" if node_port(n) else "ClusterIP", "clusterIP": ip,
                      "clusterIPs": [ip], "ipFamilies": ["IPv4"], "ports": [port]}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {"name": f"{name}-abcde", "namespace": "bench",
                          "labels": {"kubernetes.io/service-name": name}},
             "ports": [{"name": "http", "protocol": "TCP", "port": TARGET_PORT}],
             "endpoints": [{"addresses": [a], "nodeName": "node2", "conditions":
                            {"ready": True, "serving": True, "terminating": False}}
                           for a in endpoints(n)]}]


def all_features(n):
    """The same Service with everything that it can have."""
    service, endpointslice = service_objects(n)
    policies = ["Cluster", "Local"]
    service["spec"].update({
        "type": "LoadBalancer", "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": TIMEOUTS_S[n % 3]}},
        "internalTrafficPolicy": policies[n % 2], "externalTrafficPolicy": policies[n // 2 % 2],
        "externalIPs": [str(ipaddress.ip_address(FIRST_EXTERNAL_IP + n))],
        "healthCheckNodePort": 9999, "loadBalancerSourceRanges": ["10.0.0.0/8", "192.0.2.0/24"]})
    service["spec"]["ports"][0]["nodePort"] = 10000 + n
    service["status"] = {"loadBalancer": {
        "ingress": [{"ip": str(ipaddress.ip_address(FIRST_VIP + n))}]}}
    for endpoint in endpointslice["endpoints"][:2]:
        endpoint["nodeName"] = "node1"
    return [service, endpointslice]


def one_service(name, ip, addresses, **spec):
    """A Service apart from the numbered ones."""
    service, endpointslice = service_objects(1)
    service["metadata"]["name"] = name
    service["spec"].update({"clusterIP": ip, "clusterIPs": [ip], **spec})
    endpointslice["metadata"].update({"name": f"{name}-abcde",
                                      "labels": {"kubernetes.io/service-name": name}})
    endpointslice["endpoints"] = [{"addresses": [a], "conditions": {"ready": True}}
                                  for a in addresses]
    return [service, endpointslice]


def write_manifests(path, n_services, objects=service_objects):
    """One file, as `kubectl get -o json` prints it."""
    write_objects(path, [o for n in range(n_services) for o in objects(n)])


def write_objects(path, items):
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"apiVersion": "v1", "kind": "List", "items": items}, f, indent=4)


# kube-proxy's shape from here on.

BASE = """
table ip kube-proxy {
	map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
	map service-nodeports { type inet_proto . inet_service : verdict; }
	map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
	map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }
	set cluster-ips { type ipv4_addr; }
	chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
	chain masquerading {
		meta mark and 0x4000 == 0 return
		meta mark set meta mark xor 0x4000
		masquerade fully-random
	}
	chain services {
		ip daddr . meta l4proto . th dport vmap @service-ips
		fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-nodeports
	}
	chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
	chain nodeport-endpoints-check {
		fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @no-endpoint-nodeports
	}
	chain cluster-ips-check { ip daddr @cluster-ips reject; }
	chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
	chain nat-output { type nat hook output priority -100; jump services; }
	chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
	chain filter-input {
		type filter hook input priority filter
		ct state new jump nodeport-endpoints-check
		ct state new jump service-endpoints-check
	}
	chain filter-forward {
		type filter hook forward priority filter
		ct state new jump service-endpoints-check
		ct state new jump cluster-ips-check
	}
	chain filter-output {
		type filter hook output priority filter
		ct state new jump service-endpoints-check
		ct state new jump cluster-ips-check
	}
}
"""


class ServicePort(NamedTuple):
    """What kube-proxy makes chains for."""
    name: str  # "namespace/service/protocol/port"
    ip: str
    proto: str
    port: int
    addresses: list
    target_port: int
    node_port: int = None


def service_port(n):
    return ServicePort(f"bench/service-{n}/tcp/http", cluster_ip(n), "tcp", PORT, endpoints(n),
                       TARGET_PORT, node_port(n))


def chain_name(kind, text):
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:8].upper()}-{text}"


def endpoint_chain(p, address):
    return chain_name("endpoint", f"{p.name}__{address}/{p.target_port}")


def add_endpoint(p, address):
    chain = endpoint_chain(p, address)
    return [f"add chain ip kube-proxy {chain}",
            f"add rule ip kube-proxy {chain} ip saddr {address} jump mark-for-masquerade",
            f"add rule ip kube-proxy {chain} meta l4proto {p.proto} dnat to {address}:{p.target_port}"]


def service_rules(p, pods):
    chain = chain_name("service", p.name)
    choice = ", ".join(f"{i} : goto {endpoint_chain(p, a)}" for i, a in enumerate(p.addresses))
    return [f"add rule ip kube-proxy {chain} ip daddr {p.ip} {p.proto} dport {p.port} "
            f"ip saddr != {pods} jump mark-for-masquerade",
            f"add rule ip kube-proxy {chain} numgen random mod {len(p.addresses)} vmap {{ {choice} }}"]


def add_service(p, pods):
    chain = chain_name("service", p.name)
    lines = [line for a in p.addresses for line in add_endpoint(p, a)]
    lines += [f"add chain ip kube-proxy {chain}", *service_rules(p, pods),
              f"add element ip kube-proxy cluster-ips {{ {p.ip} }}",
              f"add element ip kube-proxy service-ips {{ {p.ip} . {p.proto} . {p.port} : goto {chain} }}"]
    if p.node_port:
        external = chain_name("external", p.name)
        lines += [f"add chain ip kube-proxy {external}",
                  f"add rule ip kube-proxy {external} jump mark-for-masquerade",
                  f"add rule ip kube-proxy {external} goto {chain}",
                  "add element ip kube-proxy service-nodeports "
                  f"{{ {p.proto} . {p.node_port} : goto {external} }}"]
    return lines


def kube_proxy_ruleset(service_ports, pods=PODS):
    return BASE + "\n".join(line for p in service_ports for line in add_service(p, pods)) + "\n"


def kube_proxy_shape(n_services):
    return kube_proxy_ruleset(service_port(n) for n in range(n_services))


def kube_proxy_change(n):
    """The last endpoint of a Service moves: a new chain, and new rules of the Service that name it.
    The old chain goes in a later transaction, which is not counted."""
    moved = endpoints(n)[-1].replace("10.", "11.", 1)
    p = service_port(n)._replace(addresses=endpoints(n)[:-1] + [moved])
    return "\n".join([*add_endpoint(p, moved),
                      f"flush chain ip kube-proxy {chain_name('service', p.name)}",
                      *service_rules(p, PODS)]) + "\n"
