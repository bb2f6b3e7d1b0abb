#!/usr/bin/env python3
"""Envoy's configuration for each job, as JSON."""
import json

from gateway import LIMIT, first_upstream
from keys import AUDIENCE, ISSUER
from processes import free_port, version, write

TYPES = "type.googleapis.com/envoy.extensions"
HTTP = f"{TYPES}.filters.http"
ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
UNREACHED = 4_000_000_000  # of the filter's own bucket, which counts nothing here


def bucket(rate):
    return {"max_tokens": rate, "tokens_per_fill": rate, "fill_interval": "1s"}


def authentication(jwks):
    """Verifies the token, with Envoy's cache of tokens that were good; sends its `sub` upstream."""
    provider = {
        "issuer": ISSUER, "audiences": [AUDIENCE], "local_jwks": {"filename": jwks}, "jwt_cache_config": {"jwt_cache_size": 1000},
        "claim_to_headers": [{"header_name": "x-user-id", "claim_name": "sub"}],
    }
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "users"}}
    return {
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {"@type": f"{HTTP}.jwt_authn.v3.JwtAuthentication", "providers": {"users": provider}, "rules": [rule]},
    }


def limit_by_user(limit):
    """A bucket for each value of the header that `authentication` has set from the claim."""
    action = {"request_headers": {"header_name": "x-user-id", "descriptor_key": "user"}}
    return {
        "name": "envoy.filters.http.local_ratelimit",
        "typed_config": {
            "@type": f"{HTTP}.local_ratelimit.v3.LocalRateLimit", "stat_prefix": "limit",
            "filter_enabled": ALWAYS, "filter_enforced": ALWAYS,
            "token_bucket": bucket(UNREACHED), "always_consume_default_token_bucket": False,
            "rate_limits": [{"actions": [action]}],
            "descriptors": [{"entries": [{"key": "user"}], "token_bucket": bucket(limit)}],
        },
    }


def filters(job, setting, limit):
    router = {"@type": f"{HTTP}.router.v3.Router", "suppress_envoy_headers": True}
    policies = [authentication(setting.issuer.jwks), limit_by_user(limit)] if job == "full" else []
    return [*policies, {"name": "envoy.filters.http.router", "typed_config": router}]


def routes(job):
    """Everything to v1, without a limit of time, as with the others; color beta to v2."""
    to = lambda cluster: {"cluster": cluster, "timeout": "0s"}
    if job == "tls":
        return [{"match": {"path": "/fixed"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}]
    beta = {"prefix": "/", "headers": [{"name": "x-group", "string_match": {"exact": "beta"}}]}
    color = [{"match": beta, "route": to("v2")}] if job == "full" else []
    return [*color, {"match": {"prefix": "/"}, "route": to("v1")}]


def cluster(name, port, job):
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    found = {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": endpoints}}
    if job == "full":
        found["outlier_detection"] = {"consecutive_5xx": 50}
    if job == "grpc":
        kind = f"{TYPES}.upstreams.http.v3.HttpProtocolOptions"
        options = {"@type": kind, "explicit_http_config": {"http2_protocol_options": {}}}
        found["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
    return found


def tls(setting):
    context = {
        "@type": f"{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{"certificate_chain": {"filename": setting.cert}, "private_key": {"filename": setting.key}}],
        },
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def listener(port, job, setting, limit):
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web", "use_remote_address": True, "always_set_request_id_in_response": True,
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes(job)}]},
        "http_filters": filters(job, setting, limit),
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if job == "tls":
        chain["transport_socket"] = tls(setting)
        manager["delayed_close_timeout"] = "0s"  # close after the answer, as the others do, not a second later
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": [chain]}


def envoy(setting, job, limit=LIMIT):
    """Envoy for a job: name, command, port, version."""
    port = free_port()
    resources = {
        "listeners": [listener(port, job, setting, limit)],
        "clusters": [cluster("v1", first_upstream(setting, job), job), cluster("v2", setting.v2, job)],
    }
    config = write(setting.directory, "envoy.json", json.dumps({"static_resources": resources}))
    command = [setting.envoy, "--concurrency", "1", "--disable-hot-restart", "-l", "off", "-c", config]
    long = version([setting.envoy, "--version"])  # `PATH  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`
    return "envoy", command, port, "Envoy " + (long.split("/")[-4] if long.count("/") >= 4 else long)
