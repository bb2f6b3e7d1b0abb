//! Rollouts over sockets: a good version arrives, a bad one is taken back, and by what numbers.

use crate::client::Connection;
use crate::eyes::Events;
use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn config(v1: &Upstream, v2: &Upstream, rollout: &str) -> String {
    format!(
        "{}\n[services.shop]\ndefault = \"v1\"\nretry = {{ attempts = 1 }}\n\
         versions.v1.endpoints = [\"{}\"]\nversions.v2.endpoints = [\"{}\"]\n\
         [colors.next]\nversions = {{ shop = \"v2\" }}\n\
         share = {{ percent = \"0%\", sticky = \"cookie:uid\" }}\n\
         [rollouts.next]\n{rollout}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n",
        listeners(""),
        v1.address,
        v2.address
    )
}

fn act(gateway: &Gateway, action: &str) -> (u16, Value) {
    let body = format!(r#"{{"action":"{action}"}}"#);
    gateway.api("POST", "/v1/rollouts/next", &body)
}

fn view(gateway: &Gateway) -> Value {
    gateway.api("GET", "/v1/rollouts/next", "").1
}

/// Users that keep asking until they are dropped.
struct Users {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Users {
    fn ask(gateway: &Gateway, path: impl Fn(u64) -> String + Send + Clone + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let address = gateway.address("web");
        let threads = (0..4_u64).map(|thread| {
            let (stop, path) = (stop.clone(), path.clone());
            std::thread::spawn(move || {
                let mut connection = Connection::to(address);
                let mut user = thread * 1_000_000;
                while !stop.load(Ordering::SeqCst) {
                    user += 1;
                    let path = path(user);
                    let head =
                        format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: uid={user}\r\n\r\n");
                    if connection.exchange(head.as_bytes()).status == 0 {
                        connection = Connection::to(address);
                    }
                }
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

const GUARD: &str = "steps = [\"20%\", \"50%\", \"100%\"]\nevery = \"500ms\"\n\
     guard = { max_error_rate = \"2%\", worse_than_default = \"50%\", min_requests = 50 }";

#[test]
fn a_version_that_fails_is_taken_back_with_a_reason_that_names_the_numbers() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    v2.say_status(500);
    let rollout = GUARD.replace("500ms", "60s");
    let mut gateway = Gateway::start(&config(&v1, &v2, &rollout));
    assert_eq!(act(&gateway, "start").1["share"], "20%");
    let users = Users::ask(&gateway, |_| "/".to_owned());
    gateway.wait_for("the abort", |gateway| {
        view(gateway)["rollout"]["phase"] == "aborted"
    });
    drop(users);
    let seen = view(&gateway);
    assert_eq!(seen["share"], "0%", "{seen}");
    let reason = seen["rollout"]["reason"].as_str().unwrap();
    assert!(reason.contains("100% of its requests failed ("), "{reason}");
    let met = &seen["rollout"]["met"];
    assert_eq!(met["share"], "20%");
    assert!(met["failures"].as_u64().unwrap() >= 50, "{met}");
    assert!(gateway.log().contains("\"kind\":\"aborted\""));
    assert_eq!(
        gateway.metric("tyrian_rollout_share{color=\"next\"}"),
        Some(0.0)
    );
    let answer = gateway.get("/", "Cookie: uid=1\r\n");
    assert_eq!(answer.header("x-upstream"), Some("v1"));
}

#[test]
fn an_abort_from_everything_leaves_its_numbers_and_a_mark_on_the_stream() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = Gateway::start(&config(&v1, &v2, &GUARD.replace("500ms", "60s")));
    let mut events = Events::of(&gateway, "/v1/stream");
    for action in ["start", "promote", "promote"] {
        assert_eq!(act(&gateway, action).0, 200, "{action}");
    }
    let limits = &view(&gateway)["rollout"]["guard"];
    assert_eq!(
        (&limits["max_error_rate"], &limits["min_requests"]),
        (&"2%".into(), &50.into())
    );
    assert_eq!(view(&gateway)["rollout"]["on_breach"], "abort");
    assert_eq!(view(&gateway)["share"], "100%");
    v2.say_status(500);
    let users = Users::ask(&gateway, |_| "/".to_owned());
    gateway.wait_for("the abort", |gateway| {
        view(gateway)["rollout"]["phase"] == "aborted"
    });
    drop(users);
    let rollout = view(&gateway)["rollout"].take();
    let last = &rollout["last_window"];
    let number = |name: &str| last[name].as_u64().unwrap();
    assert!(number("color_failures") >= 50, "{last}");
    assert_eq!(number("color_failures"), number("color_requests"));
    assert_eq!(number("default_requests"), 0, "nothing was left for it");
    assert!(last["color_p99_ms"].as_f64() > Some(0.0), "{last}");
    assert!(
        last["ended"].is_string() && last["began"].is_string(),
        "{last}"
    );
    let aborted = |event: &Value| event["kind"] == "rollout" && event["what"] == "aborted";
    let frame = events.next("frame", |frame| {
        frame["events"].as_array().unwrap().iter().any(aborted)
    });
    let mark = frame["events"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| aborted(event))
        .unwrap();
    assert_eq!(
        (&mark["color"], &mark["from"], &mark["to"]),
        (&"next".into(), &"100%".into(), &"0%".into())
    );
    assert_eq!(mark["reason"], rollout["reason"]);
    assert_eq!(mark["time"], rollout["since"]);
    // Who looks later finds the marks in the history.
    let late = Events::of(&gateway, "/v1/stream").next("history", |_| true);
    let seconds = late.as_array().unwrap().iter();
    let marks: Vec<_> = seconds
        .flat_map(|second| second["events"].as_array().unwrap())
        .collect();
    let whats: Vec<_> = marks
        .iter()
        .map(|mark| mark["what"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(whats, ["started", "step", "step", "aborted"]);
}

#[test]
fn a_version_that_fails_in_the_words_of_grpc_is_taken_back() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    v1.say_ok("Grpc-Status: 0\r\n", "");
    v2.say_ok("Grpc-Status: 13\r\n", "");
    let rollout = GUARD.replace("500ms", "60s");
    let mut gateway = Gateway::start(&config(&v1, &v2, &rollout));
    act(&gateway, "start");
    let users = Users::ask(&gateway, |_| "/".to_owned());
    gateway.wait_for("the abort", |gateway| {
        view(gateway)["rollout"]["phase"] == "aborted"
    });
    drop(users);
    let reason = view(&gateway)["rollout"]["reason"].to_string();
    assert!(reason.contains("100% of its requests failed ("), "{reason}");
}

#[test]
fn a_version_that_fails_one_request_in_ten_is_taken_back() {
    let (v1, v2) = (Upstream::start("v1"), Flaky::start(10));
    let text = config(&v1, &v1, &GUARD.replace("500ms", "60s"));
    let text = text.replace(
        &format!("versions.v2.endpoints = [\"{}\"]", v1.address),
        &format!("versions.v2.endpoints = [\"{}\"]", v2.address),
    );
    let mut gateway = Gateway::start(&text);
    act(&gateway, "start");
    let users = Users::ask(&gateway, |_| "/".to_owned());
    gateway.wait_for("the abort", |gateway| {
        view(gateway)["rollout"]["phase"] == "aborted"
    });
    drop(users);
    let finding = &view(&gateway)["rollout"]["finding"];
    assert!(finding["chance"].as_f64().unwrap() < 0.005, "{finding}");
}

#[test]
fn a_version_three_times_slower_is_taken_back() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = Gateway::start(&config(&v1, &v2, &GUARD.replace("500ms", "60s")));
    act(&gateway, "start");
    v2.delay(Duration::from_millis(30));
    v1.delay(Duration::from_millis(10));
    let users = Users::ask(&gateway, |_| "/".to_owned());
    gateway.wait_for("the abort", |gateway| {
        view(gateway)["rollout"]["phase"] == "aborted"
    });
    drop(users);
    let what = view(&gateway)["rollout"]["finding"]["what"].clone();
    assert!(
        what.as_str().unwrap().ends_with("_against_default"),
        "{what}"
    );
}

#[test]
fn a_sound_version_arrives_and_each_step_is_told() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let (hook, told) = webhook();
    let rollout =
        format!("{GUARD}\nwebhook = \"{hook}\"").replace("worse_than_default = \"50%\", ", "");
    let mut gateway = Gateway::start(&config(&v1, &v2, &rollout));
    act(&gateway, "start");
    let users = Users::ask(&gateway, |_| "/".to_owned());
    gateway.wait_for("the end", |gateway| {
        view(gateway)["rollout"]["phase"] == "done"
    });
    drop(users);
    assert_eq!(view(&gateway)["share"], "100%");
    let expected = ["started", "step", "step", "done"];
    gateway.wait_for("the webhook", |_| {
        told.lock().unwrap().len() >= expected.len()
    });
    let kinds: Vec<String> = told
        .lock()
        .unwrap()
        .iter()
        .map(|post| post["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, expected);
}

#[test]
fn an_operator_pauses_promotes_and_aborts_and_a_restart_forgets_nothing() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = Gateway::start(&config(&v1, &v2, &GUARD.replace("500ms", "60s")));
    assert_eq!(act(&gateway, "pause").0, 409);
    assert_eq!(act(&gateway, "start").0, 200);
    assert_eq!(act(&gateway, "start").0, 409);
    assert_eq!(act(&gateway, "promote").1["share"], "50%");
    assert_eq!(act(&gateway, "pause").1["rollout"]["phase"], "paused");
    gateway.wait_for("the line about it", |gateway| {
        gateway.log().contains("\"deed\":\"rollout next: pause\"")
    });
    gateway.restart();
    let seen = view(&gateway);
    assert_eq!(
        (&seen["share"], &seen["drift"]),
        (&"50%".into(), &true.into())
    );
    assert_eq!(act(&gateway, "resume").1["rollout"]["phase"], "running");
    assert_eq!(act(&gateway, "abort").1["share"], "0%");
    assert_eq!(gateway.api("GET", "/v1/rollouts/nobody", "").0, 404);
    assert_eq!(
        gateway
            .api("POST", "/v1/rollouts/next", "{\"action\":\"x\"}")
            .0,
        400
    );
}

#[test]
fn a_dry_run_tells_and_moves_nobody() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let rollout = "steps = [\"100%\"]\nevery = \"100ms\"\ndry_run = true\nstart = \"auto\"";
    let mut gateway = Gateway::start(&config(&v1, &v2, rollout));
    gateway.wait_for("the end", |gateway| {
        view(gateway)["rollout"]["phase"] == "done"
    });
    assert_eq!(view(&gateway)["share"], "0%");
    assert!(gateway.log().contains("\"kind\":\"done\""));
    assert!(v2.heads().is_empty());
}

/// Takes JSON posts and says 200.
fn webhook() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let told: Arc<Mutex<Vec<Value>>> = Arc::default();
    let posts = told.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut text = Vec::new();
            let mut buffer = [0; 4096];
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let post = loop {
                let read = stream.read(&mut buffer).unwrap_or(0);
                text.extend_from_slice(&buffer[..read]);
                let body = text
                    .windows(4)
                    .position(|w| w == b"\r\n\r\n")
                    .map(|at| &text[at + 4..]);
                if let Some(post) = body.and_then(|body| serde_json::from_slice(body).ok()) {
                    break post;
                }
                assert!(read > 0, "half a post");
            };
            posts.lock().unwrap().push(post);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (format!("http://{address}/hook"), told)
}

/// An upstream that fails every n-th request.
struct Flaky {
    address: std::net::SocketAddr,
}

impl Flaky {
    fn start(every: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let count = count.clone();
                std::thread::spawn(move || {
                    let mut text = Vec::new();
                    let mut buffer = [0; 4096];
                    loop {
                        match stream.read(&mut buffer) {
                            Ok(read) if read > 0 => text.extend_from_slice(&buffer[..read]),
                            _ => return,
                        }
                        while let Some(at) = text.windows(4).position(|w| w == b"\r\n\r\n") {
                            text.drain(..at + 4);
                            let status = match count.fetch_add(1, Ordering::SeqCst) % every {
                                0 => "500 Oops",
                                _ => "200 OK",
                            };
                            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                            if stream.write_all(answer.as_bytes()).is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
        Self { address }
    }
}

#[test]
fn an_abort_holds_from_the_next_request_on() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = Gateway::start(&config(&v1, &v2, GUARD));
    act(&gateway, "start");
    gateway.wait_for("a user of v2", |gateway| {
        (0..50).any(|user| {
            let cookie = format!("Cookie: uid={user}\r\n");
            gateway.get("/", &cookie).header("x-upstream") == Some("v2")
        })
    });
    act(&gateway, "abort");
    let before = v2.heads().len();
    for user in 0..50 {
        gateway.get("/", &format!("Cookie: uid={user}\r\n"));
    }
    assert_eq!(v2.heads().len(), before);
}
