# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's settings.  Only those of our own network namespace are ever written; files of the whole
machine are hidden behind files of the test, in mounts that nobody else sees."""
import os
import signal

import pytest

from node import KPROXY, run, wait_for
from test_traffic import IP4, web

CONNTRACK = "/proc/sys/net/netfilter/nf_conntrack_"
HASH_SIZE = "/sys/module/nf_conntrack/parameters/hashsize"

# Accepts one connection and never closes it.
HALF_CLOSED = r"""
import socket, sys
s = socket.create_server(("10.180.0.1", 9999))
print("ready", flush=True)
conn, _ = s.accept()
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def tracker(node):
    node.run("conntrack", "-C")  # has it loaded


def read(node, name):
    return int(node.run("cat", CONNTRACK + name).stdout)


def start_in_private_mounts(node, tmp_path, mounts):
    """'mounts' are what the shell does before kproxy starts; returns the path of its log."""
    unshare = ["unshare", "--mount", "--propagation", "private"]
    if run(*unshare, "true", check=False).returncode:
        pytest.skip("mounts cannot be private here")
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        node.daemon = node.popen(*unshare, "sh", "-ec", f'{mounts}; exec "$@"', "sh",
                                 *node.argv("--healthz-bind-address=127.0.0.1:10256",
                                            "--conntrack-max-per-core=32768"), stderr=log)
    wait_for("kproxy is ready", node.is_ready)
    return tmp_path / "log"


def test_timeouts_of_the_namespace(node):  # HS-2
    node.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_close_wait=60",
             "net.netfilter.nf_conntrack_udp_timeout=33")
    web(node, [1])
    node.start()
    assert read(node, "tcp_timeout_established") == 86400
    assert read(node, "tcp_timeout_close_wait") == 3600
    assert read(node, "udp_timeout") == 33, "0 leaves it alone"
    assert read(node, "tcp_be_liberal") == 0


def test_other_settings(node):  # HS-2
    web(node, [1])
    node.start("--conntrack-tcp-be-liberal", "--conntrack-udp-timeout=45s",
               "--conntrack-udp-timeout-stream=2m", "--conntrack-tcp-timeout-established=1h")
    assert [read(node, name) for name in ("tcp_be_liberal", "udp_timeout", "udp_timeout_stream",
                                          "tcp_timeout_established")] == [1, 45, 120, 3600]


def test_init_only_needs_nothing_but_the_files(node, tmp_path):  # HS-3
    node.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_close_wait=60")
    flags = ["--init-only", "--conntrack-max-per-core=0", "--oom-score-adj=0"]
    assert node.run(KPROXY, *flags).returncode == 0
    assert read(node, "tcp_timeout_close_wait") == 3600
    # What is right needs no permission: the container without it, after this one.
    assert node.run("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534",
                    KPROXY, *flags).returncode == 0
    failed = node.run("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534",
                      KPROXY, *flags, "--conntrack-udp-timeout=46s", check=False)
    assert failed.returncode == 1
    assert "cannot set /proc/sys/net/netfilter/nf_conntrack_udp_timeout to 46" in failed.stderr


def test_once_sets_nothing(node):
    node.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_close_wait=60")
    web(node, [1])
    node.once()
    assert read(node, "tcp_timeout_close_wait") == 60


def test_a_connection_that_waits_for_its_close(node):  # HS-2, as e2e tests it
    """The tracker's entry of a half-closed connection is kept for an hour."""
    if not os.path.exists("/proc/net/nf_conntrack"):
        pytest.skip("this kernel does not list the tracker's entries")
    client, server = node.pod(9), node.pod(1)
    holder = server.popen("python3", "-c", HALF_CLOSED, stdin=-1, stdout=-1)
    assert holder.stdout.readline() == "ready\n"
    web(node, [1])
    node.start()
    peer = client.popen("python3", "-c",
                        "import socket, sys; s = socket.create_connection(('10.180.0.1', 9999)); "
                        "s.shutdown(socket.SHUT_WR); sys.stdin.read()", stdin=-1)

    def entries():
        return [line for line in node.run("cat", "/proc/net/nf_conntrack").stdout.splitlines()
                if "dport=9999" in line and "CLOSE_WAIT" in line]

    wait_for("CLOSE_WAIT", entries)
    assert 3000 < int(entries()[0].split()[4]) <= 3600
    peer.kill()



