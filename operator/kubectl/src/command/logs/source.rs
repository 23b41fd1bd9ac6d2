//! The log of one pod, line by line.

use super::lines::{Lines, Seen};
use super::pod::{Stage, stage};
use crate::cluster::{Cluster, Error};
use botarmy_console::output::complain;
use botarmy_crds::RUNNER_CONTAINER;
use futures::{AsyncRead, AsyncReadExt};
use kube::api::LogParams;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// How much is read at once, in bytes.
const PIECE: usize = 16 << 10;
/// After so long without a line the log is opened anew: a way that is cut off in silence looks like one on which
/// nothing is said.
const SILENCE: Duration = Duration::from_secs(120);
/// Between two tries to open a log.
const PAUSE: Duration = Duration::from_secs(1);
/// Tries in a row that bring nothing, after which a pod is given up. One that is silent is no such try.
const MAX_TRIES: u32 = 60;

/// A log that is being read.
pub(super) struct Reading<R> {
    source: Pin<Box<R>>,
    lines: Lines,
    ready: VecDeque<String>,
    piece: Vec<u8>,
}

impl<R: AsyncRead> Reading<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source: Box::pin(source),
            lines: Lines::default(),
            ready: VecDeque::new(),
            piece: vec![0; PIECE],
        }
    }

    /// The next line; none at the end of the log.
    pub(super) async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            match self.source.read(&mut self.piece).await? {
                0 => return Ok(self.lines.rest()),
                length => self.ready.extend(self.lines.take(&self.piece[..length])),
            }
        }
    }
}

/// What is asked for of a pod's log.
pub(super) fn asked(tail: Option<u32>) -> LogParams {
    LogParams {
        container: Some(RUNNER_CONTAINER.to_owned()),
        tail_lines: tail.map(i64::from),
        ..LogParams::default()
    }
}

/// A line, with the name of its pod.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) pod: String,
    pub(super) text: String,
}

/// Hands on what a pod says until its container has ended and all of it was read, however often the way to it is cut
/// off. Ends early when nobody takes lines any more.
pub(super) async fn follow(cluster: Cluster, pod: String, tail: Option<u32>, to: Sender<Line>) {
    let mut follower = Follower { cluster, pod, tail, to, seen: Seen::default() };
    let mut tries = 0;
    while !follower.to.is_closed() {
        // A container that ends while it is read is read once more: what ended may have been the way to it.
        let has_ended = follower.has_ended().await;
        let why = match follower.read().await {
            Ok(read) if has_ended && read.to_its_end => return,
            Ok(read) if read.holds => {
                tries = 0;
                None
            }
            Ok(_) => None,
            Err(Error::NotFound { .. }) => return,
            Err(error) => Some(error.to_string()),
        };
        tries += 1;
        if tries > MAX_TRIES {
            let why = why.unwrap_or_else(|| "it says nothing and does not end".to_owned());
            complain(&format_args!("the log of {} is given up: {why}", follower.pod));
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What came of a try to read.
struct Read {
    /// There were lines, or a silence on a way that was open.
    holds: bool,
    /// Nothing broke off on the way.
    to_its_end: bool,
}

struct Follower {
    cluster: Cluster,
    pod: String,
    tail: Option<u32>,
    to: Sender<Line>,
    seen: Seen,
}

impl Follower {
    async fn has_ended(&self) -> bool {
        match self.cluster.call(self.cluster.pods().get_opt(&self.pod)).await {
            Ok(pod) => pod.is_none_or(|pod| stage(&pod) == Stage::Ended),
            Err(_) => false,
        }
    }

    /// Reads from where it was left to the end of the log, or of the way to it.
    async fn read(&mut self) -> Result<Read, Error> {
        let since_time = self.seen.read_anew();
        // Lines before are not asked for again.
        let tail = self.tail.filter(|_| since_time.is_none());
        let how = LogParams { follow: true, timestamps: true, since_time, ..asked(tail) };
        let pods = self.cluster.pods();
        let mut reading = Reading::new(self.cluster.call(pods.log_stream(&self.pod, &how)).await?);
        let mut read = Read { holds: false, to_its_end: false };
        loop {
            match tokio::time::timeout(SILENCE, reading.next()).await {
                Ok(Ok(Some(line))) => {
                    let Some(text) = self.seen.fresh(&line) else { continue };
                    read.holds = true;
                    let line = Line { pod: self.pod.clone(), text: text.to_owned() };
                    if self.to.send(line).await.is_err() {
                        return Ok(read);
                    }
                }
                Ok(Ok(None)) => return Ok(Read { to_its_end: true, ..read }),
                Ok(Err(_)) => return Ok(read),
                Err(_) => return Ok(Read { holds: true, ..read }),
            }
        }
    }
}
