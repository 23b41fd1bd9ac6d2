//! The way of lines from threads to the file: all of them counted, whatever the file does.

use super::*;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use tempfile::TempDir;

/// A log in a folder of its own, of a run named `r`.
pub(super) struct Log {
    folder: TempDir,
    log: BotLog,
}

impl Log {
    pub(super) fn open() -> Self {
        Self::bounded(MAX_FILE)
    }

    fn bounded(most: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = LogFile::open(&folder.path().join(FILE_NAME), most).unwrap();
        Self { folder, log: BotLog::write_to(file, Layout::Pairs, "r").unwrap() }
    }

    pub(super) fn sink(&self) -> &Sink {
        self.log.sink()
    }

    /// The lines that are in the file; none was dropped.
    pub(super) fn close(self) -> Vec<String> {
        let closed = self.log.close();
        let lines = lines(&self.folder.path().join(FILE_NAME));
        let written = lines.len() as u64;
        assert_eq!(closed, Closed { written, dropped: 0, failure: None });
        assert_eq!(closed.complaint(), None);
        lines
    }
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(ToOwned::to_owned).collect()
}

pub(super) fn action(bot: u64) -> Record<'static> {
    Record {
        bot_id: Some(bot),
        action: Some("Shop.buy"),
        outcome: Some("succeed"),
        duration: Some(7),
        ..Record::default()
    }
}

/// The number behind a key.
fn number(line: &str, key: &str) -> Option<u64> {
    let rest = line.split_once(&format!(" {key}="))?.1;
    rest.split(' ').next()?.parse().ok()
}

#[test]
fn bots_come_and_go() {
    let log = Log::open();
    let mut lines = log.sink().lines();
    let mut others = log.sink().lines();
    lines.born(1, None);
    lines.flush();
    others.born(2, Some("day"));
    others.gone(2, Some("day"), Duration::from_millis(65_021), &Farewell::Finished);
    drop(others);
    lines.gone(1, None, Duration::ZERO, &Farewell::Died("no luck".into()));
    lines.born(3, None);
    lines.gone(3, None, Duration::from_secs(1), &Farewell::Stopped);
    drop(lines);
    let written = log.close();
    let rests: Vec<_> = written.iter().map(|l| l.split_once(' ').unwrap().1).collect();
    assert_eq!(
        rests,
        [
            "bot_id=1 bot_run_id=r [info] A new baby bot is born",
            "bot_id=2 bot_run_id=r scenario=day [info] A new baby bot is born",
            "bot_id=2 bot_run_id=r uptime=\"1 minute, 5 seconds, 21.0 milliseconds\" bot_count=1 scenario=day [info] \
             Bot finished work",
            "bot_id=1 bot_run_id=r error=\"no luck\" uptime=\"0 microseconds\" bot_count=0 [error] Bot died!",
            "bot_id=3 bot_run_id=r [info] A new baby bot is born",
            "bot_id=3 bot_run_id=r uptime=\"1 second\" bot_count=0 [info] Bot stopped",
        ]
    );
    for line in &written {
        let time: jiff::civil::DateTime = line.split_once(' ').unwrap().0.parse().unwrap();
        assert_eq!(time.to_string().len().max(23), 23, "{line}");
    }
}

#[test]
fn each_thread_keeps_its_order_and_no_line_is_mixed_with_another() {
    const EACH: u64 = 4_000;
    let log = Log::open();
    std::thread::scope(|scope| {
        for bot in 0..4 {
            let mut lines = log.sink().lines();
            scope.spawn(move || {
                for n in 0..EACH {
                    lines.write(&Record { duration: Some(n), ..action(bot) });
                    if n % 500 == 0 {
                        lines.flush();
                    }
                }
            });
        }
    });
    let written = log.close();
    assert_eq!(written.len() as u64, 4 * EACH);
    for bot in 0..4 {
        let own = written.iter().filter(|l| number(l, "bot_id") == Some(bot));
        assert!(own.map(|l| number(l, "duration").unwrap()).eq(0..EACH), "bot {bot}");
    }
}

