#!/usr/bin/env python3
"""CPU per request of the gateway and its peers, side by side.

Every proxy has one worker pinned to core 0; wrk and the upstream share core 1. All forward to the
same nginx that answers 64 bytes, keep connections on both sides, and write no access log. Rounds
are interleaved (A B C, then C B A, ...) and the median counts, because machines are noisy; so does the
median of what a proxy took beside the one it is compared with in the same round, which is the ratio.
CPU is what the kernel charged to the proxy's processes during the run, divided by the requests wrk
counted.

    python3 loadtest/run.py            # five rounds of five seconds
    python3 loadtest/run.py --full     # with token, limit, color, breaker and access log
    python3 loadtest/run.py --bodies   # 1 GiB down and up, and what memory grows by
    python3 loadtest/run.py --telemetry  # what log, metrics and traces add to a request
    python3 loadtest/run.py --quick    # one short round, to see that it runs

Traffic goes to 127.0.0.1 only, and only processes started here are ended."""
import argparse, atexit, base64, contextlib, json, multiprocessing, os, platform, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, time, urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    sys.exit(f"nothing listens on {port}: {' '.join(process.args)}")


def tree(pid):
    """The process and all its children."""
    pids, new = [pid], [pid]
    while new:
        found = []
        for parent in new:
            try:
                with open(f"/proc/{parent}/task/{parent}/children") as f:
                    found += [int(p) for p in f.read().split()]
            except OSError:
                pass
        pids, new = pids + found, found
    return pids


