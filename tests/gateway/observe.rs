//! What is counted and logged, and that hostile clients cannot add to it.

use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;

fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start("v1");
    let text = format!(
        "{}\n[services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/app/*\" }}\nservice = \"app\"\n\
         [routes.ping]\nmatch = {{ path = \"/ping\" }}\nrespond = {{ text = \"ok\" }}\n\
         [telemetry]\naccess_log = {{ skip = [\"ping\"] }}\n",
        listeners(""),
        upstream.address
    );
    let gateway = Gateway::start(&text);
    (upstream, gateway)
}

#[test]
fn metrics_move_with_traffic_and_have_the_names_of_the_contract() {
    let (_upstream, gateway) = start();
    for _ in 0..3 {
        gateway.get("/app/x", "");
    }
    gateway.get("/nothing", "");
    let served = "tyrian_requests_total{route=\"all\",service=\"app\",version=\"v1\",color=\"\",code=\"200\"}";
    gateway.counts(served, 3.0);
    gateway.counts("tyrian_refusals_total{reason=\"no_route\",route=\"\"}", 1.0);
    assert_eq!(gateway.metric("tyrian_config_generation"), Some(1.0));
    let text = gateway.metrics();
    for name in [
        "http_server_request_duration_seconds_bucket{",
        "http_client_request_duration_seconds_bucket{",
        "http_server_active_requests",
        "tyrian_overhead_seconds_bucket{",
        "tyrian_retries_total{service=\"app\"}",
        "tyrian_pool_connections_total{service=\"app\",version=\"v1\",state=\"reused\"}",
        "tyrian_endpoint_healthy{service=\"app\",version=\"v1\",endpoint=",
        "tyrian_config_last_reload_successful 1",
        "tyrian_build_info{version=",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    ] {
        assert!(text.contains(name), "{name} is missing:\n{text}");
    }
}

#[test]
fn connections_to_upstreams_are_counted_as_new_kept_and_stale() {
    let (_upstream, gateway) = start();
    let pool = |state: &str, count: f64| {
        let name = "tyrian_pool_connections_total";
        gateway.counts(
            &format!("{name}{{service=\"app\",version=\"v1\",state=\"{state}\"}}"),
            count,
        );
    };
    // On one connection a request begins when all is done about the one before it.
    let mut connection = gateway.connect();
    for _ in 0..3 {
        let answer = connection.exchange(b"GET /app/x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(answer.status, 200);
    }
    pool("new", 1.0);
    pool("reused", 2.0);
    pool("stale", 0.0);
}

#[test]
fn hostile_clients_add_no_series() {
    let (_upstream, gateway) = start();
    let hostile = |number: usize| {
        let request = format!(
            "M{number} /app/{number} HTTP/1.1\r\nHost: h{number}.example\r\nX-Tyrian-Color: c{number}\r\n\r\n"
        );
        gateway.connect().exchange(request.as_bytes());
        gateway.get(&format!("/app/status/{}", 200 + number % 3), "");
    };
    (0..10).for_each(hostile);
    let before = gateway.metrics().lines().count();
    (10..60).for_each(hostile);
    assert_eq!(gateway.metrics().lines().count(), before);
}

#[test]
fn the_access_log_tells_who_went_where_and_why_not() {
    let (upstream, mut gateway) = start();
    gateway.get("/ping", "");
    gateway.get(
        "/app/x?secret=1",
        "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
    );
    gateway.get("/nothing", "");
    let served = gateway.logged(|line| line["route"] == "all");
    for (key, value) in [
        ("method", "GET"),
        ("host", "a.example"),
        ("path", "/app/x"),
        ("client", "127.0.0.1"),
        ("service", "app"),
        ("version", "v1"),
        ("listener", "web"),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
    ] {
        assert_eq!(served[key], value, "{served}");
    }
    assert_eq!(served["endpoint"], upstream.address.to_string());
    assert_eq!(
        (&served["status"], &served["tries"]),
        (&200.into(), &1.into())
    );
    assert!(served["duration_ms"].as_f64() >= served["upstream_ms"].as_f64());
    assert!(
        !served.to_string().contains("secret"),
        "queries are not logged"
    );
    let refused = gateway.logged(|line| line["reason"] == "no_route");
    assert_eq!(refused["status"], 404);
    assert!(
        gateway
            .access_log()
            .iter()
            .all(|line| line["route"] != "ping")
    );
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_up_traffic() {
    let upstream = Upstream::start("v1");
    let text = format!(
        "{}\n[routes.all]\nmatch = {{ path = \"/*\" }}\nrespond = {{ text = \"ok\" }}\n",
        listeners("")
    );
    let mut gateway = Gateway::start_with(&text, |command| {
        command.stdout(std::process::Stdio::piped());
    });
    // Nobody reads the pipe; once it is full, lines are lost and counted.
    let path = "x".repeat(30_000);
    let mut connection = gateway.connect();
    gateway.wait_for("lost lines", |gateway| {
        for _ in 0..50 {
            let request = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(connection.exchange(request.as_bytes()).status, 200);
        }
        gateway
            .metric("tyrian_access_log_dropped_total")
            .is_some_and(|lost| lost > 0.0)
    });
    drop(upstream);
}

#[test]
fn a_pipe_that_nobody_reads_holds_up_neither_start_nor_reload() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = |name: &str| {
        let path = dir.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        path
    };
    let (first, second) = (fifo("first"), fifo("second"));
    let config = |path: &std::path::Path| {
        format!(
            "{}[routes.all]\nmatch = {{ path = \"/*\" }}\nrespond = {{ text = \"ok\" }}\n\
             [telemetry]\naccess_log = {{ path = {path:?} }}\n",
            listeners("")
        )
    };
    let mut gateway = Gateway::start(&config(&first));
    assert_eq!(gateway.get("/early", "").status, 200);
    gateway.write_config(&config(&second));
    let (status, verdict) = gateway.api("POST", "/v1/config/reload", "");
    assert_eq!(status, 200, "{verdict}");
    assert_eq!(gateway.api("GET", "/v1/status", "").0, 200);
    assert_eq!(gateway.get("/late", "").status, 200);
    // Whoever comes late reads what has waited.
    let mut line = String::new();
    let reader = std::fs::File::open(&second).unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(reader), &mut line).unwrap();
    assert!(line.contains("\"path\":\"/late\""), "{line}");
    gateway.signal("TERM");
    assert!(gateway.wait().success());
}

