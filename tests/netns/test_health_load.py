# SPDX-License-Identifier: GPL-2.0-or-later
"""Load balancers and the kubelet get their answers while a whole cluster is synced."""
import json
import subprocess
import sys

from node import KPROXY, Node, endpointslice, node_object, service, wait_for

HEALTH = "http://127.0.0.1:10256"
N_SERVICES, N_ENDPOINTS, RATE = 10000, 5, 100
PORTS, TARGETS = [("http", "TCP", 80)], [("http", "TCP", 8080)]

# Asks the URLs in turn, RATE times a second, until its input ends; prints how often each got which
# answer, and the longest time.
ASKER = r"""
import collections, concurrent.futures, json, sys, threading, time, urllib.error, urllib.request
rate, urls = int(sys.argv[1]), sys.argv[2:]
answers, slowest, lock, stop = collections.Counter(), 0, threading.Lock(), threading.Event()
def ask(url):
    global slowest
    start = time.monotonic()
    try:
        answer = urllib.request.urlopen(url, timeout=30)
    except urllib.error.HTTPError as e:
        answer = e
    except OSError as e:
        answer = None
        outcome = type(e).__name__
    if answer:
        with answer:
            weight = answer.headers.get("X-Load-Balancing-Endpoint-Weight", "-")
            outcome = f"{answer.status} {weight} {json.load(answer).get('localEndpoints', '-')}"
    with lock:
        answers[f"{url} {outcome}"] += 1
        slowest = max(slowest, time.monotonic() - start)
threading.Thread(target=lambda: (sys.stdin.read(), stop.set())).start()
print("ready", flush=True)
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    n, start = 0, time.monotonic()
    while not stop.wait(max(0, start + n / rate - time.monotonic())):
        pool.submit(ask, urls[n % len(urls)])
        n += 1
print(json.dumps([n, answers, slowest]))
"""


def balanced(number, node_name):
    """A Service with a health check port, and its endpoint on a node."""
    lb = service(f"lb{number}", [f"10.96.0.{20 + number}"], [("http", "TCP", 80, 30090 + number)],
                 type="LoadBalancer", externalTrafficPolicy="Local",
                 healthCheckNodePort=31000 + number)
    slice_ = endpointslice(f"lb{number}", f"lb{number}", [f"10.180.0.{number}"], TARGETS)
    slice_["endpoints"][0]["nodeName"] = node_name
    return lb, slice_


def cluster(generation):
    """N_SERVICES Services, whose endpoints depend on the generation."""
    for n in range(N_SERVICES):
        ip = f"{n >> 8}.{n & 255}"
        yield service(f"s{n}", [f"10.97.{ip}"], PORTS)
        yield endpointslice(f"s{n}-a", f"s{n}", [f"10.{181 + 10 * generation + i}.{ip}"
                                                 for i in range(N_ENDPOINTS)], TARGETS)


def synced(node, generation):
    """The last Service has its endpoints; there is nothing to dump before the first time."""
    dump = node.run(KPROXY, "dump", "-o", "json", "default/s9999", check=False)
    return f'"10.{181 + 10 * generation}.' in dump.stdout


def test_answers_while_ten_thousand_services_are_synced(node):  # HZ-4, HZ-5, HC-2 ... HC-4
    node.write("lb.json", node_object(), *balanced(1, "node1"), *balanced(2, "node2"))
    node.start()
    expected = {f"{HEALTH}/healthz": "200 - -", f"{HEALTH}/livez": "200 - -",
                f"http://{Node.IP4}:31001/": "200 1 1", f"http://{Node.IP4}:31002/": "503 0 0"}
    asker = node.popen(sys.executable, "-c", ASKER, RATE, *expected, stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE)
    assert asker.stdout.readline() == "ready\n"
    for generation in (0, 1):
        node.write("cluster.json", *cluster(generation))
        wait_for("the cluster is synced", lambda g=generation: synced(node, g), 120)
    n, answers, slowest = json.loads(asker.communicate()[0])
    print(f"{n} requests, the slowest took {slowest * 1000:.0f} ms")
    assert set(answers) == {f"{url} {answer}" for url, answer in expected.items()}
    assert sum(answers.values()) == n > 100
    assert slowest < 30