def cpu_seconds(pid):
    total = 0
    for p in tree(pid):
        try:
            with open(f"/proc/{p}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total / TICK


def resident_mib(pid):
    total = 0
    for p in tree(pid):
        try:
            with open(f"/proc/{p}/status") as f:
                total += int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
        except (OSError, AttributeError):
            pass
    return round(total / 1024, 1)


class Proxy:
    def __init__(self, name, core, command, port, version):
        self.name, self.port, self.version = name, port, version
        self.process = subprocess.Popen(["taskset", "-c", str(core)] + command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self.stop)  # also when a run fails half way
        wait_for(port, self.process)

    def stop(self):
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def write(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def version(command):
    out = subprocess.run(command, capture_output=True, text=True)
    return (out.stdout + out.stderr).strip().splitlines()[0]


def nginx(directory, name, body):
    text = f"""worker_processes 1; daemon off; master_process off; pid {directory}/{name}.pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {directory}/b; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
{body} }}"""
    return ["nginx", "-p", directory, "-c", write(directory, name + ".conf", text)]


def answering(directory, more=""):
    """The upstream of all: an nginx that answers 64 bytes, and what else it shall serve."""
    port = free_port()
    body = f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{'x' * 64}'; }} }} {more}"
    return Proxy("upstream", 1, nginx(directory, "upstream", body), port, "")


def haproxy_head(port, settings="", defaults=""):
    """Everything up to what the frontend does with a request."""
    return f"""global
  nbthread 1
  {settings}
defaults
  mode http
  {defaults}
  timeout client 30s
  timeout server 30s
  timeout connect 5s
frontend f
  bind 127.0.0.1:{port}
  http-request set-header X-Request-Id %[uuid()]
  option forwardfor"""


def plain_nginx(directory, upstream):
    """The proxy that costs of others are held against."""
    port = free_port()
    body = f"""upstream u {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Request-Id $request_id; }} }}"""
    return "nginx", nginx(directory, "peer", body), port, version(["nginx", "-v"])


def peers(directory, upstream, binary, routes, envoy):
    found = [plain_nginx(directory, upstream)]
    if shutil.which("haproxy"):
        port = free_port()
        text = haproxy_head(port) + f"""
  default_backend b
backend b
  http-reuse always
  server s 127.0.0.1:{upstream}
"""
        found.append(("haproxy", ["haproxy", "-db", "-f", write(directory, "haproxy.cfg", text)], port, version(["haproxy", "-v"])))
    if envoy := envoy or shutil.which("envoy"):
        port = free_port()
        text = f"""static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: s
          use_remote_address: true
          route_config: {{ virtual_hosts: [ {{ name: all, domains: ["*"], routes: [ {{ match: {{ prefix: "/" }}, route: {{ cluster: u }} }} ] }} ] }}
          http_filters: [ {{ name: envoy.filters.http.router, typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }} }} ]
  clusters:
  - name: u
    type: STATIC
    load_assignment: {{ cluster_name: u, endpoints: [ {{ lb_endpoints: [ {{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {upstream} }} }} }} }} ] }} ] }}
"""
        found.append(("envoy", [envoy, "--concurrency", "1", "-c", write(directory, "envoy.yaml", text), "-l", "off"], port, version([envoy, "--version"])))
    port, admin, metrics = free_port(), free_port(), free_port()
    config = tyrian_config(directory, port, admin, metrics, upstream, routes)
    command = [binary, "run", "-c", config, "--state", os.path.join(directory, "state")]
    found.append(("tyrian", command, port, version([binary, "version"])))
    return found, admin, config


def tyrian_config(directory, port, admin, metrics, upstream, routes, extra="", service="", route="", log="off"):
    text = f"""[server]
threads = 1
[listeners.web]
bind = "127.0.0.1:{port}"
[admin]
bind = "127.0.0.1:{admin}"
metrics = "127.0.0.1:{metrics}"
[services.up]
default = "v1"
{service}
versions.v1.endpoints = ["127.0.0.1:{upstream}"]
versions.v2.endpoints = ["127.0.0.1:{upstream}"]
[colors.canary]
when = [{{ header = {{ x-group = "beta" }} }}]
versions = {{ up = "v2" }}
[routes.all]
match = {{ path = "/*" }}
service = "up"
{route}
[telemetry]
access_log = {{ path = "{log}" }}
{extra}
"""
    for i in range(routes):
        text += f'[routes.r{i}]\nmatch = {{ host = "h{i // 10}.example.com", path = "/api/{i}/*" }}\nservice = "up"\n'
    return write(directory, "tyrian.toml", text)


def signed_token(directory):
    """An RS256 token, its public key as PEM and as JWKS, by the openssl tool."""
    key, pub = os.path.join(directory, "key.pem"), os.path.join(directory, "pub.pem")
    run = lambda *command, **kw: subprocess.run(command, capture_output=True, check=True, **kw).stdout
    run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    run("openssl", "pkey", "-in", key, "-pubout", "-out", pub)
    modulus = run("openssl", "rsa", "-in", key, "-noout", "-modulus", text=True).strip().split("=")[1]
    b64 = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    jwks = {"keys": [{"kty": "RSA", "kid": "k", "alg": "RS256", "n": b64(bytes.fromhex(modulus)), "e": "AQAB"}]}
    claims = {"iss": "https://id.example.com/", "aud": "shop", "sub": "alice", "exp": int(time.time()) + 3600, "scope": "shop:read", "email": "alice@example.com"}
    message = b64(json.dumps({"alg": "RS256", "kid": "k", "typ": "JWT"}).encode()) + "." + b64(json.dumps(claims).encode())
    signature = run("openssl", "dgst", "-sha256", "-sign", key, input=message.encode())
    return message + "." + b64(signature), pub, write(directory, "jwks.json", json.dumps(jwks))


def policies(jwks):
    """What the gateway's whole job adds to its file."""
    return f"""[jwt.users]
issuer = "https://id.example.com/"
audience = ["shop"]
algorithms = ["RS256"]
keys = {{ jwks_file = "{jwks}" }}
forward = {{ sub = "x-user-id" }}
[limits.per-user]
rate = "10000000/s"
key = "jwt:sub"
[breakers.b]
trip = {{ error_rate = "50%" }}
"""


def full_job(directory, upstream, binary):
    """Token, limit by claim, color, breaker or its like, request id, access log: everything at once."""
    token, pub, jwks = signed_token(directory)
    found = []
    if shutil.which("haproxy"):
        port = free_port()
        text = haproxy_head(port, "log stdout format raw local0", "log global\n  option httplog") + f"""
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request deny deny_status 401 unless {{ var(txn.alg) -m str RS256 }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_payload_query('$.iss') -m str https://id.example.com/ }}
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,"{pub}") -m int 1 }}
  http-request set-var(txn.sub) var(txn.bearer),jwt_payload_query('$.sub')
  http-request set-header X-User-Id %[var(txn.sub)]
  stick-table type string len 64 size 100k expire 60s store http_req_rate(1s)
  http-request track-sc0 var(txn.sub)
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 10000000 }}
  use_backend v2 if {{ req.hdr(x-group) beta }}
  default_backend v1
backend v1
  http-reuse always
  server s 127.0.0.1:{upstream} check observe layer7 error-limit 50 on-error mark-down
backend v2
  http-reuse always
  server s 127.0.0.1:{upstream} check observe layer7 error-limit 50 on-error mark-down
"""
        found.append(("haproxy", ["haproxy", "-db", "-f", write(directory, "full.cfg", text)], port, version(["haproxy", "-v"])))
    port = free_port()
    config = tyrian_config(directory, port, free_port(), free_port(), upstream, 0, policies(jwks), 'breaker = "b"', 'auth = "users"\nlimits = ["per-user"]', "-")
    command = [binary, "run", "-c", config, "--state", os.path.join(directory, "state")]
    found.append(("tyrian", command, port, version([binary, "version"])))
    return found, ["-H", f"Authorization: Bearer {token}", "-H", "x-group: beta"]


def load(port, seconds, headers=()):
    out = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", *headers, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, timeout=seconds + 30).stdout
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    errors = re.findall(r"(?:Non-2xx or 3xx responses|Socket errors): .*", out)
    return {"requests": requests, "per_second": round(requests / seconds), "p50_ms": percentile(out, 50), "p99_ms": percentile(out, 99), "errors": errors}


def percentile(out, which):
    value, unit = re.search(rf"{which}%\s+([\d.]+)(us|ms|s)\b", out).groups()
    return round(float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit], 3)


def bare(directory, args, upstream):
    headers = []
    if args.full:
        found, headers = full_job(directory, upstream, args.bin)
    else:
        found, _, _ = peers(directory, upstream, args.bin, args.routes, args.envoy)
    running = [Proxy(name, 0, command, port, v) for name, command, port, v in found]
    rows = {p.name: [] for p in running}
    for p in running:
        load(p.port, 1, headers)
    for number in range(args.rounds):
        for p in running[:: -1 if number % 2 else 1]:  # a machine that drifts is fair to all
            before = cpu_seconds(p.process.pid)
            result = load(p.port, args.seconds, headers)
            used = cpu_seconds(p.process.pid) - before
            result["cpu_us"] = used * 1e6 / max(result["requests"], 1)
            rows[p.name].append(result)
    report = {}
    for p in running:
        report[p.name] = {
            "version": p.version,
            "cpu_us_per_request": round(statistics.median(r["cpu_us"] for r in rows[p.name]), 2),
            "requests_per_second": round(statistics.median(r["per_second"] for r in rows[p.name])),
            "p50_ms": statistics.median(r["p50_ms"] for r in rows[p.name]),
            "p99_ms": statistics.median(r["p99_ms"] for r in rows[p.name]),
            "errors": sum((r["errors"] for r in rows[p.name]), []),
            "rounds_cpu_us": [round(r["cpu_us"], 2) for r in rows[p.name]],
            "resident_mib": resident_mib(p.process.pid),
        }
        p.stop()
    return report


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
    """How long a reload of 10,000 routes takes, and what the memory is with 1,000."""
    port, admin, metrics = free_port(), free_port(), free_port()
    report = {}
    for routes in (1_000, 10_000):
        config = tyrian_config(directory, port, admin, metrics, upstream, routes)
        began = time.time()
        proxy = Proxy("tyrian", 0, [args.bin, "run", "-c", config, "--state", os.path.join(directory, "state")], port, "")
        report[f"ready_s_{routes}_routes"] = round(time.time() - began, 2)
        load(port, 2)
        report[f"resident_mib_{routes}_routes"] = resident_mib(proxy.process.pid)
        quiet = load(port, 3)["p99_ms"]
        with open(os.path.join(directory, "state", "admin.token")) as f:
            token = f.read().strip()
        quiet_took = [reload(directory, port, admin, metrics, upstream, routes, token, i) for i in range(3)]
        report[f"reload_ms_quiet_{routes}_routes"] = round(statistics.median(quiet_took), 1)
        took = []
        loader = subprocess.Popen(["taskset", "-c", "1", "wrk", "-t1", "-c16", "-d8s", "--latency", f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True)
        for i in range(5):
            took.append(reload(directory, port, admin, metrics, upstream, routes, token, i + 10))
            time.sleep(0.5)
        out = loader.communicate()[0]
        report[f"reload_ms_{routes}_routes"] = round(statistics.median(took), 1)
        report[f"p99_ms_quiet_{routes}_routes"] = quiet
        report[f"p99_ms_reloading_{routes}_routes"] = percentile(out, 99)
        report[f"errors_{routes}_routes"] = re.findall(r"(?:Non-2xx or 3xx responses|Socket errors): .*", out)
        proxy.stop()
    return report


GIB = 1 << 30


def transfer(proxy, path, upload=None):
    """Seconds of CPU and the largest growth of memory, in MiB, while one big body goes through."""
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{size_upload}", f"http://127.0.0.1:{proxy.port}{path}"]
    if upload:
        command[1:1] = ["-T", upload, "-H", "Expect:"]
    cpu, quiet, most = cpu_seconds(proxy.process.pid), resident_mib(proxy.process.pid), 0
    curl = subprocess.Popen(["taskset", "-c", "1"] + command, stdout=subprocess.PIPE, text=True)
    while curl.poll() is None:
        most = max(most, resident_mib(proxy.process.pid))
        time.sleep(0.02)
    status, down, up = curl.stdout.read().split()
    moved = int(up if upload else down)
    whole = status == "200" and moved == GIB
    return cpu_seconds(proxy.process.pid) - cpu, max(most - quiet, 0), whole


def files(listening, big):
    """An upstream that sends a file to whoever asks, and takes what it is sent."""
    buffer = bytearray(1 << 20)
    while True:
        connection, _ = listening.accept()
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := connection.recv(65536)):
                break
            head += more
        fields, _, body = head.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in fields.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        left = length - len(body)
        while left > 0 and (read := connection.recv_into(buffer)):
            left -= read
        answer = 0 if length else GIB
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % answer)
        if answer:
            with open(big, "rb") as f, contextlib.suppress(OSError):
                connection.sendfile(f)
        connection.close()


