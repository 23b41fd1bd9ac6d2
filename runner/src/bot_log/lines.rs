//! The lines of one thread on their way to the file.

use super::format::Formatter;
use super::record::{MAX_LINE, Record};
use super::{Layout, Level};
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Lines are handed over when they are so many bytes,
const BATCH: usize = 64 << 10;
/// or when the first of them is so old and another comes.
const AGE: Duration = Duration::from_millis(200);
/// How long the last lines of a thread wait for a writer that has more than enough to do.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// What the threads that write to a log share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) layout: Layout,
    pub(super) run_id: String,
    /// Bots alive.
    pub(super) alive: AtomicU32,
    /// Lines that were to be written.
    pub(super) told: AtomicU64,
    /// Lines that are in the file.
    pub(super) written: AtomicU64,
    /// Lines that are known not to come into the file.
    pub(super) dropped: AtomicU64,
}

impl Shared {
    pub(super) fn formatter(&self) -> Formatter {
        Formatter::new(self.layout, TimeZone::system(), &self.run_id)
    }
}

/// Whole lines.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Message {
    Lines(Batch),
    /// Nothing more will come.
    End,
}

/// Where threads get the means to write to a log.
#[derive(Debug, Clone)]
pub struct Sink {
    pub(super) shared: Arc<Shared>,
    pub(super) sender: SyncSender<Message>,
}

impl Sink {
    /// For one thread.
    pub fn lines(&self) -> Lines {
        Lines {
            formatter: self.shared.formatter(),
            buffer: Vec::new(),
            gathered: 0,
            oldest: Duration::ZERO,
            sink: self.clone(),
        }
    }
}

/// How a bot went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Farewell {
    /// It did all that it had to.
    Finished,
    /// The run, or fewer bots, had it end.
    Stopped,
    /// It died, for this reason.
    Died(String),
}

/// Writes the lines of one thread. They are gathered and handed over by the batch; a writer that has more
/// than enough to do makes them be dropped and counted, and holds up nobody.
#[derive(Debug)]
pub struct Lines {
    formatter: Formatter,
    buffer: Vec<u8>,
    /// How many are in the buffer.
    gathered: u64,
    /// When the first of them was written, since 1970.
    oldest: Duration,
    sink: Sink,
}

impl Lines {
    /// Writes a line with the time of now.
    pub fn write(&mut self, record: &Record<'_>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.gathered == 0 {
            self.oldest = now;
        }
        self.formatter.line(&mut self.buffer, now, record);
        self.gathered += 1;
        // A clock that was set back makes them old, too.
        if self.buffer.len() >= BATCH || now.abs_diff(self.oldest) >= AGE {
            self.flush();
        }
    }

    /// Tells of a bot that begins.
    pub fn born(&mut self, bot: u64, scenario: Option<&str>) {
        self.sink.shared.alive.fetch_add(1, Ordering::Relaxed);
        let message = "A new baby bot is born";
        self.write(&Record { message, bot_id: Some(bot), scenario, ..Record::default() });
    }

    /// Tells of a bot that is gone.
    pub fn gone(&mut self, bot: u64, scenario: Option<&str>, uptime: Duration, how: &Farewell) {
        let before = self.sink.shared.alive.fetch_sub(1, Ordering::Relaxed);
        let (level, message, error) = match how {
            Farewell::Finished => (Level::Info, "Bot finished work", None),
            Farewell::Stopped => (Level::Info, "Bot stopped", None),
            Farewell::Died(reason) => (Level::Error, "Bot died!", Some(reason.as_str())),
        };
        self.write(&Record {
            level,
            message,
            bot_id: Some(bot),
            error,
            uptime: Some(uptime),
            bot_count: Some(before.saturating_sub(1)),
            scenario,
            ..Record::default()
        });
    }

    /// Hands over what was written; to be called now and then, for lines that no other follows. Nobody
    /// waits: while the writer has more than enough to do they are kept up to a bound, and then dropped.
    pub fn flush(&mut self) {
        if let Some(kept) = self.hand_over() {
            if kept.bytes.len() < BATCH {
                (self.buffer, self.gathered) = (kept.bytes, kept.lines);
            } else {
                self.drop_all(&kept);
            }
        }
    }

    /// Gives them to the writer, or gives them back.
    fn hand_over(&mut self) -> Option<Batch> {
        if self.gathered == 0 {
            return None;
        }
        // The next will be about as many.
        let room = (self.buffer.len() + MAX_LINE).min(BATCH + MAX_LINE);
        let batch =
            Batch { bytes: std::mem::take(&mut self.buffer), lines: std::mem::take(&mut self.gathered) };
        let lines = batch.lines;
        match self.sink.sender.try_send(Message::Lines(batch)) {
            Ok(()) => {
                self.sink.shared.told.fetch_add(lines, Ordering::Relaxed);
                self.buffer = Vec::with_capacity(room);
                None
            }
            Err(TrySendError::Full(Message::Lines(batch))) => Some(batch),
            // The log is closed.
            Err(TrySendError::Disconnected(Message::Lines(batch))) => {
                self.drop_all(&batch);
                None
            }
            Err(_) => None,
        }
    }

    fn drop_all(&self, batch: &Batch) {
        self.sink.shared.told.fetch_add(batch.lines, Ordering::Relaxed);
        self.sink.shared.dropped.fetch_add(batch.lines, Ordering::Relaxed);
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let begun = Instant::now();
        while let Some(kept) = self.hand_over() {
            if begun.elapsed() > LAST_PATIENCE {
                return self.drop_all(&kept);
            }
            (self.buffer, self.gathered) = (kept.bytes, kept.lines);
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Log, action};
    use super::*;

    #[test]
    fn lines_are_handed_over_when_they_are_many_or_old() {
        let log = Log::open();
        let told = |log: &Log| log.sink().shared.told.load(Ordering::Relaxed);
        let mut lines = log.sink().lines();
        lines.write(&action(1));
        let before = told(&log);
        // Sets the time of the first line back.
        lines.oldest = Duration::ZERO;
        lines.write(&action(2));
        assert_eq!((before, told(&log)), (0, 2));
        let mut many = 2;
        while told(&log) == 2 {
            // Only the number counts: on a slow machine they would be old first.
            lines.oldest = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            lines.write(&action(3));
            many += 1;
            assert!(many < 10_000, "they are gathered without end");
        }
        assert!(many > 100 && told(&log) == many, "{many}");
        drop(lines);
        assert_eq!(log.close().len() as u64, many);
    }
}
