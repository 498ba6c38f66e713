# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of others are never touched (CL-1), whatever they hold and whatever we do."""
import json

from test_traffic import web
from node import wait_for

# Every family and many kinds of objects, with the names that we use ourselves.
FOREIGN = r"""
table inet kproxy {
	counter hits { packets 0 bytes 0; }
	quota monthly { over 100 mbytes; }
	limit slow { rate 10/second; }
	set services { type ipv4_addr . inet_proto . inet_service; elements = { 10.96.0.10 . tcp . 80 }; }
	set cluster-ips { type ipv4_addr; flags interval; elements = { 10.96.0.0/16 }; }
	set clients { type ipv4_addr; flags dynamic, timeout; timeout 1h; size 1024; }
	set counted { type inet_service; counter; elements = { 22, 80 }; }
	map endpoints { type ipv4_addr : verdict; elements = { 10.96.0.10 : jump pick-1 }; }
	map marks { type ipv4_addr : mark; elements = { 10.96.0.10 : 0x00004000 }; }
	map names { type inet_service : counter; elements = { 80 : "hits" }; }
	chain pick-1 { counter accept; }
	chain dispatch {
		type filter hook prerouting priority -300; policy accept;
		ip daddr vmap @endpoints
		tcp dport vmap { 22 : accept, 23 : drop }
		tcp dport 9 update @clients { ip saddr limit rate 5/second }
		meta mark & 0x00004000 == 0 return comment "not yours"
	}
}
table inet kube-proxy {
	chain services { type nat hook prerouting priority -100; tcp dport 1 redirect to :2; }
}
table ip6 kproxy-other {
	chain c { type filter hook input priority 0; policy accept; ip6 saddr ::1 accept; }
}
table arp kproxy { chain c { type filter hook input priority 0; arp operation request accept; }; }
table bridge kproxy { chain c { type filter hook forward priority 0; ether type ip accept; }; }
table netdev kproxy { chain c { type filter hook ingress device "lo" priority 0; accept; }; }
"""

# What not every kernel has.
FURTHER = (
    'ct helper inet kproxy ftp { type "ftp" protocol tcp; l3proto ip; }',
    "ct timeout inet kproxy short { protocol udp; l3proto ip; policy = { replied : 5 }; }",
    "ct expectation inet kproxy more { protocol tcp; dport 1; timeout 1m; size 1; l3proto ip; }",
    'secmark inet kproxy label { "system_u:object_r:ssh_server_packet_t:s0"; }',
    "synproxy inet kproxy syn { mss 1460; wscale 7; timestamp sack-perm; }",
    "flowtable inet kproxy fast { hook ingress priority 0; devices = { lo }; }",
)


def foreign(node):
    """All that is not ours, handles and counters included."""
    listing = json.loads(node.run("nft", "-aj", "list", "ruleset").stdout)["nftables"]
    ours = {("ip", "kproxy"), ("ip6", "kproxy")}
    found = []
    for entry in listing:
        (kind, what), = entry.items()
        name = what.get("name") if kind == "table" else what.get("table")
        if kind != "metainfo" and (what["family"], name) not in ours:
            found.append(entry)
    return found


def test_foreign_tables_stay_as_they_are(node):
    node.run("nft", "-f", "-", input=FOREIGN)
    for further in FURTHER:
        node.run("nft", "add " + further, check=False)
    before = foreign(node)
    assert len(before) > 30

    web(node, [1, 2])
    node.start()
    assert foreign(node) == before
    for numbers in ([1, 2, 3], [], [3]):
        web(node, numbers)
        wait_for("the change", lambda: {e["address"] for s in node.dump()["services"]
                                        for e in s["endpoints"] if "." in e["address"]} ==
                 {f"10.180.0.{n}" for n in numbers})
        assert foreign(node) == before
    # A repair, too: ours has vanished, and is made anew.
    node.stop()
    node.run("nft", "delete", "table", "ip", "kproxy")
    node.start()
    assert foreign(node) == before
    node.stop()
    node.run(*node.argv("--cleanup"))
    assert foreign(node) == before
    listing = node.run("nft", "list", "tables").stdout.split("\n")
    assert "table ip kproxy" not in listing and "table inet kproxy" in listing
