//! One exchange between a client and an upstream, for each pair of protocols: which side may hold
//! up the other, for how long, and what passes between them.

mod blocked;
mod caller;
mod calls;
mod deadlines;
mod early;
mod early_success;
mod endings;
mod interim;
mod limits;
mod memory;
mod relay;
mod retried;
mod shared;
mod slow;
mod strict;
mod stub;
mod tunnels;
mod wire;

use crate::gateway::{Gateway, PATIENCE, listeners};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;

/// Longest wait for what must happen; shorter than any limit that a test leaves at its default.
const GUARD: std::time::Duration = PATIENCE;
/// Cases that run at once. Each waits most of its time.
const AT_ONCE: usize = 6;

/// A gateway with one service. `http` is the protocol towards the upstream, `service` is what goes
/// on in the table of the service.
fn gateway(upstream: SocketAddr, http: &str, service: &str) -> Gateway {
    Gateway::start(&config(upstream, http, service))
}

fn config(upstream: SocketAddr, http: &str, service: &str) -> String {
    format!(
        "{}[services.a]\n{service}\n\
         [services.a.versions.v1]\nendpoints = [\"{upstream}\"]\nhttp = \"{http}\"\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
        listeners("")
    )
}

/// A case with a name, which fails by panicking.
type Case<'a> = (String, Box<dyn FnOnce() + Send + 'a>);

fn case<'a>(name: impl Into<String>, play: impl FnOnce() + Send + 'a) -> Case<'a> {
    (name.into(), Box::new(play))
}

/// Plays all cases, some at once, and fails with the names of those that have failed.
fn play(cases: Vec<Case>) {
    let total = cases.len();
    let waiting = Mutex::new(VecDeque::from(cases));
    let failed = Mutex::new(Vec::new());
    let worker = || {
        loop {
            let next = waiting.lock().unwrap().pop_front();
            let Some((name, play)) = next else { return };
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(play));
            if let Err(panic) = ended {
                let told = panic.downcast_ref::<String>().cloned();
                let told = told.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                let told = told.unwrap_or_default();
                let told: String = told.chars().take(400).collect();
                failed.lock().unwrap().push(format!("{name}: {told}"));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(worker);
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "{} of {total} cases failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}
