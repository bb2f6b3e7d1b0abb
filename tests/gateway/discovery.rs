//! Endpoints that are discovered, from real servers and files, while requests are served.

mod files;
mod knot;
mod names;

use crate::gateway::{Gateway, PATIENCE};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Instant;

/// An instance of a service: answers each request with its address, until it is dropped.
struct Instance {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
}

impl Instance {
    /// Listens on this address of the machine; port 0: any.
    fn start(last: u8, port: u16) -> Self {
        let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        let listener = TcpListener::bind((ip, port)).unwrap();
        let address = listener.local_addr().unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let over = ends.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(SeqCst) {
                    return;
                }
                let over = over.clone();
                std::thread::spawn(move || answer(stream, address, &over));
            }
        });
        Self { address, ends }
    }

    fn ip(&self) -> String {
        self.address.ip().to_string()
    }
}

impl Drop for Instance {
    /// Refuses new connections at once; kept ones close after their next answer.
    fn drop(&mut self) {
        self.ends.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(mut stream: TcpStream, address: SocketAddr, over: &AtomicBool) {
    let (mut ahead, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        ahead.extend_from_slice(&buffer[..read]);
        while let Some(end) = ahead.windows(4).position(|part| part == b"\r\n\r\n") {
            ahead.drain(..end + 4);
            let ends = over.load(SeqCst);
            let close = if ends { "Connection: close\r\n" } else { "" };
            let body = address.ip().to_string();
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{close}\r\n");
            if stream.write_all((head + &body).as_bytes()).is_err() || ends {
                return;
            }
        }
    }
}

/// Which instances answer, over so many requests that each of a few has its turn.
fn served(gateway: &Gateway) -> BTreeSet<String> {
    let answers = (0..24).map(|_| gateway.get("/", ""));
    let texts = answers.map(|answer| match answer.status {
        200 => answer.text(),
        status => format!("{status} {}", answer.reason()),
    });
    texts.collect()
}

/// Waits until just these answer.
fn serves(gateway: &Gateway, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|one| (*one).to_owned()).collect();
    let until = Instant::now() + PATIENCE;
    loop {
        let found = served(gateway);
        if found == expected {
            return;
        }
        assert!(
            Instant::now() < until,
            "{found:?} answer, and not {expected:?}"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
