#!/usr/bin/env python3
"""The jobs that the gateway is measured at beside its peers, and how a job is run.

Every proxy has one worker pinned to core 0; clients and upstreams share core 1. Rounds are interleaved
(A B C, then C B A, ...) and the median counts, because machines are noisy; so does the median of what a
proxy took beside another one in the same round, which is the ratio. CPU is what the kernel charged to the
proxy's processes during the run, divided by what the client counted."""
import dataclasses, os, statistics, types

import clients, proof
from keys import Issuer, certificate
from peers import proxies
from processes import PROXY_CORE, Proxy, cpu, forget_peak, peak_mib, resident_mib
from upstream import CALL, GIB, MESSAGE, Bodies

PEAK_SECONDS = 2
GRPC = ["content-type: application/grpc", "te: trailers"]


@dataclasses.dataclass
class Job:
    """A job: the work that the proxies are configured for, and the client that asks for it."""

    title: str
    work: str  # which configuration, which proof
    item: str  # what is counted
    client: object  # (proxy, setting, seconds) -> a row
    per_second: bool = False  # whether the figure is items per CPU second (more is better), not CPU µs per item

    @property
    def unit(self):
        if self.work == "rate":
            return "ms added at p99"
        many = self.item if self.item == "GiB" else self.item + "s"
        return f"{many} per CPU second" if self.per_second else f"CPU µs per {self.item}"


def with_token(setting):
    return [f"Authorization: Bearer {setting.token}", "x-group: beta"]


def body(proxy, setting, upload):
    """One large body, and how far the proxy's memory went."""
    before = resident_mib(proxy.pid)
    forget_peak(proxy.pid)
    row = clients.curl(proxy.port, "/up" if upload else "/down", upload, setting.size)
    peak = peak_mib(proxy.pid)
    return row | {"peak_mib": peak, "grown_mib": round(max(peak - before, 0), 1)}


JOBS = {
    "bare": Job("plain proxying, HTTP/1.1", "bare", "request", lambda p, s, n: clients.wrk(p.port, n)),
    "full": Job("token, limit, color, breaker", "full", "request", lambda p, s, n: clients.wrk(p.port, n, with_token(s))),
    "http2": Job("HTTP/2 in, HTTP/1.1 out", "http2", "request", lambda p, s, n: clients.h2load(p.port, n)),
    "grpc": Job("gRPC unary", "grpc", "call", lambda p, s, n: clients.h2load(p.port, n, CALL, GRPC, s.message)),
    "tls-new": Job("TLS 1.3, new handshakes", "tls", "handshake", lambda p, s, n: clients.s_time(p.port, n, False), True),
    "tls-resumed": Job("TLS 1.3, resumed", "tls", "handshake", lambda p, s, n: clients.s_time(p.port, n, True), True),
    "down": Job("1 GiB body down", "bodies", "GiB", lambda p, s, n: body(p, s, None), True),
    "up": Job("1 GiB body up", "bodies", "GiB", lambda p, s, n: body(p, s, s.bodies_file), True),
    "rate": Job("p99 added at half the peak", "rate", "request", lambda p, s, n: clients.pace(p.port, n, s.rate)),
}


def prepare(directory, args, found, upstream):
    """What all configurations and clients need: ports, paths of binaries, keys, tokens."""
    issuer, (cert, key) = Issuer(directory), certificate(directory)
    message = os.path.join(directory, "message")
    with open(message, "wb") as f:
        f.write(MESSAGE)
    size = GIB >> 4 if args.quick else GIB
    large = Bodies(directory, size)
    return types.SimpleNamespace(
        directory=directory, binary=args.bin, routes=args.routes, haproxy=found["haproxy"], envoy=found["envoy"],
        v1=upstream.port, v2=upstream.second, grpc=upstream.grpc, bodies=large.port, bodies_file=large.file, stop=large.stop,
        size=size, message=message, issuer=issuer, token=issuer.token(), cert=cert, key=key, rate=None,
    )


def turn(job, proxy, setting, seconds):
    """One round of one proxy, with the CPU time that an item took."""
    before = cpu(proxy.pid)
    row = job.client(proxy, setting, seconds)
    after = cpu(proxy.pid)
    items = max(row["count"], 1e-9)
    user, system = ((now - then) * 1e6 / items for now, then in zip(after, before))
    row |= {"user": user, "system": system, "cost": user + system, "per_second": row["count"] / row["seconds"]}
    row["figure"] = 1e6 / row["cost"] if job.per_second and row["cost"] else row["cost"]
    return row