def bodies(directory, args):
    """1 GiB down and up through each proxy, in turns."""
    big = os.path.join(directory, "big")
    with open(big, "wb") as f:
        f.truncate(GIB)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    upstream = multiprocessing.get_context("fork").Process(target=files, args=(listening, big), daemon=True)
    upstream.start()
    os.sched_setaffinity(upstream.pid, {1})
    found, _, _ = peers(directory, port, args.bin, 0, args.envoy)
    running = [Proxy(name, 0, command, own, version) for name, command, own, version in found if name != "nginx"]
    rows = {p.name: {"down": [], "up": [], "grown": 0, "errors": 0} for p in running}
    for _ in range(args.rounds):
        for p in running:
            for way, path, upload in (("down", "/big", None), ("up", "/up", big)):
                cpu, grown, whole = transfer(p, path, upload)
                row = rows[p.name]
                row[way].append(cpu)
                row["grown"] = max(row["grown"], grown)
                row["errors"] += not whole
    for p in running:
        p.stop()
    upstream.kill()
    report = {}
    for p in running:
        row = rows[p.name]
        report[p.name] = {
            "version": p.version,
            "down_gib_per_cpu_second": round(1 / statistics.median(row["down"]), 2),
            "up_gib_per_cpu_second": round(1 / statistics.median(row["up"]), 2),
            "grown_mib": round(row["grown"], 1),
            "errors": row["errors"],
        }
    return report


