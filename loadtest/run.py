#!/usr/bin/env python3
"""CPU of the gateway and its peers for the same work, side by side.

    python3 loadtest/run.py --all          # each job beside the peers, and a picture: some 15 minutes
    python3 loadtest/run.py                # plain proxying alone: five rounds of five seconds
    python3 loadtest/run.py --full --http2 # these jobs alone
    python3 loadtest/run.py --telemetry    # what log, metrics and traces add to a request
    python3 loadtest/run.py --reload       # time of a reload
    python3 loadtest/run.py --all --quick  # one short round of each, to see that it runs

`jobs.py` says how a job is measured, README.md what each figure means. Traffic goes to 127.0.0.1 only,
and only processes started here are ended."""
import argparse, json, os, platform, shutil, signal, subprocess, sys, tempfile, time

import alone, picture
from jobs import measure, prepare
from peers import DEFAULT_HOME, binaries
from processes import free_port, load_average, version
from upstream import nginx_upstream

HERE = os.path.dirname(os.path.abspath(__file__))
PICTURE = os.path.join(HERE, "peers.svg")
QUIET = 0.5  # load average up to which a machine is quiet
TOOLS = {"wrk": "wrk", "nginx": "nginx-light", "taskset": "util-linux", "openssl": "openssl", "curl": "curl", "h2load": "nghttp2-client", "nghttp": "nghttp2-client"}
GROUPS = {"tls": ("tls-new", "tls-resumed"), "bodies": ("down", "up")}  # flags that stand for two jobs
HELP = {
    "bare": "plain proxying over HTTP/1.1; what runs if nothing is chosen",
    "full": "the whole job: token, limit by claim, color, breaker",
    "http2": "HTTP/2 from clients, HTTP/1.1 to the upstream",
    "grpc": "unary gRPC calls",
    "tls": "TLS 1.3: new handshakes and resumed ones",
    "bodies": "1 GiB down and up, with the most memory it took",
    "rate": "p99 that is added at half the peak",
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=os.path.join(HERE, "../target/release/tyrian"))
    parser.add_argument("--label", default="", help="what the binary is, for the picture, such as `guided build`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--routes", type=int, default=0, help="further routes in the gateway's table")
    parser.add_argument("--rps", type=int, default=0, help="requests a second of `rate`; half of the slowest one's peak if not given")
    parser.add_argument("--peers", default=DEFAULT_HOME, help=f"the virtual environment with Envoy and HAProxy ({DEFAULT_HOME})")
    parser.add_argument("--no-install", action="store_true", help="take peers that are there, install none")
    parser.add_argument("--envoy", help="another Envoy binary")
    parser.add_argument("--quick", action="store_true", help="one round of a second, small bodies: no figures, only a check")
    parser.add_argument("--all", action="store_true", help="each job that has peers, and the picture")
    for name, text in HELP.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument("--reload", action="store_true", help="time reloads instead")
    parser.add_argument("--telemetry", action="store_true", help="what log, metrics and traces add instead")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 1, 1
    return args


def chosen(args):
    flags = [name for name in HELP if args.all or getattr(args, name)] or ["bare"]
    return [job for name in flags for job in GROUPS.get(name, (name,))]


def machine():
    with open("/proc/cpuinfo") as f:
        cpu = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown")
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": f"{platform.system()} {platform.release()}"}


def cell(value):
    return "-" if value is None else str(value)


def table(name, part):
    """One job's figures, as text."""
    notes = f", bodies of {part['size_mib']} MiB" if "size_mib" in part else ""
    notes += f", {part['rate']} requests a second, p99 of the upstream alone {part['direct_p99_ms']} ms" if "rate" in part else ""
    print(f"\n{name}: {part['title']}; {part['unit']}, {'more' if part['more_is_better'] else 'less'} is better{notes}")
    extras = {"p50_ms": "p50 ms", "p99_ms": "p99 ms", "late_p99_ms": "late p99", "resident_mib": "MiB", "peak_mib": "peak MiB", "grown_mib": "grown MiB"}
    shown = [key for key in extras if any(key in row for row in part["proxies"].values())]
    unit, scale = ("ms", 1e3) if part["item"] == "GiB" else ("µs", 1)
    heads = ["figure", f"user {unit}", f"system {unit}", "to nginx", f"to {part['best_peer'] or 'best'}", "per second", *(extras[key] for key in shown)]
    print(" " * 10 + "".join(f"{head:>12}" for head in heads))
    for who, row in part["proxies"].items():
        values = [row["figure"], *(round(row[key] / scale, 2) for key in ("user_us", "system_us"))]
        values += [row[key] for key in ("to_nginx", "to_best", "per_second", *shown)]
        print(f"{who:<10}" + "".join(f"{cell(value):>12}" for value in values))


