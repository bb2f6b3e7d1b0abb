//! Knot DNS, with one zone that is changed while it serves.

use crate::gateway::PATIENCE;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Knot {
    process: Child,
    pub address: SocketAddr,
    _dir: tempfile::TempDir,
}

const ZONE: &str =
    "$ORIGIN z.test.\n$TTL 1\n@ SOA ns admin 1 1h 1h 1w 1\n@ NS ns\nns A 127.0.0.1\n";

impl Knot {
    /// Serves the zone `z.test` with these records.
    pub fn start(records: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let at = dir.path();
        std::fs::create_dir(at.join("db")).unwrap();
        std::fs::write(at.join("z.test.zone"), format!("{ZONE}{records}")).unwrap();
        let config = format!(
            "server:\n  rundir: {0}\n  listen: 127.0.0.1@{port}\n\
             database:\n  storage: {0}/db\n\
             acl:\n  - id: here\n    address: 127.0.0.1\n    action: update\n\
             template:\n  - id: default\n    storage: {0}\n    zonefile-sync: -1\n    zonefile-load: difference-no-serial\n    journal-content: all\n\
             zone:\n  - domain: z.test\n    file: z.test.zone\n    acl: here\n",
            at.display()
        );
        let file = at.join("knot.conf");
        std::fs::write(&file, config).unwrap();
        let process = Command::new("/usr/sbin/knotd")
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("knotd: the package `knot`");
        let knot = Self {
            process,
            address,
            _dir: dir,
        };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "knotd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        knot.change("add ready.z.test. 1 A 127.0.0.1");
        knot
    }

    /// Sends updates: `add a.z.test. 1 A 127.0.0.2`, `del ...`.
    pub fn change(&self, updates: &str) {
        let script = format!(
            "server 127.0.0.1 {}\nzone z.test\n{updates}\nsend\n",
            self.address.port()
        );
        let until = Instant::now() + PATIENCE;
        loop {
            let mut child = Command::new("knsupdate")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("knsupdate: the package `knot-dnsutils`");
            std::io::Write::write_all(child.stdin.as_mut().unwrap(), script.as_bytes()).unwrap();
            if child.wait().unwrap().success() {
                return;
            }
            assert!(Instant::now() < until, "knotd takes no update");
        }
    }

    /// Stops it in the middle of whatever it does.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        self.kill();
    }
}
