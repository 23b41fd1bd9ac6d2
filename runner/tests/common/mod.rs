//! Programs under test, each with a bound on how long it may take.

#![allow(dead_code, reason = "each file of tests uses its own part of this")]

pub(crate) mod army;
pub(crate) mod bucket;
pub(crate) mod refusal;

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest that any program may take, even on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a program that ended has left.
#[derive(Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Its exit code; a death by a signal and a panic fail the test.
    pub(crate) fn code(&self) -> i32 {
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {self:#?}"))
    }

    /// Checks the exit code.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "{self:#?}");
        self
    }

    pub(crate) fn stdout_lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    pub(crate) fn stderr_lines(&self) -> Vec<&str> {
        self.stderr.lines().collect()
    }
}

/// A program that runs; it is killed if the test ends before it.
pub(crate) struct Running {
    pid: u32,
    ended: Receiver<Ended>,
    over: bool,
}

impl Running {
    pub(crate) fn new(mut child: Child) -> Self {
        let stdout = child.stdout.take();
        Self::reading(child, stdout)
    }

    fn reading(mut child: Child, stdout: Option<impl Read + Send + 'static>) -> Self {
        let stderr = child.stderr.take();
        let pid = child.id();
        let (sender, ended) = channel();
        std::thread::spawn(move || {
            let errors = std::thread::spawn(move || read_all(stderr));
            let stdout = read_all(stdout);
            let stderr = errors.join().unwrap_or_default();
            let status = child.wait().expect("the program was started");
            // The test may be over.
            let _ = sender.send(Ended { status, stdout, stderr });
        });
        Self { pid, ended, over: false }
    }

    /// Sends a signal, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid.to_string()).output();
        assert!(sent.expect("kill").status.success(), "{name} cannot be sent");
    }

    /// Lets it open no further file while it holds so many.
    pub(crate) fn limit_files(&self, files: u32) {
        let mut program = Command::new("prlimit");
        program.args(["--pid", &self.pid.to_string(), &format!("--nofile={files}:{files}")]);
        let limited = program.output().expect("prlimit");
        assert!(limited.status.success(), "its files cannot be limited: {limited:?}");
    }

    /// Whether it ended within a time.
    pub(crate) fn ended_within(&mut self, time: Duration) -> Option<Ended> {
        let ended = self.ended.recv_timeout(time).ok();
        self.over |= ended.is_some();
        ended
    }

    /// Whether its end was seen.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        self.ended_within(PATIENCE).expect("the program goes on and on")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            let _ = Command::new("kill").arg("-KILL").arg(self.pid.to_string()).output();
        }
    }
}

fn read_all(from: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    // What was read before an error is what there is.
    let _ = from.map(|mut from| from.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The program with these arguments.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    command.args(args).env_remove("RUST_LOG").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn ended(mut program: Command) -> Ended {
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::new(program.spawn().expect("the program starts")).end()
}

/// Starts the program.
pub(crate) fn start(args: &[&str]) -> Running {
    Running::new(command(args).spawn().expect("the program starts"))
}

/// Runs the program to its end.
pub(crate) fn runner(args: &[&str]) -> Ended {
    start(args).end()
}

/// Runs the program to its end; nobody reads what it writes to stdout and stderr.
pub(crate) fn unread(args: &[&str]) -> Ended {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut program = command(args);
    program.stdout(writer.try_clone().expect("a pipe")).stderr(writer);
    Running::new(program.spawn().expect("the program starts")).end()
}

/// A folder that is gone after the test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// The path of a file that need not exist.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and tells its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).expect("the file is written");
        text(&path)
    }
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("a path of text").to_owned()
}

/// The demo shop as a program of its own.
pub(crate) struct Shop {
    pub(crate) address: SocketAddr,
    pub(crate) program: Running,
}

impl Shop {
    /// Starts it on a free port.
    pub(crate) fn open(args: &[&str]) -> Self {
        let args = [&["target", "--listen", "127.0.0.1:0"], args].concat();
        let mut child = command(&args).spawn().expect("the shop starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, told) = channel();
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = sender.send(line);
            stdout
        });
        let line = told.recv_timeout(PATIENCE).expect("the shop tells its address");
        let program = Running::reading(child, reader.join().ok());
        let address = line.trim_end().strip_prefix("the shop is open at http://");
        let address = address.unwrap_or_else(|| panic!("no address: {line:?}"));
        Self { address: address.parse().expect("an address"), program }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks it, with these header lines and this body.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
        ask(self.address, method, path, headers, body)
    }

    /// Its own count: of all requests, and by route.
    pub(crate) fn stats(&self) -> Value {
        let (status, body) = self.ask("GET", "/stats", &[], "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    pub(crate) fn requests(&self) -> u64 {
        self.stats()["requests"].as_u64().expect("a number")
    }
}

/// Sends one request and reads its answer to the end.
pub(crate) fn ask(to: SocketAddr, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(to).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let lines: String = headers.iter().flat_map(|h| [h, "\r\n"]).collect();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\ncontent-length: {length}\r\n"
    );
    write!(stream, "{head}{lines}\r\n{body}").expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {head}")), body.to_owned())
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