def failures(report):
    """What failed, by job and proxy."""
    found = {}
    for name, part in report.items():
        if not isinstance(part, dict):
            found |= {name: part} if name.startswith("errors_") and part else {}
        elif part.get("errors"):
            found[name] = part["errors"]
        else:
            found |= {f"{name}, {who}": row["errors"] for who, row in part.get("proxies", {}).items() if row["errors"]}
    return found


def run_jobs(directory, args, upstream):
    found = binaries(args.peers, not args.no_install, args.envoy)
    setting = prepare(directory, args, found, upstream)
    report = {}
    try:
        for name in chosen(args):
            try:
                report[name] = measure(name, setting, args, upstream)
            except (OSError, subprocess.SubprocessError) as error:  # the other jobs still count
                report[name] = {"errors": [repr(error)]}
            if "proxies" in report[name]:
                table(name, report[name])
    finally:
        setting.stop()
    return report


def run(directory, args):
    """The report of what was asked for."""
    collector = free_port()
    spans = f"server {{ listen 127.0.0.1:{collector}; client_max_body_size 64m; location / {{ return 200; }} }}"
    upstream = nginx_upstream(directory, spans)
    try:
        if not (args.reload or args.telemetry):
            return run_jobs(directory, args, upstream)
        report = alone.reload_time(directory, args, upstream.port) if args.reload else alone.telemetry(directory, args, upstream.port, collector)
        for key, value in report.items():
            if not isinstance(value, dict):
                print(f"{key:<32} {value}")
        return report
    finally:
        upstream.stop()


def keep(args, report, quiet):
    """Writes the raw figures, and the picture beside them; the one in the repository only if it may be believed."""
    results = os.path.join(HERE, "results")
    os.makedirs(results, exist_ok=True)
    base = os.path.join(results, time.strftime("%Y%m%dT%H%M%S"))
    private = {"bin": os.path.basename(args.bin), "envoy": bool(args.envoy), "peers": ""}
    binary = f"{version([args.bin, 'version'])}{', ' + args.label if args.label else ''}"
    raw = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "binary": binary, "load_average": quiet}
    raw |= {"arguments": vars(args) | private, "report": report}
    with open(base + ".json", "w") as f:
        json.dump(raw, f, indent=2)
    print(f"\nraw figures: {base}.json")
    if not any("proxies" in part for part in report.values() if isinstance(part, dict)):
        return
    picture.draw(raw, base + ".svg")
    print(f"picture: {base}.svg")
    if args.all and not args.quick and not failures(report):
        if quiet < QUIET:
            shutil.copy(base + ".svg", PICTURE)
            print(f"picture: {PICTURE}")
        else:
            print(f"the load average was {quiet:.2f} at the start: {PICTURE} stays as it is")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    args = arguments()
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        sys.exit(f"{', '.join(missing)} missing: apt-get install {' '.join(sorted({TOOLS[tool] for tool in missing}))}")
    if not os.access(args.bin, os.X_OK):
        sys.exit(f"{args.bin} is not there: cargo build --release, or --bin PATH")
    quiet, about = load_average(), machine()
    print(f"{about['cpu']}, {about['cores']} cores, {about['kernel']}, load average {quiet:.2f}")
    with tempfile.TemporaryDirectory() as directory:
        report = run(directory, args)
    keep(args, report, quiet)
    if failed := failures(report):
        print("\nrequests failed, or the proxies do not do the same work, so these numbers do not count:", file=sys.stderr)
        for where, errors in failed.items():
            print(f"  {where}: {'; '.join(str(error) for error in errors)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
