//! `process_*`: what the kernel says of this process.

use super::family::Family;
use crate::config::Config;
use std::fs;

/// Descriptors besides connections: listeners, logs, files, timers.
const SPARE_FDS: u64 = 256;

/// Says so when fewer descriptors are allowed than the connections of all listeners may need, one
/// on each side.
pub fn too_few_descriptors(config: &Config) -> Option<String> {
    let listeners = config.listeners.values();
    let clients: u64 = listeners
        .map(|listener| u64::from(listener.clients.max_connections))
        .sum();
    let needed = 2 * clients + SPARE_FDS;
    let most = Process::read().max_fds.filter(|most| *most < needed)?;
    Some(format!(
        "{most} file descriptors are allowed here; {clients} connections may need {needed}"
    ))
}

/// A reading of `/proc/self`; fields that could not be read are left out of a scrape.
#[derive(Debug, Clone, Copy, Default)]
pub struct Process {
    pub cpu_seconds: Option<f64>,
    pub resident_bytes: Option<u64>,
    pub virtual_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    pub max_fds: Option<u64>,
    pub threads: Option<u64>,
    pub start_time_seconds: Option<f64>,
}

impl Process {
    /// Its families.
    pub const METRICS: &[Family<Self>] = &[
        Family::gauge(
            "process_resident_memory_bytes",
            "Resident memory",
            |process, points| points.maybe(process.resident_bytes),
        ),
        Family::gauge(
            "process_virtual_memory_bytes",
            "Virtual memory",
            |process, points| points.maybe(process.virtual_bytes),
        ),
        Family::gauge(
            "process_open_fds",
            "Open file descriptors",
            |process, points| points.maybe(process.open_fds),
        ),
        Family::gauge(
            "process_max_fds",
            "Limit of open file descriptors",
            |process, points| points.maybe(process.max_fds),
        ),
        Family::gauge("process_threads", "Threads", |process, points| {
            points.maybe(process.threads);
        }),
        Family::gauge(
            "process_start_time_seconds",
            "Start time since the epoch",
            |process, points| points.maybe(process.start_time_seconds),
        ),
        Family::counter(
            "process_cpu_seconds_total",
            "CPU time, user and system",
            |process, points| points.maybe(process.cpu_seconds),
        ),
    ];

    pub fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The command may hold spaces and parentheses; fields are counted after its last ')'.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().collect())
            .unwrap_or_default();
        let field = |number: usize| {
            fields
                .get(number - 3)
                .and_then(|text| text.parse::<u64>().ok())
        };
        let ticks = 100.0; // USER_HZ is 100 on every architecture Linux supports
        let boot = boot_time_seconds();
        Self {
            cpu_seconds: field(14)
                .zip(field(15))
                .map(|(user, sys)| (user + sys) as f64 / ticks),
            resident_bytes: field(24).map(|pages| pages * 4096),
            virtual_bytes: field(23),
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|dir| dir.count() as u64),
            max_fds: max_fds(),
            threads: field(20),
            start_time_seconds: field(22)
                .zip(boot)
                .map(|(at, boot)| boot as f64 + at as f64 / ticks),
        }
    }
}

fn boot_time_seconds() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

fn max_fds() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Process;

    #[test]
    fn this_process_has_memory_threads_and_a_start() {
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 4096);
        assert!(process.threads.unwrap() >= 1);
        assert!(process.start_time_seconds.unwrap() > 1.6e9);
        assert!(process.max_fds.unwrap() >= process.open_fds.unwrap());
    }
}
