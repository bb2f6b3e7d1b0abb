//! The access log: one line per request, appended to a bounded buffer and written by a thread
//! of its own. A log that cannot keep up loses lines and counts them; it never makes traffic wait.

use super::exchange::Exchange;
use super::lines::Lines;
use super::metrics::Metrics;
use super::syslog::Syslog;
use crate::config::access_log::{self as config, LogPath};
use parking_lot::{Condvar, Mutex};
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Lines wait for the writer in at most this many bytes.
const BUFFER_MAX: usize = 4 << 20;
/// The writer is woken early once this much waits.
const WAKE_AT: usize = 64 << 10;
/// Otherwise it writes at this pace, so that a quiet log is fresh and a busy one is batched.
const PACE: Duration = Duration::from_millis(50);
/// What is lost is told in the process's log at most this often.
const TOLD_EVERY: Duration = Duration::from_mins(1);
/// Most memory that a thread keeps for writing a line.
const LINE_MAX: usize = 64 << 10;

thread_local! {
    /// Where a thread writes its line, before it holds up others by adding it to theirs.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A handle to the writer. Cloning is cheap; the thread ends when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct AccessLog {
    shared: Arc<Shared>,
    form: Arc<Lines>,
}

#[derive(Debug)]
struct Shared {
    path: LogPath,
    lines: Mutex<Vec<u8>>,
    /// Signals the writer that lines wait.
    wake: Condvar,
    /// Signals a flush that the writer is done with what it took.
    written: Condvar,
    writing: AtomicBool,
    reopen: AtomicBool,
    metrics: Arc<Metrics>,
}

impl AccessLog {
    /// Opens the log and starts its writer.
    ///
    /// # Errors
    /// When the file cannot be opened for appending.
    pub fn open(config: &config::AccessLog, metrics: Arc<Metrics>) -> io::Result<Self> {
        let path = &config.path;
        let shared = Arc::new(Shared {
            path: path.clone(),
            lines: Mutex::new(Vec::new()),
            wake: Condvar::new(),
            written: Condvar::new(),
            writing: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            metrics,
        });
        let sink = Sink::open(path)?;
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn({
                let shared = shared.clone();
                move || write_loop(&shared, sink)
            })?;
        let form = Arc::new(Lines::new(config));
        Ok(Self { shared, form })
    }

    /// The same log, going on in the form of another configuration.
    #[must_use]
    pub fn with_form(&self, config: &config::AccessLog) -> Self {
        Self {
            shared: self.shared.clone(),
            form: Arc::new(Lines::new(config)),
        }
    }

    /// Where this log goes.
    pub fn path(&self) -> &LogPath {
        &self.shared.path
    }

    /// Whether lines are wanted at all: ask before formatting one.
    pub fn enabled(&self) -> bool {
        self.shared.path != LogPath::Off
    }

    /// Whether its lines are JSON, which tells what the decision has looked at too.
    pub fn is_json(&self) -> bool {
        self.form.is_json()
    }

    /// Words that mask query parameters whose names hold them.
    pub fn redact(&self) -> &[String] {
        self.form.redact()
    }

    /// Whether its lines tell what requests say about who sent them.
    pub fn tells_agents(&self) -> bool {
        self.form.tells_agents()
    }

    /// Appends the line of one exchange, if it leaves one.
    pub fn tell(&self, exchange: &Exchange) {
        if self.form.wants(exchange) {
            self.write(|out| self.form.write(out, exchange));
        }
    }

