//! The commands of a block of `console`: each is run as a shell would run it, and comes to what is shown or meant.

use super::{Block, FILE, runs};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Commands that are done at once, and say what a document shows.
const SAY: [&str; 4] = ["validate", "trace", "schema", "summary"];
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs all commands of a block, of which this is the file, and tells how many there were.
pub(super) fn check(program: &Path, block: &Block, file: &str) -> usize {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(FILE), file).expect("the file is written");
    let (mut shown, mut commands) = (String::new(), 0);
    for line in block.text.lines() {
        let Some(command) = line.strip_prefix("$ ") else { continue };
        let said = match command.split(' ').collect::<Vec<_>>().as_slice() {
            ["runner", kind, ..] if SAY.contains(kind) => says(program, folder.path(), command),
            ["runner", "run", rest @ ..] => {
                run(program, folder.path(), &rest.join(" "), &format!("{}: {command}", block.place));
                // Its table has other figures each time.
                String::new()
            }
            _ => panic!("{}: no test runs {command}", block.place),
        };
        shown.push_str(&format!("{line}\n{said}"));
        commands += 1;
    }
    assert_eq!(shown, block.text, "{}", block.place);
    commands
}

/// This command in a shell that knows the runner.
fn shell(program: &Path, command: &str) -> Command {
    let folder = program.parent().expect("a folder").display();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("PATH", format!("{folder}:{path}"));
    shell
}

fn says(program: &Path, folder: &Path, command: &str) -> String {
    let ran = shell(program, command).current_dir(folder).output().expect("the runner");
    String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned()
}

/// Runs an army, and looks at what these options promise.
fn run(program: &Path, folder: &Path, options: &str, place: &str) {
    let collector = Collector::open();
    let here = options
        .replace("https://collector:4318", &collector.url())
        .replace("http://collector:4318", &collector.url())
        // Any free port instead of the one that another may have taken.
        .replace(":9464", ":0");
    // In the shell's own place, so that an interrupt comes to the runner.
    let command = shell(program, &format!("exec runner run {} {here}", runs::OPTIONS));
    let ran = runs::run_for_a_while(command, folder, place, runs::Measured::Something);
    if options.contains("--metrics-listen") {
        let scraped = ran.scraped.as_deref().unwrap_or_default();
        assert!(scraped.contains("botarmy_requests_total"), "{place}: {scraped}{}", ran.said);
    }
    if options.contains("--otlp-endpoint") {
        let heads = collector.heads();
        let pushed = heads.iter().filter(|head| head.starts_with("post /v1/metrics "));
        let with_header =
            |head: &String| !options.contains("Bearer abc") || head.contains("authorization: bearer abc");
        assert!(
            pushed.clone().count() > 0 && pushed.clone().all(with_header),
            "{place}: {heads:?}{}",
            ran.said
        );
    }
    if options.contains("--log-file") {
        let log = std::fs::read_to_string(folder.join("bot_run.log")).expect("a log");
        let json = options.contains("--format-json-logs");
        let succeeded = if json { r#""outcome":"succeed""# } else { "outcome=succeed" };
        assert!(log.contains(succeeded), "{place}: {log}");
    }
}

/// A collector that takes whatever is pushed, and keeps what stands before it. It lives as long as the test.
struct Collector {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = heads.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Self { address, heads }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Takes one push, and closes.
fn serve(mut stream: TcpStream, kept: &Mutex<Vec<String>>) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if stream.read_exact(&mut body).is_ok() {
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(head);
        // A run that is over may not wait for it.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
}
