//! The thread that writes to the file.

use super::file::{Cut, LogFile};
use super::format::Formatter;
use super::lines::{Batch, Message, Shared};
use super::{Level, Record};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Dropped lines are told at most so often.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Takes batches and writes them, one after the other.
#[derive(Debug)]
pub(super) struct Writer {
    file: LogFile,
    shared: Arc<Shared>,
    formatter: Formatter,
    /// Why the file could not be written to for the first time.
    failure: Arc<Mutex<Option<String>>>,
    /// How many dropped lines the file tells of.
    in_file: u64,
    /// How many were told on stderr.
    on_stderr: u64,
    told: Instant,
}

impl Writer {
    pub(super) fn new(file: LogFile, shared: Arc<Shared>, failure: Arc<Mutex<Option<String>>>) -> Self {
        let formatter = shared.formatter();
        Self { file, shared, formatter, failure, in_file: 0, on_stderr: 0, told: Instant::now() }
    }

    /// Writes until it is told to end, or nobody is left who could tell.
    pub(super) fn work(mut self, messages: &Receiver<Message>) {
        loop {
            match messages.recv_timeout(TELL_EVERY) {
                Ok(Message::Lines(batch)) => self.write(&batch),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.told.elapsed() >= TELL_EVERY {
                self.tell_of_dropped();
            }
        }
        self.tell_of_dropped();
    }

    fn write(&mut self, batch: &Batch) {
        let written = match self.file.append(&batch.bytes) {
            Ok(()) => batch.lines,
            Err(Cut { written, error }) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                if failure.is_none() {
                    tracing::error!(
                        "the bot log cannot be written: {error}; the run goes on, lines are dropped"
                    );
                    *failure = Some(error.to_string());
                }
                batch.bytes[..written].split(|b| *b == b'\n').count() as u64 - 1
            }
        };
        self.shared.written.fetch_add(written, Ordering::Relaxed);
        self.shared.dropped.fetch_add(batch.lines - written, Ordering::Relaxed);
    }

    /// Tells how many lines were dropped, on stderr and in the file, if that is news there.
    fn tell_of_dropped(&mut self) {
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        self.told = Instant::now();
        if dropped > self.on_stderr {
            self.on_stderr = dropped;
            tracing::warn!("{dropped} lines of the bot log were dropped so far");
        }
        if dropped > self.in_file {
            let record = Record {
                level: Level::Warn,
                message: "Lines were dropped here",
                dropped: Some(dropped - self.in_file),
                ..Record::default()
            };
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let mut line = Vec::new();
            self.formatter.line(&mut line, now, &record);
            // A file that is full now may have room later: then it is told there.
            if self.file.append(&line).is_ok() {
                self.in_file = dropped;
            }
        }
    }
}