def half_the_peak(running, setting):
    """Half of what the slowest proxy can do, in hundreds of requests a second: the same rate for all."""
    peaks = [row["count"] / row["seconds"] for row in (clients.wrk(p.port, PEAK_SECONDS) for p in running)]
    return max(int(min(peaks) / 2 / 100) * 100, 100)


def rounds(job, running, setting, args):
    rows = {p.name: [] for p in running}
    for number in range(args.rounds):
        for p in running[:: -1 if number % 2 else 1]:  # a machine that drifts is fair to all
            rows[p.name].append(turn(job, p, setting, args.seconds))
    return rows


def added(rows, direct):
    """Turns p99 into what a proxy adds to the p99 of the same round without a proxy."""
    for row, bare in zip(rows, direct):
        row["figure"] = (row["p99_ms"] or 0) - (bare["p99_ms"] or 0)  # none where nothing was served: an error by then


def warmed(job, measured, setting, args):
    """The rows of all rounds, after a second that puts connections, caches and memory in place."""
    for p in measured if job.work != "bodies" else []:
        job.client(p, setting, 1)
    return rounds(job, measured, setting, args)


def at_half_the_peak(job, running, setting, args, upstream):
    """The report of the job at a fixed rate: what each proxy adds to the upstream's own p99."""
    setting.rate = args.rps or half_the_peak(running, setting)
    alone = types.SimpleNamespace(name="direct", port=upstream.port, pid=upstream.pid)
    rows = warmed(job, [alone, *running], setting, args)
    direct = rows.pop("direct")
    for own in rows.values():
        added(own, direct)
    errors = sum((row["errors"] for row in direct), [])
    return summary(job, running, rows) | {"rate": setting.rate, "direct_p99_ms": median(direct, "p99_ms"), "errors": errors}


def measure(name, setting, args, upstream):
    """Runs one job: proof first, then the rounds; returns its part of the report."""
    job = JOBS[name]
    if job.work == "full" and (wrong := proof.limited(setting)):
        return {"errors": wrong}
    running = [Proxy(who, PROXY_CORE, *made) for who, *made in proxies(setting, job.work)]
    try:
        if wrong := proof.complaints(job.work, running, setting):
            return {"errors": wrong}
        if job.work == "rate":
            return at_half_the_peak(job, running, setting, args, upstream)
        report = summary(job, running, warmed(job, running, setting, args))
        return report | ({"size_mib": setting.size >> 20} if job.work == "bodies" else {})
    finally:
        for p in running:
            p.stop()


def median(rows, key, digits=3):
    values = [row[key] for row in rows if row.get(key) is not None]
    return round(statistics.median(values), digits) if values else None


def ratio(job, own, its):
    """The median of what one took beside the other in the same round; None where that says nothing."""
    if job.work == "rate":  # a difference may be next to nothing in a round: of the medians, then
        pairs = [(median(own, "figure"), median(its, "figure"))]
    else:
        pairs = [(a["figure"], b["figure"]) for a, b in zip(own, its)]
    sound = all(a > 0 and b > 0 for a, b in pairs)
    return round(statistics.median(a / b for a, b in pairs), 2) if sound else None


def best_peer(job, rows):
    peers = {name: median(own, "figure") for name, own in rows.items() if name != "tyrian"}
    return (max if job.per_second else min)(peers, key=peers.get) if peers else None


def summary(job, running, rows):
    best = best_peer(job, rows)
    report = {"title": job.title, "unit": job.unit, "item": job.item, "more_is_better": job.per_second, "best_peer": best, "proxies": {}}
    for p in running:
        own = rows[p.name]
        found = {"version": p.version, "figure": median(own, "figure", 2 if job.work != "rate" else 3)}
        found |= {"user_us": median(own, "user", 2), "system_us": median(own, "system", 2)}
        found |= {"to_nginx": ratio(job, own, rows["nginx"]) if "nginx" in rows else None}
        found |= {"to_best": ratio(job, own, rows[best]) if best else None, "per_second": median(own, "per_second", 2)}
        found |= {key: median(own, key) for key in ("p50_ms", "p99_ms", "late_p99_ms") if key in own[0]}
        found["resident_mib"] = resident_mib(p.pid)
        found |= {key: max(row[key] for row in own) for key in ("peak_mib", "grown_mib") if key in own[0]}
        found |= {"errors": sum((row["errors"] for row in own), []), "rounds": own}
        report["proxies"][p.name] = found
    return report