def test_read_only_files_are_named_and_nothing_else_is_lost(node, tmp_path):  # HS-1, HS-3
    (tmp_path / "max").write_text("77777\n")
    (tmp_path / "hash").write_text("5\n")
    web(node, [1])
    client = node.pod(9)
    node.pod(1, 8080)
    log = start_in_private_mounts(
        node, tmp_path, f"mount --bind {tmp_path}/max {CONNTRACK}max; "
        f"mount -o remount,ro,bind {CONNTRACK}max; mount --bind {tmp_path}/hash {HASH_SIZE}")
    line, = [l for l in log.read_text().splitlines() if "level=warn" in l]
    assert f"cannot set {CONNTRACK}max to " in line and "Read-only file system" in line
    assert "docs/host.md" in line
    assert read(node, "tcp_timeout_close_wait") == 3600, "the others are set"
    # Whoever cannot set the maximum does not own the machine's hash table either.
    assert (tmp_path / "hash").read_text() == "5\n"
    assert client.ask(IP4, 80, count=5).servers == {"pod1": 5}


def test_what_the_initial_namespace_would_get(node, tmp_path):  # HS-1
    (tmp_path / "max").write_text("77777\n")
    (tmp_path / "hash").write_text("5\n")
    web(node, [1])
    log = start_in_private_mounts(
        node, tmp_path, f"mount --bind {tmp_path}/max {CONNTRACK}max; "
        f"mount --bind {tmp_path}/hash {HASH_SIZE}")
    wanted = max(131072, 32768 * os.sysconf("SC_NPROCESSORS_ONLN"))
    assert int((tmp_path / "max").read_text()) == wanted
    assert int((tmp_path / "hash").read_text()) == wanted // 4
    assert "level=warn" not in log.read_text()


def test_score_of_the_process(node, tmp_path):  # HS-4
    web(node, [1])
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        node.start(stderr=log)
    with open(f"/proc/{node.daemon.pid}/oom_score_adj", encoding="ascii") as f:
        score = int(f.read())
    assert score == -999 or "cannot set the OOM score, going on" in (tmp_path / "log").read_text()
    assert node.stop(signal.SIGTERM) == 0


# --- packets ahead of the window (HS-7) ---

# Serves one connection: sends a segment far ahead of the window, then a word the ordinary way.
AHEAD = r"""
import socket, struct, sys, time
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, OFF_NO_PROBE = 19, 20, 21, -1

def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff

def sequence(conn, queue):
    conn.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, queue)
    return conn.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ) & 0xffffffff

def send_ahead(conn):
    (own, own_port), (peer, peer_port) = conn.getsockname(), conn.getpeername()
    conn.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    ack, seq = sequence(conn, 1), sequence(conn, 2)
    conn.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, OFF_NO_PROBE)
    addresses = socket.inet_aton(own) + socket.inet_aton(peer)
    def segment(check):
        return struct.pack("!HHIIBBHHH", own_port, peer_port, (seq + (1 << 28)) & 0xffffffff, ack,
                           5 << 4, 0x18, 512, check, 0) + b"ahead"
    pseudo = addresses + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(segment(0)))
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    raw.sendto(segment(checksum(pseudo + segment(0))), (peer, 0))

server = socket.create_server(("10.180.0.1", 8080))
print("ready", flush=True)
conn, _ = server.accept()
conn.recv(100)
send_ahead(conn)
time.sleep(0.5)
try:
    conn.sendall(b"alive")
    time.sleep(1)
except OSError as e:
    print(e, file=sys.stderr)
"""

CLIENT = r"""
import socket, sys
s = socket.create_connection((sys.argv[1], 80), 5)
s.sendall(b"?")
try:
    print(s.recv(100).decode() or "closed")
except OSError as e:
    print(type(e).__name__)
"""


def answer_behind_a_segment_ahead(node, client, server):
    process = server.popen("python3", "-c", AHEAD, stdout=-1)
    assert process.stdout.readline() == "ready\n"
    answer = client.run("python3", "-c", CLIENT, IP4).stdout.strip()
    process.wait()
    return answer


def test_segment_ahead_of_the_window(node):  # HS-7
    client, server = node.pod(9), node.pod(1)
    web(node, [1])
    node.start()
    if answer_behind_a_segment_ahead(node, client, server) == "alive":
        pytest.skip("this kernel keeps such a connection by itself")
    node.stop()
    node.start("--conntrack-tcp-be-liberal")
    assert answer_behind_a_segment_ahead(node, client, server) == "alive"
