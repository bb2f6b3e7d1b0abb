//! The gateway's own log: to standard error, for people on a terminal, as JSON otherwise.

use crate::config::hidden::beyond_ascii;
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// The filter of the log unless `TYRIAN_LOG` says otherwise. Pingora logs every failed connection, which
/// the access log and the metrics do better.
const DEFAULT: &str = "info,pingora_core=off";

/// Which form the log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// What `TYRIAN_LOG_FORMAT` says, else lines for people on a terminal, else JSON.
    Usual,
    /// Lines for people, whatever the environment says.
    Human,
}

/// Starts logging.
pub fn start(form: Form) {
    let wanted = std::env::var("TYRIAN_LOG")
        .ok()
        .filter(|value| !value.is_empty());
    let mut wrong = Vec::new();
    let filter = wanted.as_deref().unwrap_or(DEFAULT).parse::<EnvFilter>();
    let filter = filter.unwrap_or_else(|error| {
        let wanted = wanted.as_deref().unwrap_or("");
        wrong.push(format!(
            "TYRIAN_LOG={wanted} is no filter, and ignored: {error}"
        ));
        EnvFilter::new(DEFAULT)
    });
    let (filter, handle) = reload::Layer::new(filter);
    let _ = FILTER.set(handle);
    let format = std::env::var("TYRIAN_LOG_FORMAT").unwrap_or_default();
    let human = match format.as_str() {
        _ if form == Form::Human => true,
        "json" => false,
        "human" => true,
        other => {
            if !other.is_empty() {
                wrong.push(format!(
                    "TYRIAN_LOG_FORMAT={other} is neither json nor human, and ignored"
                ));
            }
            std::io::stderr().is_terminal()
        }
    };
    // Its report of a failed write goes to the same stream, and panics when that is closed.
    let writer = fmt::layer()
        .with_writer(|| Shown(std::io::stderr()))
        .log_internal_errors(false);
    let layer = if human {
        writer
            .with_ansi(super::wants_color(&std::io::stderr()))
            .with_target(false)
            .boxed()
    } else {
        writer.json().flatten_event(true).with_target(false).boxed()
    };
    // The first one wins; a second start (tests) changes nothing.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init();
    for wrong in wrong {
        tracing::warn!("{wrong}");
    }
}

/// Writes lines with the characters escaped that their reader would not see; those in ASCII are the
/// formatter's concern.
struct Shown<W>(W);

impl<W: Write> Write for Shown<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(beyond_ascii(text).as_bytes()),
            Err(_) => self.0.write_all(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// What is logged now.
pub fn current() -> String {
    let now = FILTER
        .get()
        .map(|handle| handle.with_current(ToString::to_string));
    now.and_then(Result::ok).unwrap_or_default()
}

/// Changes what is logged.
///
/// # Errors
/// When the filter does not parse, or logging has not started.
pub fn set(filter: &str) -> Result<(), String> {
    let filter = filter
        .parse::<EnvFilter>()
        .map_err(|error| error.to_string())?;
    let handle = FILTER.get().ok_or("logging has not started")?;
    handle.reload(filter).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::Shown;
    use std::io::Write;

    #[test]
    fn lines_show_what_they_hold() {
        let mut out = Vec::new();
        let line = "\x1b[33mWARN\x1b[0m name=a\u{202e}b\u{2028}é\n";
        Shown(&mut out).write_all(line.as_bytes()).unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert_eq!(shown, "\x1b[33mWARN\x1b[0m name=a\\u202eb\\u2028é\n");
    }
}
