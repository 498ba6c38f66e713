# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster node made of network namespaces: a node, pods on veth pairs, an outside client.

Everything has a random name and goes away with close(); nothing outside the namespaces is touched.
"""
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time

KPROXY = os.environ.get("KPROXY", os.path.abspath(
    os.path.join(os.path.dirname(__file__), "../../build/kproxy")))

SERVER = r"""
import socket, sys, threading
name = sys.argv[1].encode()
def tcp(sock):
    while True:
        conn, peer = sock.accept()
        own = name or conn.getsockname()[0].replace("::ffff:", "").encode()
        conn.sendall(own + b" " + peer[0].encode())
        conn.close()
def udp(sock):
    while True:
        _, peer = sock.recvfrom(2048)
        sock.sendto(name + b" " + peer[0].encode(), peer)
for port in map(int, sys.argv[2:]):
    for kind, serve in ((socket.SOCK_STREAM, tcp), (socket.SOCK_DGRAM, udp)):
        s = socket.socket(socket.AF_INET6, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            s.listen(1024)
        threading.Thread(target=serve, args=(s,)).start()
print("ready", flush=True)
"""

# A count of 0 goes on until SIGTERM.
CLIENT = r"""
import itertools, json, signal, socket, sys, time
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
address, port, proto, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
answers, errors, slowest = {}, {}, 0
for i in itertools.count():
    if stop or i == count > 0:
        break
    start = time.monotonic()
    try:
        s = socket.socket(family, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
        s.settimeout(1.5)
        s.connect((address, port))
        if proto == "udp":
            s.send(b"?")
        answer = s.recv(200).decode().replace("::ffff:", "")
        answers[answer] = answers.get(answer, 0) + 1
    except OSError as e:
        name = type(e).__name__
        errors[name] = errors.get(name, 0) + 1
    finally:
        s.close()
    slowest = max(slowest, time.monotonic() - start)
print(json.dumps({"answers": answers, "errors": errors, "slowest": slowest}))
"""


# Reads [address, port, protocol, seconds, source or null] from its standard input and asks all at the
# same time; prints an answer or the name of an error for each.
ASKER = r"""
import concurrent.futures, json, socket, sys
def ask(case):
    address, port, proto, seconds, source = case
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as s:
        s.settimeout(seconds)
        try:
            if source:
                s.bind((source, 0))
            s.connect((address, port))
            if proto == "udp":
                s.send(b"?")
            return s.recv(200).decode().replace("::ffff:", "")
        except OSError as e:
            return type(e).__name__
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    print(json.dumps(list(pool.map(ask, json.load(sys.stdin)))))
"""

# Sends one datagram from each of the sources to an address and port.
SENDER = r"""
import json, socket, sys
address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
for source, source_port in json.load(sys.stdin):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.bind((source, source_port))
        s.sendto(b"?", (address, port))
"""

# Counts datagrams to each of its addresses; tells and forgets them for each line it reads.
SINK = r"""
import json, socket, sys
port, sockets = int(sys.argv[1]), {}
for ip in sys.argv[2:]:
    s = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
    s.setblocking(False)
    s.bind((ip, port))
    sockets[ip] = s
def count(s):
    n = 0
    try:
        while True:
            s.recv(16)
            n += 1
    except BlockingIOError:
        return n
print("ready", flush=True)
for _ in sys.stdin:
    print(json.dumps({ip: count(s) for ip, s in sockets.items()}), flush=True)
"""

# Sends back what it gets, on each connection.
ECHO = r"""
import socket, sys, threading
def echo(conn):
    while data := conn.recv(9):
        conn.sendall(data)
s = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    threading.Thread(target=echo, args=(s.accept()[0],)).start()
"""

# One connection; sends and receives something for each line it reads.
FLOW = r"""
import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
for line in sys.stdin:
    c.sendall(b"?")
    print(c.recv(9).decode(), flush=True)
"""

HTTP = r"""
import json, sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=5)
except urllib.error.HTTPError as e:
    answer = e
except OSError as e:
    print(json.dumps([0, {}, str(e)]))
    sys.exit()
print(json.dumps([answer.status, dict(answer.headers), answer.read().decode()]))
"""


# The tracker's maximum is the whole machine's: namespaces can only read it.
LEAVE_MAX = ["--conntrack-max-per-core=0"]


def run(*argv, check=True, **kwargs):
    return subprocess.run([str(a) for a in argv], check=check, text=True, capture_output=True,
                          **kwargs)


def wait_for(what, condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"timeout: {what}"
        time.sleep(0.01)


class Answers:
    def __init__(self, text):
        data = json.loads(text)
        self.raw, self.errors, self.slowest = data["answers"], data["errors"], data["slowest"]
        self.servers, self.peers = {}, set()
        for answer, count in self.raw.items():
            server, peer = answer.split()
            self.servers[server] = self.servers.get(server, 0) + count
            self.peers.add(peer)


class Sink:
    """Endpoints that count datagrams."""

    def __init__(self, host, port, ips):
        self.process = host.popen(sys.executable, "-c", SINK, port, *ips, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "ready\n"

    def counts(self):
        """How many have come to each address since the last time."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


class Flow:
    """A connection that lasts."""

    def __init__(self, host, address, port):
        self.process = host.popen(sys.executable, "-c", FLOW, address, port,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.lives()

    def lives(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline() == "?\n"

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Load:
    def __init__(self, clients):
        self.clients = clients

    def stop(self):
        for client in self.clients:
            client.terminate()
        return [Answers(client.communicate()[0]) for client in self.clients]


class Hooks:
    """A cgroup and a bpf file system of this test's own, for the socket hooks."""

    COUNTERS = ("connected", "refused", "sent", "received", "named", "bound")

    def __init__(self, name):
        self.root = tempfile.mkdtemp(prefix="kproxy-bpf-")
        self.cgroup2 = os.path.join(self.root, "cgroup2")
        self.bpf = os.path.join(self.root, "bpf")
        os.mkdir(self.cgroup2)
        os.mkdir(self.bpf)
        run("mount", "-t", "cgroup2", "none", self.cgroup2)
        self.cgroup = os.path.join(self.cgroup2, name)
        os.mkdir(self.cgroup)
        self.argv = [f"--cgroup-root={self.cgroup}", f"--bpf-root={self.bpf}"]

    def join(self):
        """In the child: sockets it opens from now on are hooked."""
        with open(os.path.join(self.cgroup, "cgroup.procs"), "w", encoding="ascii") as f:
            f.write("0")

    def pins(self):
        return sorted(os.listdir(os.path.join(self.bpf, "kproxy")))

    def counters(self):
        path = os.path.join(self.bpf, "kproxy", "counters")
        if not os.path.exists(path):
            return dict.fromkeys(self.COUNTERS, 0)
        dump = json.loads(run("bpftool", "-j", "map", "dump", "pinned", path).stdout)
        sums = [sum(int("".join(b[2:] for b in reversed(cpu["value"])), 16)
                    for cpu in element["values"]) for element in dump]
        return dict(zip(self.COUNTERS, sums))

    def close(self):
        if os.path.ismount(self.bpf):
            run("umount", self.bpf)
        wait_for("the processes are gone", self.remove_cgroup)
        run("umount", self.cgroup2)
        for path in (self.bpf, self.cgroup2, self.root):
            os.rmdir(path)

    def remove_cgroup(self):
        try:
            os.rmdir(self.cgroup)
        except OSError:
            return False
        return True


class Host:
    """A network namespace; with hooks, its processes run in their cgroup."""

    def __init__(self, name, hooks=None):
        self.ns, self.processes, self.hooks = name, [], hooks
        run("ip", "netns", "add", name)
        self.run("ip", "link", "set", "lo", "up")

    # Not "ip netns exec", which mounts, and that fails in a chroot.
    def run(self, *argv, **kwargs):
        return run("nsenter", f"--net=/run/netns/{self.ns}", *argv,
                   preexec_fn=self.hooks.join if self.hooks else None, **kwargs)

    def popen(self, *argv, **kwargs):
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.ns}", *map(str, argv)], text=True,
            preexec_fn=self.hooks.join if self.hooks else None, **kwargs)
        self.processes.append(process)
        return process

    def serve(self, name, *ports):
        server = self.popen(sys.executable, "-c", SERVER, name, *ports, stdout=subprocess.PIPE)
        assert server.stdout.readline() == "ready\n"
        return server

    def serve_echo(self, port):
        server = self.popen(sys.executable, "-c", ECHO, port, stdout=subprocess.PIPE)
        assert server.stdout.readline() == "ready\n"
        return server

    def ask(self, address, port, proto="tcp", count=1):
        return Answers(self.run(sys.executable, "-c", CLIENT, address, port, proto, count).stdout)

    def ask_all(self, cases):
        """Cases are (address, port, protocol, seconds, source or None); returns for each the answer
        "server peer" or the name of an error."""
        return json.loads(self.run(sys.executable, "-c", ASKER, input=json.dumps(cases)).stdout)

    def send_each(self, address, port, sources):
        """One datagram from each of the sources, (address, port)."""
        self.run(sys.executable, "-c", SENDER, address, port, input=json.dumps(sources))

    def http(self, url):
        """Status (0 when nobody answers), headers and body."""
        return json.loads(self.run(sys.executable, "-c", HTTP, url).stdout)

    def load(self, address, port, proto="tcp", n_clients=8):
        """Clients that connect over and over until they are told to stop."""
        return Load([self.popen(sys.executable, "-c", CLIENT, address, port, proto, 0,
                                stdout=subprocess.PIPE) for _ in range(n_clients)])

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        wait_for(f"{self.ns} is gone", self.is_deleted)

    def is_deleted(self):
        run("ip", "netns", "del", self.ns, check=False)
        return not os.path.exists(f"/run/netns/{self.ns}")


class Node(Host):
    """The node, with its pods and the outside client."""

    IP4, IP6 = "192.0.2.1", "2001:db8::1"
    OUTSIDE4, OUTSIDE6 = "192.0.2.2", "2001:db8::2"

    def __init__(self, directory, mode="nft"):
        self.id = secrets.token_hex(4)
        self.hosts, self.directory, self.mode = [], directory, mode
        self.daemon = None
        self.cluster_cidr = ["--cluster-cidr=10.180.0.0/16,fd00:10:180::/64"]
        super().__init__(f"kp-{self.id}-node", Hooks(f"kp-{self.id}") if mode == "bpf" else None)
        try:
            self.build()
        except BaseException:  # an interruption, too
            self.close()
            raise

    def build(self):
        # Without a rate limit, each rejected datagram is answered.
        for setting in ("net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0",
                        "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
                        "net.ipv6.conf.default.accept_dad=0"):
            self.run("sysctl", "-qw", setting)
        self.outside = self.connect("outside", "eth1", (self.IP4, self.OUTSIDE4, 24),
                                    (self.IP6, self.OUTSIDE6, 64))
        # The outside client reaches cluster IPs, external and load balancer IPs through the node, as a
        # router would do.
        for route in ("10.96.0.0/16", "203.0.113.0/24"):
            self.outside.run("ip", "route", "add", route, "via", self.IP4)
        for route in ("fd00:10:96::/112", "2001:db8:5::/112"):
            self.outside.run("ip", "-6", "route", "add", route, "via", self.IP6)
        # The node needs a default route, or connect() to a cluster IP fails before netfilter sees
        # it; it leads nowhere that answers.
        self.upstream = self.connect("upstream", "eth2", ("198.51.100.1", "198.51.100.2", 24),
                                ("2001:db8:1::1", "2001:db8:1::2", 64))
        self.upstream.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
        self.run("ip", "route", "add", "default", "via", "198.51.100.2")
        self.run("ip", "-6", "route", "add", "default", "via", "2001:db8:1::2")

    def connect(self, name, interface, v4, v6):
        host = Host(f"kp-{self.id}-{name}")
        self.hosts.append(host)
        host.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        self.run("ip", "link", "add", interface, "type", "veth", "peer", "name", "eth0", "netns",
                 host.ns)
        for where, link, ip4, ip6 in ((self, interface, v4[0], v6[0]), (host, "eth0", v4[1], v6[1])):
            where.run("sysctl", "-qw", f"net.ipv6.conf.{link}.accept_dad=0")
            where.run("ip", "addr", "add", f"{ip4}/{v4[2]}", "dev", link)
            where.run("ip", "addr", "add", f"{ip6}/{v6[2]}", "dev", link, "nodad")
            where.run("ip", "link", "set", link, "up")
        return host

    def pod(self, number, *ports):
        """A pod at 10.180.0.N and fd00:10:180::N, which serves on 'ports'."""
        gateway4, gateway6 = "169.254.1.1", "fe80::1"
        host = Host(f"kp-{self.id}-pod{number}", self.hooks)
        self.hosts.append(host)
        host.ip4, host.ip6, link = f"10.180.0.{number}", f"fd00:10:180::{number:x}", f"pod{number}"
        self.run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", host.ns)
        for where, name in ((self, link), (host, "eth0")):
            where.run("sysctl", "-qw", f"net.ipv6.conf.{name}.accept_dad=0")
            where.run("ip", "link", "set", name, "up")
        self.run("ip", "addr", "add", f"{gateway4}/32", "dev", link)
        self.run("ip", "addr", "add", f"{gateway6}/64", "dev", link, "nodad")
        self.run("ip", "route", "add", host.ip4, "dev", link)
        self.run("ip", "-6", "route", "add", host.ip6, "dev", link)
        host.run("ip", "addr", "add", f"{host.ip4}/32", "dev", "eth0")
        host.run("ip", "addr", "add", f"{host.ip6}/128", "dev", "eth0", "nodad")
        host.run("ip", "route", "add", gateway4, "dev", "eth0")
        host.run("ip", "route", "add", "default", "via", gateway4)
        host.run("ip", "-6", "route", "add", "default", "via", gateway6, "dev", "eth0")
        if ports:
            host.serve(f"pod{number}", *ports)
        return host

    def crowd(self, n, *ports):
        """As many pods as 10.180.1.0/24 holds, all in one namespace; each answers by its address."""
        host = self.pod(250)
        host.ips = [f"10.180.1.{i}" for i in range(1, n + 1)]
        host.ips_of = {"IPv4": host.ips, "IPv6": [f"fd00:10:180::1:{i:x}" for i in range(1, n + 1)]}
        # A client that is masqueraded to the port of a former one would wait for its end.
        host.run("sysctl", "-qw", "net.ipv4.tcp_max_tw_buckets=0")
        for ip in host.ips:
            host.run("ip", "addr", "add", f"{ip}/32", "dev", "eth0")
        for ip in host.ips_of["IPv6"]:
            host.run("ip", "addr", "add", f"{ip}/128", "dev", "eth0", "nodad")
        self.run("ip", "route", "add", "10.180.1.0/24", "dev", "pod250")
        self.run("ip", "route", "add", "fd00:10:180::1:0/112", "dev", "pod250")
        host.serve("", *ports)
        return host

    def give_networks(self, host, *networks):
        """All addresses of these networks belong to the pod."""
        host.run("sysctl", "-qw", "net.ipv6.ip_nonlocal_bind=1")
        for network in networks:
            host.run("ip", "route", "add", "local", network, "dev", "lo")
            via = host.ip6 if ":" in network else host.ip4
            self.run("ip", "route", "add", network, "via", via)

    def write(self, name, *objects):
        """Puts objects into a manifest, atomically."""
        path = os.path.join(self.directory, name)
        with open(path + ".new", "w", encoding="utf-8") as f:
            json.dump({"apiVersion": "v1", "kind": "List", "items": objects}, f)
        os.rename(path + ".new", path)

    def argv(self, *extra):
        mode = ["--mode=bpf", "--strict", *self.hooks.argv] if self.hooks else [
            "--mode=nft", "--bpf-root=/nonexistent"]
        return [KPROXY, *mode, f"--manifests={self.directory}", "--hostname-override=node1",
                *LEAVE_MAX, *self.cluster_cidr, *extra]

    def start(self, *extra, **kwargs):
        self.daemon = self.popen(*self.argv("--healthz-bind-address=127.0.0.1:10256", *extra),
                                 **kwargs)
        wait_for("kproxy is ready", self.is_ready)

    def is_ready(self):
        return self.run(sys.executable, "-c", "import urllib.request as u; "
                        "u.urlopen('http://127.0.0.1:10256/readyz')", check=False).returncode == 0

    def stop(self, how=signal.SIGTERM):
        pid = self.daemon.pid
        os.kill(pid, how)
        return self.daemon.wait()

    def once(self, *extra, check=True):
        return self.run(*self.argv("--once", *extra), check=check)

    def dump(self, *extra):
        return json.loads(self.run(KPROXY, "dump", "-o", "json", *self.dump_argv(), *extra).stdout)

    def dump_argv(self):
        return [f"--bpf-root={self.hooks.bpf if self.hooks else '/nonexistent'}"]

    def close(self):
        for host in self.hosts:
            host.close()
        super().close()
        if self.hooks:
            self.hooks.close()


def service(name, ips, ports, vips=(), **spec):
    """ports: (name, protocol, port[, nodePort]); vips: of status.loadBalancer"""
    return {"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"clusterIP": ips[0], "clusterIPs": ips,
                     "ipFamilies": ["IPv6" if ":" in ip else "IPv4" for ip in ips],
                     "ports": [dict(zip(("name", "protocol", "port", "nodePort"), p))
                               for p in ports], **spec},
            **({"status": {"loadBalancer": {"ingress": [{"ip": ip} for ip in vips]}}} if vips
               else {})}


def endpointslice(name, service_name, addresses, ports, family="IPv4"):
    """ports: (name, protocol, port); addresses are ready and on this node, or whole endpoints"""
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
            "metadata": {"name": name, "namespace": "default",
                         "labels": {"kubernetes.io/service-name": service_name}},
            "ports": [dict(zip(("name", "protocol", "port"), p)) for p in ports],
            "endpoints": [{"addresses": [a], "conditions": {"ready": True}, "nodeName": "node1"}
                          if isinstance(a, str) else a for a in addresses]}


def endpoint(address, node="node1", ready=True, serving=True, terminating=False, **hints):
    """hints: forZones=["a"], forNodes=["node1"]"""
    return {"addresses": [address], "nodeName": node,
            "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
            "hints": {kind: [{"name": name} for name in names] for kind, names in hints.items()}}


def node_object(*addresses, zone=None):
    return {"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "node1",
                         "labels": {"topology.kubernetes.io/zone": zone} if zone else {}},
            "status": {"addresses": [{"type": "InternalIP", "address": address}
                                     for address in addresses or (Node.IP4, Node.IP6)]}}
