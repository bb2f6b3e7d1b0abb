#!/usr/bin/env python3
"""The clients of a load test, pinned to the other core. Each returns a row: `count` of what was served,
`seconds`, `errors` as a list of texts, and latencies where the client knows them."""
import json, os, re, subprocess, sys, time

from processes import OTHER_CORE, on

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 30  # seconds that a client may take beyond its time
TLS_CLIENTS = 4  # `openssl s_time` has one connection at a time


def run(command, seconds):
    done = subprocess.run(on(OTHER_CORE, command), capture_output=True, text=True, timeout=seconds + PATIENCE)
    return done.stdout + done.stderr


def number(pattern, out):
    found = re.search(pattern, out)
    return int(found[1]) if found else 0


def percentile(out, which):
    """Milliseconds, of what wrk prints; None if it prints none."""
    if not (found := re.search(rf"{which}%\s+([\d.]+)(us|ms|s)\b", out)):
        return None
    value, unit = found.groups()
    return round(float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit], 3)


def wrk(port, seconds, headers=(), connections=64):
    """HTTP/1.1: each of 64 connections sends its next request when the answer to the last one is there."""
    arguments = [argument for header in headers for argument in ("-H", header)]
    out = run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *arguments, f"http://127.0.0.1:{port}/"], seconds)
    errors = re.findall(r"(?:Non-2xx or 3xx responses|Socket errors): .*", out)
    count = number(r"(\d+) requests in", out)
    errors += [] if count else ["nothing was served"]
    return {"count": count, "seconds": seconds, "errors": errors, "p50_ms": percentile(out, 50), "p99_ms": percentile(out, 99)}


def h2load(port, seconds, path="/", headers=(), data=None):
    """HTTP/2: 100 streams at once on one connection."""
    arguments = [argument for header in headers for argument in ("-H", header)]
    arguments += ["-d", data] if data else []
    out = run(["h2load", "-c1", "-m100", f"-D{seconds}", *arguments, f"http://127.0.0.1:{port}{path}"], seconds)
    count = number(r"(\d+) succeeded", out)
    others = sum(int(n) for n in re.findall(r"(\d+) [345]xx", out))
    errors = [text for text in re.findall(r"\d+ (?:failed|errored|timeout)\b", out) if not text.startswith("0 ")]
    if others or not count:
        errors.append(f"{count} succeeded, {others} answers were not of 2xx")
    return {"count": count, "seconds": seconds, "errors": errors}


def s_time(port, seconds, resumed):
    """TLS 1.3: a handshake, one request for a fixed answer, and the end of the connection, again and again."""
    command = ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]
    command += ["-reuse" if resumed else "-new", "-time", str(seconds), "-www", "/fixed"]
    running = [subprocess.Popen(on(OTHER_CORE, command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(TLS_CLIENTS)]
    began = time.monotonic()
    rows = [handshakes(client, seconds, resumed) for client in running]
    took = time.monotonic() - began
    return {"count": sum(row[0] for row in rows), "seconds": took, "errors": sum((row[1] for row in rows), [])}


def handshakes(client, seconds, resumed):
    """How many of a client's handshakes were of the kind that was asked for, and what went wrong."""
    try:
        out = client.communicate(timeout=seconds + PATIENCE)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        client.kill()
        out = client.communicate()[0].decode(errors="replace")
    # A letter for each handshake stands before the last summary: `*` for a new one, `r` for a resumed one.
    letters = max(re.findall(r"(?m)^[r*]+$", re.sub(r"\d+ connections", r"\n\g<0>", out)) or [""], key=len)
    wanted = letters.count("r" if resumed else "*")
    errors = [] if wanted and wanted == len(letters) else [f"{len(letters) - wanted} of {len(letters)} handshakes were of the other kind"]
    lengths = re.findall(r"real seconds, (\d+) bytes read", out)
    return wanted, errors + ([] if lengths and int(lengths[-1]) > 0 else ["no answer was read"])


def curl(port, path, upload, size):
    """One body down, or up from the file `upload`."""
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{size_upload}", "--max-time", "300"]
    command += ["-T", upload, "-H", "Expect:"] if upload else []
    began = time.monotonic()
    out = run([*command, f"http://127.0.0.1:{port}{path}"], 300).split()
    took = time.monotonic() - began
    whole = len(out) == 3 and out[0] == "200" and int(out[2 if upload else 1]) == size
    return {"count": size / (1 << 30), "seconds": took, "errors": [] if whole else [" ".join(out)]}


def pace(port, seconds, rate, headers=()):
    """HTTP/1.1 at a fixed rate, by `pace.py`."""
    command = [sys.executable, os.path.join(HERE, "pace.py"), str(port), str(rate), str(seconds), *headers]
    out = run(command, seconds)
    try:
        return json.loads(out)
    except ValueError:
        last = (out.strip().splitlines() or ["no output"])[-1]
        return {"count": 0, "seconds": seconds, "errors": [last], "p50_ms": None, "p99_ms": None, "late_p99_ms": None}
