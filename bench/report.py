# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables and plots of what run.py has measured."""
import importlib.util
import os
import statistics
import sys
import textwrap

def median(values):
    return statistics.median(values)


def row(*cells):
    return "| " + " | ".join(str(c) for c in cells) + " |\n"


def table(*head):
    return row(*head) + row(*["---"] + ["---:"] * (len(head) - 1))


def number(n):
    return f"{n:,}".replace(",", " ")


def milliseconds(us):
    return f"{us / 1000:.1f}" if us < 100000 else f"{us / 1000:.0f}"


def seconds(s):
    return f"{s:.2f} s" if s < 10 else f"{s:.0f} s"


def cold(result, key):
    return [r["cold"][key] for r in result["kproxy"]]


def ratios(result, ours, theirs):
    """Of each round, so that a busy machine slows both."""
    return [theirs(k) / ours(r) for r, k in zip(result["kproxy"], result["kube_proxy"])]


def cold_ratio(result):
    return median(ratios(result, lambda r: r["cold"]["total_us"] / 1e6, lambda k: k["cold_s"]))


def change_ratio(result):
    return median(ratios(result, lambda r: r["change"]["median_us"] / 1e6,
                         lambda k: k["change_s"]))


def cold_table(syncs):
    text = table("Services", "first sync, ms", "plan", "render", "kernel", "operations",
                 "netlink, kB", "chains", "rules")
    for n, result in syncs.items():
        objects = result["kproxy"][0]["objects"]
        parts = [milliseconds(median(cold(result, f"{key}_us")))
                 for key in ("total", "plan", "render", "kernel")]
        text += row(number(n), *parts, number(median(cold(result, "ops"))),
                    number(round(median(cold(result, "bytes")) / 1000)), objects["chain"],
                    objects["rule"])
    return text


def change_table(syncs):
    text = table("Services", "one endpoint moved, µs", "99 %", "kernel", "operations",
                 "netlink, bytes", "daemon's memory, MB", "at its highest")
    for n, result in syncs.items():
        changes = [r["change"] for r in result["kproxy"]]
        text += row(number(n),
                    *(f"{median([c[key] for c in changes]):.0f}"
                      for key in ("median_us", "p99_us", "kernel_median_us")),
                    changes[0]["ops"], changes[0]["bytes"],
                    *(f"{mb:.1f}" for mb in result["memory_mb"]))
    return text


def kube_proxy_table(syncs):
    text = table("Services", "load, `nft -f`", "of it in the kernel", "chains", "rules",
                 "times kproxy's", "one endpoint moved, `nft -f`", "times kproxy's")
    for n, result in syncs.items():
        loads = result["kube_proxy"]
        if not loads:
            continue
        text += row(number(n), seconds(median([k["cold_s"] for k in loads])),
                    seconds(median([k["kernel_s"] for k in loads])),
                    number(loads[0]["objects"]["chain"]), number(loads[0]["objects"]["rule"]),
                    f"{cold_ratio(result):.0f}",
                    f"{median([k['change_s'] for k in loads]) * 1000:.1f} ms",
                    number(round(change_ratio(result))))
    return text


def spread(values, form="{:.0f}"):
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{form} ({form}–{form})".format(middle, low, high)


def connection_table(rounds):
    sizes = sorted({n for n, _ in rounds[0]})
    text = table("Services", "through the ClusterIP, 1/s", "direct, 1/s", "ClusterIP / direct",
                 f"ClusterIP, against {sizes[0]} Service")
    for n in sizes:
        service, direct = [r[n, "service"] for r in rounds], [r[n, "direct"] for r in rounds]
        text += row(number(n), spread(service), spread(direct),
                    spread([s / d for s, d in zip(service, direct)], "{:.3f}"),
                    spread([r[n, "service"] / r[sizes[0], "service"] for r in rounds], "{:.3f}"))
    return text


def text(syncs, connections):
    return "\n".join([
        "kproxy, first sync into an empty kernel (medians):\n", cold_table(syncs),
        "kproxy, one changed endpoint, and memory:\n", change_table(syncs),
        "A ruleset of kube-proxy's shape, in the same runs:\n", kube_proxy_table(syncs),
        "TCP connections of a pod (medians and quartiles of interleaved rounds):\n",
        connection_table(connections)])


def feature_table(results):
    text = table("Services", "first sync, ms", "kernel", "operations", "netlink, kB", "chains", "rules",
                 "one endpoint moved, µs", "99 %", "operations")
    for n, runs in results.items():
        cold_, changes = [r["cold"] for r in runs], [r["change"] for r in runs]
        text += row(number(n), *(milliseconds(median([c[key] for c in cold_]))
                                 for key in ("total_us", "kernel_us")),
                    number(cold_[0]["ops"]), number(round(cold_[0]["bytes"] / 1000)),
                    runs[0]["objects"]["chain"], runs[0]["objects"]["rule"],
                    *(f"{median([c[key] for c in changes]):.0f}" for key in ("median_us", "p99_us")),
                    changes[0]["ops"])
    return text