#[test]
fn a_log_that_loses_lines_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let system = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let mut gateway = Gateway::start(&format!(
        "{}[routes.all]\nmatch = {{ path = \"/*\" }}\nrespond = {{ text = \"ok\" }}\n\
         [telemetry]\naccess_log = {{ path = \"syslog:{}\" }}\n",
        listeners(""),
        path.display()
    ));
    drop(system);
    assert_eq!(gateway.get("/", "").status, 200);
    gateway.wait_for("a word about it", |gateway| {
        gateway.log().contains("lines of the access log are lost")
    });
    let (_, status) = gateway.api("GET", "/v1/status", "");
    let findings = status["findings"].to_string();
    assert!(findings.contains("lines of the access log"), "{findings}");
}

#[test]
fn the_form_of_the_log_changes_with_the_configuration_and_its_lines_go_to_syslog() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("log");
    let system = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    let wait = Some(crate::gateway::PATIENCE);
    system.set_read_timeout(wait).unwrap();
    let config = |log: &str| {
        format!(
            "{}[routes.all]\nmatch = {{ path = \"/app/*\" }}\nrespond = {{ text = \"ok\" }}\n\
             [telemetry]\naccess_log = {{ path = \"syslog:{}\", {log} }}\n",
            listeners(""),
            socket.display()
        )
    };
    let gateway = Gateway::start(&config(
        "format = \"template\", template = \"{{ {method} {path} {status} }}\"",
    ));
    let mut buffer = [0; 2048];
    let mut line = || {
        let length = system.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    gateway.get("/app/x", "");
    assert!(line().ends_with(" - - { GET /app/x 200 }"));
    gateway.write_config(&config("format = \"logfmt\", sample = \"0%\""));
    let (_, verdict) = gateway.api("POST", "/v1/config/reload", "");
    assert_ne!(verdict["outcome"], "rejected", "{verdict}");
    gateway.counts("tyrian_config_generation", 2.0);
    gateway.get("/app/x", "");
    gateway.get("/nowhere", "");
    let refused = line();
    assert!(refused.contains("path=/nowhere"), "sampled out: {refused}");
    assert!(refused.contains("reason=no_route"), "{refused}");
}

#[test]
fn every_histogram_of_a_scrape_has_a_bucket_for_all() {
    let (_upstream, gateway) = start();
    gateway.get("/app/x", "");
    gateway.counts("http_server_active_requests", 0.0);
    let scrape = gateway.metrics();
    let counts = scrape.lines().filter_map(|line| {
        let (series, count) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        Some((name.strip_suffix("_count")?, labels, count))
    });
    let mut seen = 0;
    for (name, labels, count) in counts {
        let comma = if labels == "}" { "" } else { "," };
        let bucket = format!("{name}_bucket{{le=\"+Inf\"{comma}{labels} {count}");
        assert!(
            scrape.lines().any(|line| line == bucket),
            "{bucket} in {scrape}"
        );
        seen += 1;
    }
    assert!(seen > 2, "{scrape}");
}
