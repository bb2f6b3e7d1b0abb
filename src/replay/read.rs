//! Reads a log line by line, packed or not.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;
/// A longer line is cut, and then no request.
const LINE_MAX: u64 = 1 << 20;

/// The lines of a log.
pub struct Lines {
    source: Box<dyn BufRead>,
    line: Vec<u8>,
    read: Arc<AtomicU64>,
    /// The size of the file as it is stored; 0 when it has none.
    pub size: u64,
}

/// Counts what is read from the file, for the progress of packed ones too.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.fetch_add(read as u64, Relaxed);
        Ok(read)
    }
}

/// Opens a log: plain, gzip or zstd, told by its first bytes; `-` is standard input.
///
/// # Errors
/// When it cannot be read.
pub fn open(path: &Path) -> io::Result<Lines> {
    let read = Arc::new(AtomicU64::new(0));
    let (source, size): (Box<dyn Read>, u64) = match path.to_str() {
        Some("-") => (Box::new(io::stdin().lock()), 0),
        _ => {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            (Box::new(file), size)
        }
    };
    let counted = Counted(source, read.clone());
    let mut packed = BufReader::with_capacity(BUFFER, counted);
    let first = packed.fill_buf()?;
    let source: Box<dyn BufRead> = if first.starts_with(&[0x1f, 0x8b]) {
        let plain = flate2::bufread::MultiGzDecoder::new(packed);
        Box::new(BufReader::with_capacity(BUFFER, plain))
    } else if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let plain = zstd::stream::read::Decoder::with_buffer(packed)?;
        Box::new(BufReader::with_capacity(BUFFER, plain))
    } else {
        Box::new(packed)
    };
    Ok(Lines {
        source,
        line: Vec::new(),
        read,
        size,
    })
}

impl Lines {
    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// When the log cannot be read on, or is packed badly.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let mut bounded = self.source.by_ref().take(LINE_MAX);
        if bounded.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        Ok(Some(self.line.trim_ascii_end()))
    }

    /// How much of the file has been read, 0 to 1.
    pub fn progress(&self) -> f64 {
        match self.size {
            0 => 0.0,
            size => self.read.load(Relaxed) as f64 / size as f64,
        }
    }
}