def affinity_table(rounds):
    text = table("Clients", "without affinity, 1/s", "with affinity, 1/s", "with / without",
                 "more for each, µs")
    for clients, name in (("one", "one client"), ("new", "each connection a new client")):
        without, with_ = ([r[affinity, clients] for r in rounds] for affinity in (False, True))
        text += row(name, spread(without), spread(with_),
                    spread([b / a for a, b in zip(without, with_)], "{:.3f}"),
                    spread([1e6 / b - 1e6 / a for a, b in zip(without, with_)], "{:.1f}"))
    return text


def features_text(features, affinity):
    return "\n".join([
        "All features in each Service (medians):\n", feature_table(features),
        "TCP connections of a pod to a ClusterIP with 500 endpoints (medians and quartiles of "
        "interleaved rounds):\n", affinity_table(affinity)])


def plot_syncs(path, syncs):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4))
    sizes = list(syncs)
    loaded = [n for n in sizes if syncs[n]["kube_proxy"]]
    kproxy = [[median(cold(syncs[n], "total_us")) / 1e6 for n in sizes],
              [median([r["change"]["median_us"] for r in syncs[n]["kproxy"]]) / 1e6
               for n in sizes]]
    shape = [[median([k[key] for k in syncs[n]["kube_proxy"]]) for n in loaded]
             for key in ("cold_s", "change_s")]
    for axis, title, ours, theirs in zip(axes, ("first sync", "one endpoint moved"), kproxy, shape):
        axis.plot(loaded, theirs, "s-", color="tab:gray", label="kube-proxy's shape, nft -f")
        axis.plot(sizes, ours, "o-", color="tab:blue", label="kproxy")
        axis.set(xscale="log", yscale="log", title=title, xlabel="Services, 5 endpoints each",
                 ylabel="seconds")
        axis.grid(True, alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def plot_connections(path, rounds):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axis = pyplot.subplots(figsize=(7, 4))
    sizes = sorted({n for n, _ in rounds[0]})
    cases = [(n, target) for n in sizes for target in ("direct", "service")]
    boxes = axis.boxplot([[r[c] for r in rounds] for c in cases], patch_artist=True)
    for box, (_, target) in zip(boxes["boxes"], cases):
        box.set_facecolor("lightgray" if target == "direct" else "tab:blue")
    axis.set_xticklabels(["direct\n" if t == "direct" else f"ClusterIP,\none of {number(n)}"
                          for n, t in cases])
    axis.set(ylabel="TCP connections per second", ylim=(0, None))
    axis.grid(True, axis="y", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def plot_bars(path, panels, labels, what):
    """Medians and quartiles of ratios; panels: {title: {series: [values for each label]}}"""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(10, 4 * len(panels)), squeeze=False)
    for axis, (title, series) in zip(axes[:, 0], panels.items()):
        width = 0.8 / len(series)
        for i, (name, values) in enumerate(series.items()):
            # One round has no quartiles.
            quartiles = [statistics.quantiles(v, n=4) if len(v) > 1 else v * 3 for v in values]
            axis.bar([k - 0.4 + (i + 0.5) * width for k in range(len(labels))],
                     [m for _, m, _ in quartiles], width, label=name,
                     yerr=[[m - low for low, m, _ in quartiles], [up - m for _, m, up in quartiles]])
        axis.axhline(1, color="black", linewidth=0.5)
        axis.set(title=title, ylabel=what, ylim=(0, 1.5), xticks=range(len(labels)))
        axis.set_xticklabels([textwrap.fill(label, 16) for label in labels], fontsize=8)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def check():
    """Ends the program when plot() could not draw."""
    if not importlib.util.find_spec("matplotlib"):
        sys.exit("no matplotlib for the plots: tools/install-deps bench installs it")


def write(directory, sections):
    """Replaces what stands between the markers of these sections of performance.md."""
    path = os.path.join(directory, "performance.md")
    with open(path, encoding="utf-8") as f:
        page = f.read()
    for name, text_ in sections.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        before, rest = page.split(begin)
        page = f"{before}{begin}{text_}{end}{rest.split(end)[1]}"
    with open(path, "w", encoding="utf-8") as f:
        f.write(page)


def plot(directory, syncs, connections):
    plot_syncs(os.path.join(directory, "performance-sync.png"), syncs)
    plot_connections(os.path.join(directory, "performance-connections.png"), connections)
