# SPDX-License-Identifier: GPL-2.0-or-later
"""New flows, and new clients with affinity, spread evenly over the endpoints (LB-1, SA-2)."""
import itertools

import pytest

from node import Sink, endpointslice, service, wait_for

N_FLOWS, N_CLIENTS = 10000, 3000
# The endpoints' and the clients' networks, and the cluster IP.
FAMILIES = {"IPv4": ("10.180.1.{}", "10.180.1.0/24", "10.180.{}.{}", "10.180.64.0/18", "10.96.0.10"),
            "IPv6": ("fd00:10:180:0:1::{}", "fd00:10:180:0:1::/80", "fd00:10:180:0:2::{}:{}",
                     "fd00:10:180:0:2::/80", "fd00:10:96::10")}


def assert_even(counts, total):
    """Chi-square against equal shares, by Wilson and Hilferty's normal approximation: a correct
    program fails less than once in 5 * 10^7 checks, and there are sixteen in a run."""
    assert sum(counts) == total
    expected, degrees = total / len(counts), len(counts) - 1
    chi_square = sum((n - expected) ** 2 for n in counts) / expected
    spread = 2 / (9 * degrees)
    limit = degrees * (1 - spread + 5.5 * spread ** 0.5) ** 3
    assert chi_square < limit, counts


class World:
    def __init__(self, node):
        self.node, self.runs = node, itertools.count()
        servers, self.client = node.pod(250), node.pod(9)
        node.give_networks(servers, *(f[1] for f in FAMILIES.values()))
        node.give_networks(self.client, *(f[3] for f in FAMILIES.values()))
        self.sink = Sink(servers, 8080, [f[0].format(i) for f in FAMILIES.values()
                                         for i in range(1, 101)])

    def write(self, numbers, **spec):
        self.node.write("web.json",
                        service("web", [f[4] for f in FAMILIES.values()], [("dns", "UDP", 53)], **spec),
                        *(endpointslice(f"web-{name.lower()}", "web", [f[0].format(n) for n in numbers],
                                        [("dns", "UDP", 8080)], name)
                          for name, f in FAMILIES.items()))
        want = {f[0].format(n) for f in FAMILIES.values() for n in numbers}
        wait_for("the endpoints", lambda: {e["address"] for s in self.node.dump()["services"]
                                           for e in s["endpoints"]} == want)

    def counts(self, family, numbers, sources):
        """How many flows of 'sources' have come to each of the endpoints."""
        self.client.send_each(FAMILIES[family][4], 53, sources)
        counts = self.sink.counts()
        return [counts[FAMILIES[family][0].format(n)] for n in numbers]


@pytest.fixture(scope="module")
def world(shared_node):
    shared_node.write("web.json")
    shared_node.start()
    return World(shared_node)


@pytest.mark.parametrize("family", FAMILIES)
def test_flows_spread_evenly(world, family):  # LB-1
    removed = [n for n in range(1, 101) if n % 3 and n not in (1, 100)]
    for numbers in (range(1, 3), range(1, 4), range(1, 8), range(1, 101), removed, [2, 5, 88]):
        numbers = list(numbers)
        world.write(numbers)
        # A client address of its own for each run, so that no flow is an old one.
        client = FAMILIES[family][2].format(100, 1 + next(world.runs))
        sources = [(client, 20000 + i) for i in range(N_FLOWS)]
        assert_even(world.counts(family, numbers, sources), N_FLOWS)


@pytest.mark.parametrize("family", FAMILIES)
def test_clients_with_affinity_spread_evenly(world, family):  # SA-2
    clients = [FAMILIES[family][2].format(64 + i // 250, 1 + i % 250) for i in range(N_CLIENTS)]
    for numbers in ([1, 2, 3], list(range(1, 101))):
        world.write(numbers, sessionAffinity="ClientIP")
        port = 20000 + 10 * next(world.runs)
        first = world.counts(family, numbers, [(c, port) for c in clients])
        assert_even(first, N_CLIENTS)
        # The second flow of each goes where the first one went.
        assert world.counts(family, numbers, [(c, port + 1) for c in clients]) == first
        world.write(numbers)  # without affinity: forgets them
