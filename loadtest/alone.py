#!/usr/bin/env python3
"""What is measured of the gateway alone: reloads, and what telemetry adds to a request."""
import json, os, re, statistics, subprocess, sys, time, types, urllib.error, urllib.request

from clients import percentile, wrk
from gateway import served, tyrian_config
from peers import nginx
from processes import OTHER_CORE, PROXY_CORE, Proxy, cpu_seconds, free_port, on, resident_mib


def reload(directory, port, admin, metrics, upstream, routes, token, i):
    """Milliseconds from asking for a reload to its verdict."""
    tyrian_config(directory, port, admin, metrics, upstream, routes, f"# {i}\n[server.drain]\ntimeout = \"{i + 20}s\"")
    request = urllib.request.Request(f"http://127.0.0.1:{admin}/v1/config/reload", method="POST", headers={"Authorization": f"Bearer {token}"})
    began = time.time()
    try:
        json.load(urllib.request.urlopen(request, timeout=30))
    except urllib.error.HTTPError as error:
        sys.exit(error.read().decode())
    return (time.time() - began) * 1e3


def reload_time(directory, args, upstream):
    """How long a reload of 1,000 and of 10,000 routes takes, and what the memory is."""
    report = {}
    for routes in (1_000, 10_000):
        report |= reload_of(directory, args, upstream, routes)
    return report


def reload_of(directory, args, upstream, routes):
    report, ports = {}, (free_port(), free_port(), free_port())
    port = ports[0]
    config = tyrian_config(directory, *ports, upstream, routes)
    began = time.time()
    proxy = Proxy("tyrian", PROXY_CORE, served(args.bin, config, directory), port, "")
    report[f"ready_s_{routes}_routes"] = round(time.time() - began, 2)
    wrk(port, 2)
    report[f"resident_mib_{routes}_routes"] = resident_mib(proxy.pid)
    quiet = wrk(port, 3)["p99_ms"]
    with open(os.path.join(directory, "state", "admin.token")) as f:
        token = f.read().strip()
    once = lambda i: reload(directory, *ports, upstream, routes, token, i)
    report[f"reload_ms_quiet_{routes}_routes"] = round(statistics.median(once(i) for i in range(3)), 1)
    took = []
    command = on(OTHER_CORE, ["wrk", "-t1", "-c16", "-d8s", "--latency", f"http://127.0.0.1:{port}/"])
    loader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for i in range(5):
        took.append(once(i + 10))
        time.sleep(0.5)
    out = loader.communicate()[0]
    report[f"reload_ms_{routes}_routes"] = round(statistics.median(took), 1)
    report[f"p99_ms_quiet_{routes}_routes"] = quiet
    report[f"p99_ms_reloading_{routes}_routes"] = percentile(out, 99)
    report[f"errors_{routes}_routes"] = re.findall(r"(?:Non-2xx or 3xx responses|Socket errors): .*", out)
    proxy.stop()
    return report


TURNS = ["none", "nginx", "usual"]  # so that the two gateways are first equally often


def telemetry_proxies(directory, args, upstream, collector):
    """Two gateways that differ in nothing but `[telemetry]`, and nginx; the port that tells the second one's counters."""
    log = os.path.join(directory, "access.log")
    traces = f'traces = {{ sample = "5%", otlp = "http://127.0.0.1:{collector}" }}'
    running = {}
    for kind, path, extra in (("none", "off", ""), ("usual", log, traces)):
        own = os.path.join(directory, kind)
        os.mkdir(own)
        port, metrics = free_port(), free_port()
        config = tyrian_config(own, port, free_port(), metrics, upstream, args.routes, extra, log=path)
        running[kind] = Proxy(kind, PROXY_CORE, served(args.bin, config, own), port, "")
    name, command, port, version = nginx(types.SimpleNamespace(directory=directory, v1=upstream), "bare")
    running["nginx"] = Proxy(name, PROXY_CORE, command, port, version)
    return running, metrics, log


def telemetry_rounds(running, log, args):
    rows, errors = {kind: [] for kind in TURNS}, []
    for p in running.values():
        wrk(p.port, 1)
    for number in range(args.rounds):
        for kind in TURNS[:: -1 if number % 2 else 1]:  # the first one has the colder machine
            p = running[kind]
            before = cpu_seconds(p.pid)
            result = wrk(p.port, args.seconds)
            rows[kind].append((cpu_seconds(p.pid) - before) * 1e6 / max(result["count"], 1))
            errors += result["errors"]
            if os.path.exists(log):
                os.truncate(log, 0)  # as a rotation would
    return rows, errors


def telemetry(directory, args, upstream, collector):
    """What telemetry at its usual settings adds to a request, also in requests of nginx: a microsecond is another thing on each machine."""
    running, metrics, log = telemetry_proxies(directory, args, upstream, collector)
    rows, errors = telemetry_rounds(running, log, args)
    time.sleep(6)  # the last batch of spans leaves after five seconds
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=10) as answer:
        scrape = answer.read().decode()
    for p in running.values():
        p.stop()
    count = lambda name: sum(float(line.split()[-1]) for line in scrape.splitlines() if line.startswith(name))
    lost = {name: count(name) for name in ("tyrian_trace_spans_dropped_total", "tyrian_access_log_dropped_total")}
    errors += [f"{name} is {value}" for name, value in lost.items() if value]
    if not count("tyrian_trace_spans_exported_total"):
        errors.append("no span reached the collector")
    added = [usual - none for none, usual in zip(rows["none"], rows["usual"])]
    report = {f"cpu_us_{kind}": round(statistics.median(rows[kind]), 2) for kind in TURNS}
    return report | {
        "cpu_us_added": round(statistics.median(added), 2),
        "added_to_nginx": round(statistics.median(more / its for more, its in zip(added, rows["nginx"])), 3),
        "rounds_cpu_us": {kind: [round(us, 2) for us in row] for kind, row in rows.items()},
        "spans_exported": count("tyrian_trace_spans_exported_total"),
        "errors_telemetry": errors,
    }