    /// Appends one line by `format`; it must end in a line feed.
    fn write(&self, format: impl FnOnce(&mut Vec<u8>)) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            format(line);
            self.append(line);
            line.shrink_to(LINE_MAX);
        });
    }

    fn append(&self, line: &[u8]) {
        let mut lines = self.shared.lines.lock();
        let before = lines.len();
        if before >= BUFFER_MAX {
            self.shared.metrics.access_log_dropped.fetch_add(1, Relaxed);
            return;
        }
        lines.extend_from_slice(line);
        if before < WAKE_AT && lines.len() >= WAKE_AT {
            self.shared.wake.notify_one();
        }
    }

    /// Opens the file anew (after a rotation).
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Relaxed);
        self.shared.wake.notify_one();
    }

    /// Waits until all lines so far are written, at most `limit`.
    pub fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut lines = self.shared.lines.lock();
        while !lines.is_empty() || self.shared.writing.load(Relaxed) {
            self.shared.wake.notify_one();
            if self
                .shared
                .written
                .wait_until(&mut lines, deadline)
                .timed_out()
            {
                return;
            }
        }
    }
}

fn write_loop(shared: &Arc<Shared>, mut sink: Sink) {
    let mut batch = Vec::new();
    let mut losses = Losses {
        known: shared.metrics.access_log_dropped.load(Relaxed),
        told: None,
    };
    loop {
        // Asked first: whoever is the last one has added its lines.
        let is_last = !shared.is_used();
        {
            let mut lines = shared.lines.lock();
            if is_last && lines.is_empty() {
                return;
            }
            if lines.is_empty() {
                shared.wake.wait_for(&mut lines, PACE);
            } else if lines.len() < WAKE_AT {
                // Lines wait already: give the batch one pace to grow.
                shared.wake.wait_for(&mut lines, PACE);
            }
            std::mem::swap(&mut *lines, &mut batch);
            shared.writing.store(!batch.is_empty(), Relaxed);
        }
        if shared.reopen.swap(false, Relaxed) {
            sink.reopen(&shared.path);
        }
        if !batch.is_empty() {
            let lost = sink.write(&batch, || {
                losses.tell(shared);
                shared.is_used() && !shared.reopen.load(Relaxed)
            });
            if lost > 0 {
                shared.metrics.access_log_dropped.fetch_add(lost, Relaxed);
            }
            batch.clear();
            batch.shrink_to(WAKE_AT * 4);
        }
        losses.tell(shared);
        let _lines = shared.lines.lock();
        shared.writing.store(false, Relaxed);
        shared.written.notify_all();
    }
}

impl Shared {
    /// Whether anybody but the writer has it.
    fn is_used(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }
}

/// What the process's log has been told of lost lines.
#[derive(Debug)]
struct Losses {
    known: u64,
    told: Option<Instant>,
}

impl Losses {
    fn tell(&mut self, shared: &Shared) {
        let lost = shared.metrics.access_log_dropped.load(Relaxed);
        let due = self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY);
        if lost > self.known && due {
            let (path, lines) = (&shared.path, lost - self.known);
            tracing::warn!(%path, lines, "lines of the access log are lost: it takes them too slowly, or not at all");
            *self = Self {
                known: lost,
                told: Some(Instant::now()),
            };
        }
    }
}

#[derive(Debug)]
enum Sink {
    Stdout,
    File(File),
    /// A named pipe, which never blocks: its reader may be late, or away.
    Pipe(File),
    Syslog(Syslog),
    Off,
}

impl Sink {
    fn open(path: &LogPath) -> io::Result<Self> {
        Ok(match path {
            LogPath::Stdout => Self::Stdout,
            LogPath::Syslog(to) => Self::Syslog(Syslog::open(to)?),
            LogPath::Off => Self::Off,
            LogPath::File(path) if is_pipe(path) => Self::Pipe(pipe(path)?),
            LogPath::File(path) => Self::File(append(path)?),
        })
    }

    /// A file that cannot be opened anew keeps the old one: losing the log would be worse.
    fn reopen(&mut self, path: &LogPath) {
        match Self::open(path) {
            Ok(sink) => *self = sink,
            Err(error) => tracing::error!(%error, "cannot reopen the access log"),
        }
    }