def telemetry(directory, args, upstream, collector):
    """What telemetry at its usual settings adds to a request: two gateways that differ in nothing else, in turns; and what nginx takes for one, since a microsecond is another thing on each machine."""
    log = os.path.join(directory, "access.log")
    traces = f'traces = {{ sample = "5%", otlp = "http://127.0.0.1:{collector}" }}'
    kinds = {"none": ("off", ""), "usual": (log, traces)}
    running, scrapes = {}, {}
    for kind, (path, extra) in kinds.items():
        own = os.path.join(directory, kind)
        os.mkdir(own)
        port, scrapes[kind] = free_port(), free_port()
        config = tyrian_config(own, port, free_port(), scrapes[kind], upstream, args.routes, extra, log=path)
        running[kind] = Proxy(kind, 0, [args.bin, "run", "-c", config, "--state", os.path.join(own, "state")], port, "")
    command, port = plain_nginx(directory, upstream)[1:3]
    running["nginx"] = Proxy("nginx", 0, command, port, "")
    turns = ["none", "nginx", "usual"]  # so that the two gateways are first equally often
    rows = {kind: [] for kind in turns}
    errors = []
    for p in running.values():
        load(p.port, 1)
    for number in range(args.rounds):
        for kind in turns[:: -1 if number % 2 else 1]:  # whoever is first has the colder machine
            p = running[kind]
            before = cpu_seconds(p.process.pid)
            result = load(p.port, args.seconds)
            rows[kind].append((cpu_seconds(p.process.pid) - before) * 1e6 / max(result["requests"], 1))
            errors += result["errors"]
            if os.path.exists(log):
                os.truncate(log, 0)  # as a rotation would
    time.sleep(6)  # the last batch of spans leaves after five seconds
    with urllib.request.urlopen(f"http://127.0.0.1:{scrapes['usual']}/metrics", timeout=10) as answer:
        scrape = answer.read().decode()
    for p in running.values():
        p.stop()
    count = lambda name: sum(float(line.split()[-1]) for line in scrape.splitlines() if line.startswith(name))
    lost = {name: count(name) for name in ("tyrian_trace_spans_dropped_total", "tyrian_access_log_dropped_total")}
    errors += [f"{name} is {value}" for name, value in lost.items() if value]
    if not count("tyrian_trace_spans_exported_total"):
        errors.append("no span reached the collector")
    added = [usual - none for none, usual in zip(rows["none"], rows["usual"])]
    return {
        "cpu_us_none": round(statistics.median(rows["none"]), 2),
        "cpu_us_usual": round(statistics.median(rows["usual"]), 2),
        "cpu_us_added": round(statistics.median(added), 2),
        "cpu_us_nginx": round(statistics.median(rows["nginx"]), 2),
        "added_to_nginx": round(statistics.median(more / its for more, its in zip(added, rows["nginx"])), 3),
        "rounds_cpu_us": {kind: [round(us, 2) for us in row] for kind, row in rows.items()},
        "spans_exported": count("tyrian_trace_spans_exported_total"),
        "errors_telemetry": errors,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=os.path.join(HERE, "../target/release/tyrian"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--routes", type=int, default=0, help="further routes in the gateway's table")
    parser.add_argument("--envoy", help="an Envoy binary that is not on the PATH")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true", help="the whole job instead: token, limit by claim, color, breaker, log")
    parser.add_argument("--reload", action="store_true", help="time reloads instead")
    parser.add_argument("--bodies", action="store_true", help="1 GiB down and up instead")
    parser.add_argument("--telemetry", action="store_true", help="what log, metrics and traces add instead")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 1, 1
    for tool in ("wrk", "nginx", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: apt-get install wrk nginx-light haproxy util-linux")
    with tempfile.TemporaryDirectory() as directory:
        collector = free_port()
        # Bodies have an upstream of their own.
        upstream = None if args.bodies else answering(directory, f"server {{ listen 127.0.0.1:{collector}; client_max_body_size 64m; location / {{ return 200; }} }}")
        try:
            if args.bodies:
                report = bodies(directory, args)
            elif args.telemetry:
                report = telemetry(directory, args, upstream.port, collector)
            else:
                report = (reload_time if args.reload else bare)(directory, args, upstream.port)
        finally:
            if upstream:
                upstream.stop()
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    print(f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.release()}")
    if args.reload or args.telemetry:
        for key, value in report.items():
            if not isinstance(value, dict):
                print(f"{key:<32} {value}")
    elif args.bodies:
        print(f"{'':<10}{'GiB/CPU s down':>16}{'up':>8}{'MiB more':>10}")
        for name, row in report.items():
            print(f"{name:<10}{row['down_gib_per_cpu_second']:>16}{row['up_gib_per_cpu_second']:>8}{row['grown_mib']:>10}")
    else:
        base = report.get("haproxy" if args.full else "nginx", {}).get("rounds_cpu_us")
        print(f"{'':<10}{'CPU µs/req':>12}{'ratio':>8}{'req/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'MiB':>8}")
        for name, row in report.items():
            ratio = f"{statistics.median(own / its for own, its in zip(row['rounds_cpu_us'], base)):.2f}" if base else ""
            print(f"{name:<10}{row['cpu_us_per_request']:>12}{ratio:>8}{row['requests_per_second']:>10}{row['p50_ms']:>9}{row['p99_ms']:>9}{row['resident_mib']:>8}")
    results = os.path.join(HERE, "results")
    os.makedirs(results, exist_ok=True)
    path = os.path.join(results, time.strftime("%Y%m%dT%H%M%S") + ".json")
    with open(path, "w") as f:
        json.dump({"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(), "arguments": vars(args) | {"bin": "", "envoy": bool(args.envoy)}, "report": report}, f, indent=2)
    failed = {name: row["errors"] for name, row in report.items() if isinstance(row, dict) and row.get("errors")}
    if failed := failed or {key: value for key, value in report.items() if key.startswith("errors_") and value}:
        sys.exit(f"requests failed, so these numbers do not count: {failed}")


if __name__ == "__main__":
    main()