#[test]
fn the_file_is_bounded_and_what_was_set_aside_is_kept() {
    let log = Log::bounded(2_000);
    let folder = log.folder.path().to_owned();
    let mut lines_of = log.sink().lines();
    for bot in 0..200 {
        lines_of.write(&action(bot));
        lines_of.flush();
        // One by one: a batch of many could be larger than the bound.
        while log.sink().shared.written.load(Ordering::Relaxed) <= bot {
            std::thread::park_timeout(Duration::from_micros(100));
        }
    }
    drop(lines_of);
    let Log { folder: _kept, log } = log;
    let closed = log.close();
    assert_eq!((closed.written, closed.dropped), (200, 0));
    let (aside, now) = (folder.join("bot_run.log.1"), folder.join(FILE_NAME));
    for path in [&aside, &now] {
        assert!(fs::metadata(path).unwrap().len() <= 2_000);
    }
    let kept: Vec<u64> =
        [lines(&aside), lines(&now)].concat().iter().map(|l| number(l, "bot_id").unwrap()).collect();
    assert!(kept.len() > 20 && kept.iter().copied().eq(200 - kept.len() as u64..200), "{kept:?}");
}

#[test]
fn a_reader_that_is_slow_costs_lines_and_no_time() {
    const ALL: u64 = 60_000;
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Opened for both, so that it does not wait for a writer.
    let reader = File::options().read(true).write(true).open(&pipe).unwrap();
    let log = BotLog::open(&Settings { path: pipe, layout: Layout::Pairs }, "r").unwrap();
    let mut lines = log.sink().lines();
    // Nobody reads yet: more than the pipe and the channel hold can only be dropped.
    for bot in 1..=ALL {
        lines.write(&action(bot));
    }
    let dropped = log.sink().shared.dropped.load(Ordering::Relaxed);
    assert!(dropped > 0 && dropped < ALL, "{dropped}");
    let reading = std::thread::spawn(move || {
        let mut read = Vec::new();
        for line in BufReader::new(reader).lines() {
            let line = line.unwrap();
            if line.ends_with("the end") {
                return read;
            }
            read.push(line);
        }
        read
    });
    drop(lines);
    let closed = log.close_within(Duration::from_secs(60));
    assert_eq!(closed.written + closed.dropped, ALL);
    assert!(closed.complaint().unwrap().contains("more came than could be written"));
    File::options().append(true).open(folder.path().join("pipe")).unwrap().write_all(b"the end\n").unwrap();
    let read = reading.join().unwrap();
    let bots: Vec<u64> = read.iter().filter_map(|l| number(l, "bot_id")).collect();
    assert_eq!(bots.len() as u64, closed.written);
    assert!(bots.is_sorted() && bots[0] == 1);
    let told: u64 = read.iter().filter_map(|l| number(l, "dropped")).sum();
    assert_eq!(told, closed.dropped);
    assert!(read.iter().any(|l| l.ends_with("[warn] Lines were dropped here")));
}

#[test]
fn one_that_is_never_read_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = File::options().read(true).write(true).open(&pipe).unwrap();
    let log = BotLog::open(&Settings { path: pipe, layout: Layout::Json }, "r").unwrap();
    let mut lines = log.sink().lines();
    for bot in 0..3_000 {
        lines.write(&action(bot));
    }
    drop(lines);
    let closed = log.close_within(Duration::from_millis(50));
    assert_eq!(closed.written + closed.dropped, 3_000);
    assert!(closed.dropped > 0);
    drop(reader);
}

#[test]
fn a_full_disk_is_told_and_every_line_counted() {
    let settings = Settings { path: "/dev/full".into(), layout: Layout::Pairs };
    let log = BotLog::open(&settings, "r").unwrap();
    let mut lines = log.sink().lines();
    for bot in 0..1_000 {
        lines.write(&action(bot));
    }
    drop(lines);
    let closed = log.close();
    assert_eq!((closed.written, closed.dropped), (0, 1_000));
    let complaint = closed.complaint().unwrap();
    assert!(
        complaint.starts_with("1000 of 1000 lines of the bot log were dropped: No space left"),
        "{complaint}"
    );
}

#[test]
fn a_log_that_is_closed_takes_no_lines_and_says_so() {
    let log = Log::open();
    let mut lines = log.sink().lines();
    let shared = log.sink().shared.clone();
    assert!(log.close().is_empty());
    lines.write(&action(1));
    lines.flush();
    drop(lines);
    assert_eq!(shared.dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn a_place_that_cannot_be_written_to_is_named() {
    for path in ["/", "/no/such/folder/log"] {
        let settings = Settings { path: path.into(), layout: Layout::Pairs };
        let error = BotLog::open(&settings, "r").unwrap_err().to_string();
        assert!(error.starts_with(&format!("the bot log cannot be written to {path}: ")), "{error}");
    }
}