    /// Writes all lines; returns how many were lost. A pipe that is full is waited for as long as
    /// `goes_on` holds.
    fn write(&mut self, lines: &[u8], goes_on: impl FnMut() -> bool) -> u64 {
        let result = match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines).and_then(|()| stdout.flush())
            }
            Self::File(file) => file.write_all(lines),
            Self::Pipe(pipe) => return write_pipe(pipe, lines, goes_on),
            Self::Syslog(syslog) => return syslog.write(lines),
            Self::Off => Ok(()),
        };
        match result {
            Ok(()) => 0,
            Err(_) => count(lines),
        }
    }
}

fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

fn write_pipe(pipe: &mut File, mut lines: &[u8], mut goes_on: impl FnMut() -> bool) -> u64 {
    while !lines.is_empty() {
        match pipe.write(lines) {
            Ok(written) => lines = lines.get(written..).unwrap_or(&[]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && goes_on() => {
                std::thread::sleep(PACE);
            }
            Err(_) => return count(lines),
        }
    }
    0
}

fn is_pipe(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

/// Opened as by a reader too: for writing alone, a pipe that nobody reads would hold up whoever
/// opens it, and so the start and every reload. What it can hold waits there for its reader.
fn pipe(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true);
    options.custom_flags(libc::O_NONBLOCK).open(path)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::{AccessLog, BUFFER_MAX};
    use crate::config::access_log::{self as config, LogPath};
    use crate::telemetry::Metrics;
    use std::io::BufRead;
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    fn to_file(file: std::path::PathBuf) -> config::AccessLog {
        config::AccessLog {
            path: LogPath::File(file),
            ..config::AccessLog::default()
        }
    }

    fn fifo(dir: &std::path::Path) -> std::path::PathBuf {
        let fifo = dir.join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        fifo
    }

    #[test]
    fn lines_reach_the_file_and_follow_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("access.log");
        let log = AccessLog::open(&to_file(file.clone()), Arc::default()).unwrap();
        log.write(|out| out.extend_from_slice(b"one\n"));
        log.flush(Duration::from_secs(5));
        std::fs::rename(&file, dir.path().join("access.log.1")).unwrap();
        log.reopen();
        log.flush(Duration::from_secs(5));
        while !file.exists() {
            std::thread::yield_now();
        }
        log.write(|out| out.extend_from_slice(b"two\n"));
        log.flush(Duration::from_secs(5));
        assert_eq!(std::fs::read_to_string(file).unwrap(), "two\n");
    }

    #[test]
    fn a_log_that_cannot_keep_up_loses_lines_and_counts_them() {
        let metrics = Arc::new(Metrics::default());
        // A pipe nobody reads: the writer blocks on it, traffic must not.
        let dir = tempfile::tempdir().unwrap();
        let fifo = fifo(dir.path());
        let log = AccessLog::open(&to_file(fifo), metrics.clone()).unwrap();
        let line = vec![b'x'; 64 << 10];
        for _ in 0..(3 * BUFFER_MAX / line.len()) {
            log.write(|out| {
                out.extend_from_slice(&line);
                out.push(b'\n');
            });
        }
        assert!(metrics.access_log_dropped.load(Relaxed) > 0);
    }

    #[test]
    fn a_pipe_is_opened_before_its_reader_comes_and_keeps_what_it_can_hold() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = fifo(dir.path());
        let log = AccessLog::open(&to_file(fifo.clone()), Arc::default()).unwrap();
        log.write(|out| out.extend_from_slice(b"early\n"));
        log.flush(Duration::from_secs(5));
        let mut reader = std::io::BufReader::new(std::fs::File::open(&fifo).unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "early\n");
        // A writer that waits for room ends with its log.
        let many = vec![b'\n'; 256 << 10];
        log.write(|out| out.extend_from_slice(&many));
        let shared = Arc::downgrade(&log.shared);
        drop(log);
        while shared.strong_count() > 0 {
            std::thread::yield_now();
        }
    }
}
