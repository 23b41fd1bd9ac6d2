//! The log of what the bots do: a line for each action, each bot that comes and goes, and the run.
//!
//! [`BotLog::open`] opens the file, [`Sink::lines`] gives each thread the means to write to it, and
//! [`BotLog::close`] tells what came of it. The threads format their lines themselves and hand them
//! over by the batch, so that neither a slow disk nor a full one holds up a bot: lines are dropped
//! then, and counted. What is kept is bounded in memory and on the disk.

mod chronicle;
mod clock;
mod file;
mod format;
mod lines;
mod record;
#[cfg(test)]
mod tests;
mod text;
mod uptime;
mod writer;

pub use chronicle::Chronicle;
pub use lines::{Farewell, Lines, Sink};
pub use record::{Level, Record};

use botarmy_spec::Run;
use file::LogFile;
use lines::{Message, Shared};
use serde_json::Value;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use writer::Writer;

/// The name that the file has where none is given.
pub const FILE_NAME: &str = "bot_run.log";
/// The largest that the file becomes, in bytes; there is one more that was set aside.
pub const MAX_FILE: u64 = 100 << 20;
/// Batches on their way to the file; each of about 64 KiB at most.
const BATCHES: usize = 32;
/// How long [`BotLog::close`] waits for what is on its way.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// How a line is laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Layout {
    /// `TIME key=value key=value [level] message`.
    #[default]
    Pairs,
    /// One JSON object.
    Json,
}

/// Which log is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The file.
    pub path: PathBuf,
    /// Its lines.
    pub layout: Layout,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened.
    #[error("the bot log cannot be written to {0}: {1}; name another file")]
    Unwritable(String, io::Error),
    /// The system gives no thread.
    #[error("the bot log cannot be begun: {0}; check the limit of processes")]
    Thread(io::Error),
}

/// An open log.
#[derive(Debug)]
pub struct BotLog {
    sink: Sink,
    failure: Arc<Mutex<Option<String>>>,
    /// Tells that the writer has ended, by being closed.
    ended: Receiver<()>,
}

/// What came of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Lines that are in the file.
    pub written: u64,
    /// Lines that are not.
    pub dropped: u64,
    /// Why the file could not be written to, the first time.
    pub failure: Option<String>,
}

/// The id that the lines of a run carry: its `custom.bot_run_id` if that is a text, else its name.
pub fn run_id(run: &Run) -> &str {
    let custom = run.scenarios.first().and_then(|s| s.scope.custom.get("bot_run_id"));
    custom.and_then(Value::as_str).unwrap_or(&run.name)
}

impl Settings {
    /// Finds out whether the file can be opened, and makes it if need be.
    pub fn check(&self) -> Result<(), Error> {
        self.file().map(drop)
    }

    fn file(&self) -> Result<LogFile, Error> {
        let file = LogFile::open(&self.path, MAX_FILE);
        file.map_err(|e| Error::Unwritable(self.path.display().to_string(), e))
    }
}

impl BotLog {
    /// Opens the file, which is appended to, for the lines of a run.
    pub fn open(settings: &Settings, run_id: &str) -> Result<Self, Error> {
        Self::write_to(settings.file()?, settings.layout, run_id)
    }

    fn write_to(file: LogFile, layout: Layout, run_id: &str) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            layout,
            run_id: run_id.to_owned(),
            alive: 0.into(),
            told: 0.into(),
            written: 0.into(),
            dropped: 0.into(),
        });
        let (sender, messages) = sync_channel(BATCHES);
        let (end, ended) = channel();
        let failure = Arc::default();
        let writer = Writer::new(file, shared.clone(), Arc::clone(&failure));
        let work = move || {
            writer.work(&messages);
            // First, so that nothing can be handed over any more when it is said to be closed.
            drop(messages);
            drop::<Sender<()>>(end);
        };
        std::thread::Builder::new().name("bot-log".to_owned()).spawn(work).map_err(Error::Thread)?;
        Ok(Self { sink: Sink { shared, sender }, failure, ended })
    }

    /// By which threads write to it.
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Waits until what was handed over is in the file, at most for some seconds: a pipe that nobody
    /// reads, or a disk that hangs, is left behind. Call it when the threads that write have ended.
    pub fn close(self) -> Closed {
        self.close_within(LAST_WRITES)
    }

    fn close_within(self, most: Duration) -> Closed {
        let deadline = Instant::now() + most;
        while let Err(TrySendError::Full(_)) = self.sink.sender.try_send(Message::End)
            && Instant::now() < deadline
        {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let rest = deadline.saturating_duration_since(Instant::now());
        if matches!(self.ended.recv_timeout(rest), Err(RecvTimeoutError::Timeout)) {
            tracing::error!("the bot log cannot be written in time; the rest of it is dropped");
        }
        let shared = &self.sink.shared;
        let written = shared.written.load(Ordering::Relaxed);
        let dropped = shared.told.load(Ordering::Relaxed).saturating_sub(written);
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        Closed { written, dropped, failure }
    }
}

impl Closed {
    /// What there is to complain about, if anything.
    pub fn complaint(&self) -> Option<String> {
        let why = self.failure.as_deref().unwrap_or("more came than could be written");
        let (dropped, all) = (self.dropped, self.dropped + self.written);
        (dropped > 0).then(|| format!("{dropped} of {all} lines of the bot log were dropped: {why}"))
    }
}
