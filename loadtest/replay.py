#!/usr/bin/env python3
"""Time of `tyrian replay` over a made-up log, on one core.

Writes a configuration of so many routes, another one that differs in a few, and a log of requests
as the gateway writes it: hosts, paths, headers, cookies, buckets, and the fields that a replay
passes over. Then it replays the log, pinned to one core, and says how long that took, plain and
packed. Ends non-zero if a million lines would take longer than ten seconds.

    python3 loadtest/replay.py                        # a million lines, 200 routes
    python3 loadtest/replay.py --lines 100000 --binary target/debug/tyrian --any-time"""
import argparse, gzip, json, os, random, resource, shutil, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS_MAX = 10.0  # for a million lines


def config(routes, changed):
    text = [
        '[services.shop]\ndefault = "v1"\nversions.v1.endpoints = ["127.0.0.1:1"]',
        'versions.v2.endpoints = ["127.0.0.1:2"]',
        '[colors.canary]\nversions = { shop = "v2" }\nwhen = [{ header = { x-group = "beta" } }]',
        '[colors.next]\nversions = { shop = "v2" }',
        f'share = {{ percent = "{10 if changed else 5}%", sticky = "cookie:uid" }}',
    ]
    for n in range(routes):
        path = f"/api/v{n % 7}/things/*" if n % 3 else f"/api/v{n % 7}/users/{{id}}/orders"
        if changed and n % 50 == 0:
            path = path.replace("/api/", "/api-next/")
        text.append(f'[routes.r{n}]\nmatch = {{ host = "h{n}.example.com", path = "{path}" }}\nservice = "shop"')
    return "\n".join(text) + "\n"


def line(dice, n, routes):
    route = dice.randrange(routes)
    path = f"/api/v{route % 7}/things/{n}" if route % 3 else f"/api/v{route % 7}/users/{n}/orders"
    bucket = dice.randrange(10_000)
    color = "canary" if dice.random() < 0.1 else None
    headers = {"x-group": "beta" if color else "stable"}
    found = {
        "time": "2026-03-01T10:00:00.123Z", "method": dice.choice(["GET", "GET", "GET", "POST"]),
        "host": f"h{route}.example.com", "path": path, "query": "page=2&token=***", "protocol": "HTTP/1.1",
        "status": 200, "client": f"192.0.2.{n % 250}", "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101",
        "listener": "web", "generation": 7, "route": f"r{route}", "service": "shop",
        "version": "v2" if color else "v1", "endpoint": "10.0.0.7:8080", "tries": 1,
        "request_id": f"0198f2c0-{n:012x}", "bytes_in": 0, "bytes_out": 1234, "duration_ms": 12.345,
        "gateway_ms": 0.045, "trusted": True, "headers": headers, "cookies": {"uid": f"u{n % 5000}"}, "bucket": bucket,
    }
    if color:
        found |= {"color_requested": color, "color_served": color}
    return json.dumps(found, separators=(",", ":"))


def replay(binary, core, log, where):
    command = [binary, "replay", log, "--config", f"{where}/new.toml", "--against", f"{where}/old.toml", "-o", "json"]
    if shutil.which("taskset"):
        command = ["taskset", "-c", str(core), *command]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE)
    took = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        sys.exit(f"`tyrian replay` ended with {done.returncode}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, cpu, after.ru_maxrss / 1024, json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.path.join(HERE, "..", "target", "release", "tyrian"))
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--routes", type=int, default=200)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--any-time", action="store_true", help="only say how long it took")
    args = parser.parse_args()
    dice = random.Random(7)
    slow = False
    with tempfile.TemporaryDirectory() as where:
        for name, changed in [("old", False), ("new", True)]:
            with open(f"{where}/{name}.toml", "w") as file:
                file.write(config(args.routes, changed))
        with open(f"{where}/access.log", "w") as file:
            for n in range(args.lines):
                file.write(line(dice, n, args.routes) + "\n")
        with open(f"{where}/access.log", "rb") as plain, gzip.open(f"{where}/access.log.gz", "wb", 6) as packed:
            shutil.copyfileobj(plain, packed)
        for name in ["access.log", "access.log.gz"]:
            size = os.path.getsize(f"{where}/{name}") / 1e6
            took, cpu, memory, report = replay(args.binary, args.core, f"{where}/{name}", where)
            if report["requests"] != args.lines or report["skipped"]:
                sys.exit(f"{report['requests']} requests, {report['skipped']} skipped: the log is not as it should be")
            million = took * 1e6 / args.lines
            slow |= million > SECONDS_MAX
            print(f"{name}: {args.lines} lines, {size:.0f} MB in {took:.2f} s ({cpu:.2f} s CPU, at most {memory:.0f} MiB); "
                  f"a million in {million:.2f} s; {report['changed_percent']:.2f}% change")
    sys.exit(slow and not args.any_time)


if __name__ == "__main__":
    main()
