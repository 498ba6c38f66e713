# SPDX-License-Identifier: GPL-2.0-or-later
"""What one more element costs in a map of verdicts and in a plain set, each with N others
(docs/ruleset.md, "Why no verdict maps").  As root; everything happens in a namespace of its own."""
import statistics
import subprocess
import sys
import time

CHAINS = """chain target { accept; }
chain pre { type filter hook prerouting priority 0; ip daddr . tcp dport vmap @verdicts; }
chain out { type filter hook output priority 0; ip daddr . tcp dport vmap @verdicts; }"""


def address(n):
    return f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"


def table(n):
    keys = [f"{address(i)} . 80" for i in range(n)]
    return (f"table ip t {{ map verdicts {{ type ipv4_addr . inet_service : verdict; elements = "
            f"{{ {', '.join(k + ' : goto target' for k in keys)} }}; }}\n"
            f"set plain {{ type ipv4_addr . inet_service; elements = {{ {', '.join(keys)} }}; }}\n"
            f"{CHAINS}\n}}")


def nft(commands):
    start = time.monotonic()
    subprocess.run(["nft", "-f", "-"], input=commands, text=True, check=True)
    return (time.monotonic() - start) * 1000


def main():
    print("others  map, ms  set, ms   (nft's own start included)")
    for n in (100, 30000):
        nft("flush ruleset\n" + table(n))
        times = {"map": [], "set": []}
        for i in range(41):
            ip = f"192.0.2.{i}"
            times["map"].append(nft(f"add element ip t verdicts {{ {ip} . 80 : goto target }}"))
            times["set"].append(nft(f"add element ip t plain {{ {ip} . 80 }}"))
        print(f"{n:6}  {statistics.median(times['map']):7.2f}  "
              f"{statistics.median(times['set']):7.2f}")


if len(sys.argv) == 1:
    sys.exit(subprocess.run(["unshare", "-n", sys.executable, __file__, "inside"]).returncode)
main()
