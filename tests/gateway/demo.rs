//! `tyrian demo`, as somebody meets it who pipes it somewhere.

use crate::client::Connection;
use crate::gateway::PATIENCE;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// A demo, ended with the test.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    _dir: tempfile::TempDir,
}

impl Demo {
    fn start(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = crate::gateway::tyrian();
        let command = command.arg("demo").args(options).arg("--dir");
        let command = command.arg(dir.path().join("new/demo"));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self {
            child,
            lines,
            said: Vec::new(),
            _dir: dir,
        }
    }

    /// Waits for a line that holds this text.
    fn says(&mut self, wanted: &str) -> String {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.said.push(line.clone());
            if line.contains(wanted) {
                return line;
            }
        }
        panic!("never says {wanted}: {:#?}", self.said);
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What stands between two marks.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    let (_, rest) = text.split_once(begin).unwrap();
    rest.split_once(end).map_or(rest, |(found, _)| found)
}

#[test]
fn the_demo_takes_free_ports_says_so_and_speaks_to_people_alone() {
    let taken = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = taken
        .each_ref()
        .map(|listener| listener.local_addr().unwrap().port().to_string());
    let [port, admin, metrics] = ports.each_ref().map(String::as_str);
    let options = ["--port", port, "--admin", admin, "--metrics", metrics];
    let mut demo = Demo::start(&options);
    for (taken, what) in [
        (port, "the gateway"),
        (admin, "the dashboard"),
        (metrics, "the metrics port"),
    ] {
        demo.says(&format!("Port {taken} is taken: {what} uses "));
    }
    let serves = demo.says("tyrian serves on http://");
    let address: SocketAddr = between(&serves, "http://", ",").parse().unwrap();
    assert_ne!(address.port().to_string(), port);
    let watch = demo.says("Watch  http://");
    let dashboard: SocketAddr = between(&watch, "http://", "/").parse().unwrap();
    demo.says("Ctrl-C ends it all.");
    let curls = demo.said.iter().filter(|line| line.contains("curl -s"));
    assert_eq!(curls.count(), 3, "{:#?}", demo.said);

    let request = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nX-User-Group: beta\r\n\r\n";
    let answer = Connection::to(address).exchange(request);
    let text = answer.text();
    assert!(text.ends_with("}\n") && text.contains("\"v2\""), "{text}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let line = demo.says("GET /hello 200 from hello v2, color canary");
    assert!(!line.starts_with('{'), "{line}");
    let page = format!("GET / HTTP/1.1\r\nHost: {dashboard}\r\n\r\n");
    let page = Connection::to(dashboard).exchange(page.as_bytes());
    assert_eq!(page.status, 200);
    for line in &demo.said {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(parsed.is_err(), "{line}");
    }
}
