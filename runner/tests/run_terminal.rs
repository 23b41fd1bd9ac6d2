//! `runner run` on a terminal: what is drawn, where messages stand, and what is left of it.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{GET, Given};
use common::{Running, Shop, command, until};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex};

/// A pseudo terminal with a program in it, and what the program has written.
struct Terminal {
    control: OwnedFd,
    written: Arc<Mutex<Vec<u8>>>,
    size: (u16, u16),
    program: Running,
}

impl Terminal {
    /// Starts the program in a terminal with so many columns; both of its outputs go there.
    fn start(columns: u16, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let control = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
        grantpt(&control).and_then(|()| unlockpt(&control)).expect("it may be opened");
        let size = (60, columns);
        resize(&control, size);
        let name = ptsname(&control, Vec::new()).expect("it has a name");
        let path = std::ffi::OsStr::from_bytes(name.to_bytes());
        let end = OpenOptions::new().read(true).write(true).open(path).expect("its other end");
        let mut program = command(args);
        program.env("TERM", "xterm-256color").env_remove("NO_COLOR").envs(environment.iter().copied());
        program.stdout(end.try_clone().expect("its other end")).stderr(end);
        let program = Running::new(program.spawn().expect("the program starts"));
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, all) = (File::from(control.try_clone().expect("the terminal")), written.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It ends with an error when nobody has the other end any more.
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                all.lock().expect("the bytes").extend_from_slice(&bytes[..n]);
            }
        });
        Self { control, written, size, program }
    }

    fn resize(&mut self, columns: u16) {
        self.size.1 = columns;
        resize(&self.control, self.size);
        // The kernel tells only those whose controlling terminal it is.
        self.program.signal("WINCH");
    }

    fn bytes(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().expect("the bytes")).into_owned()
    }

    /// What stands there now, without empty lines at the end.
    fn screen(&self) -> String {
        screen(&self.bytes(), self.size)
    }

    /// Waits for the program's end, and tells its exit code and all that it wrote.
    fn end(self) -> (i32, String) {
        let Self { written, program, .. } = self;
        let code = program.end().code();
        // All of it was read when nothing more comes after the end.
        let mut before = usize::MAX;
        until("the terminal is silent", || {
            let now = written.lock().expect("the bytes").len();
            let silent = now == before;
            before = now;
            std::thread::park_timeout(std::time::Duration::from_millis(100));
            silent
        });
        let bytes = written.lock().expect("the bytes");
        (code, String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn resize(terminal: &OwnedFd, (rows, columns): (u16, u16)) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("it takes a size");
}

/// What an independent terminal shows of it.
fn screen(bytes: &str, (rows, columns): (u16, u16)) -> String {
    let [rows, columns] = [rows, columns].map(|n| NonZero::new(n).expect("some"));
    let mut terminal = vt100::Parser::new(rows, columns, 0);
    terminal.process(bytes.as_bytes());
    assert!(!terminal.screen().hide_cursor(), "the cursor is there");
    terminal.screen().contents()
}

/// A run that goes on until it is told to end.
fn endless() -> String {
    format!("{GET}thresholds: [{{expect: fail_rate < 1%}}, {{expect: count < 1, action: GET /catalogue}}]\n")
}

#[test]
fn a_view_shows_thresholds_and_time_left_and_leaves_only_the_summary() {
    let shop = Shop::open(&["--latency", "5ms"]);
    let given = Given::new(&endless());
    let url = shop.url();
    let args = given.args(&["--target", &url, "--bots", "3", "--duration", "1h"]);
    let terminal = Terminal::start(100, &args, &[]);
    until("the view is there", || terminal.screen().contains("✓ fail_rate < 1%   0.00%"));
    let shown = terminal.screen();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("army  ░░░") && lines[0].ends_with("s left"), "{shown}");
    assert!(lines[0].contains("   0%  59m "), "{shown}");
    for (line, parts) in [
        (1, &["bots 3   actions ", "/s   requests ", "/s   last "][..]),
        (2, &["p50 ", "ms   p95 ", "   whole run"]),
        (3, &["errors 0.00% last ", "   0.00% whole run"]),
        (4, &["✓ fail_rate < 1%   0.00%", "all measured actions"]),
        (5, &["✗ count < 1        ", "GET /catalogue"]),
    ] {
        assert!(parts.iter().all(|part| lines[line].contains(part)), "{parts:?} in {shown}");
    }
    assert_eq!(lines.len(), 6, "{shown}");
    let frames = terminal.bytes().matches("\u{1b}[?7h").count();
    until("it is drawn again", || terminal.bytes().matches("\u{1b}[?7h").count() > frames + 1);
    assert_eq!(terminal.screen().lines().count(), 6, "in its place: {}", terminal.screen());
    terminal.program.signal("INT");
    let (code, bytes) = terminal.end();
    assert_eq!(code, 99, "{bytes}");
    let left = screen(&bytes, (60, 100));
    let mut lines = left.lines();
    let said = "the run ends; a second interrupt ends it at once, without a result";
    assert_eq!(lines.next(), Some(said), "{left}");
    assert_eq!(lines.next(), Some("outcome     Failed"), "{left}");
    assert!(!left.contains(" left") && !left.contains("░") && !left.contains("whole run"), "{left}");
    assert_eq!(left.matches("fail_rate < 1%").count(), 1, "the summary's own: {left}");
    assert!(bytes.contains("\u{1b}[32m✓ \u{1b}[0m"), "it has colours");
}

#[test]
fn a_view_follows_the_size_of_the_terminal() {
    let shop = Shop::open(&["--latency", "5ms"]);
    let given = Given::new(&endless());
    let args = ["run", &given.file, "--target", &shop.url(), "--duration", "1h"];
    let mut terminal = Terminal::start(100, &args, &[("NO_COLOR", "1")]);
    until("the view is there", || terminal.screen().contains("whole run"));
    let before = terminal.bytes().len();
    terminal.resize(40);
    until("the view is narrow", || terminal.bytes()[before..].contains(" whole\u{1b}[K"));
    // Drawn as the terminal is now; on one that was always so, each line is whole.
    let narrow = terminal.bytes()[before..].rsplit_once("\u{1b}[?7l").expect("a frame").1.to_owned();
    let narrow = screen(&narrow, (60, 40));
    assert!(narrow.lines().all(|line| line.chars().count() < 40), "{narrow}");
    assert!(!terminal.bytes().contains("\u{1b}[3"), "no colours were wanted");
    terminal.program.signal("TERM");
    assert_eq!(terminal.end().0, 99);
}

#[test]
fn what_is_logged_stands_above_the_view() {
    let shop = Shop::open(&["--latency", "300ms"]);
    // Drawn lines are longer than logged ones, so that nothing hides a rest of them.
    let given = Given::new(
        "apiVersion: botarmy.dev/v1alpha1
kind: BotRun
metadata: {name: a-name-that-is-rather-long-but}
spec: {trees: {T: {sequence: [{log: 'pass of {{ bot.id }}'}, {http: {get: '{{ target }}/catalogue'}}]}}}
",
    );
    let args = ["run", &given.file, "--target", &shop.url(), "--duration", "1h", "--bots", "2"];
    let environment = [("RUST_LOG", "botarmy_actions=info"), ("NO_COLOR", "1")];
    let terminal = Terminal::start(120, &args, &environment);
    until("it has logged beside a view", || {
        let screen = terminal.screen();
        screen.matches("pass of").count() > 12 && screen.contains("whole run")
    });
    terminal.program.signal("INT");
    let (_, bytes) = terminal.end();
    for frame in bytes.split_inclusive("\u{1b}[?7h").scan(String::new(), |all, frame| {
        all.push_str(frame);
        Some(all.clone())
    }) {
        let shown = screen(&frame, (60, 120));
        if !shown.contains("whole run") {
            continue;
        }
        let view = shown.lines().skip_while(|line| line.contains("pass of"));
        assert!(view.take(4).all(|line| !line.contains("pass of")), "{shown}");
        let whole = |line: &str| line.ends_with("pass of 1 bot_id=1") || line.ends_with("pass of 2 bot_id=2");
        assert!(shown.lines().filter(|l| l.contains("pass of")).all(whole), "{shown}");
        assert_eq!(shown.matches("whole run").count(), 2, "one view: {shown}");
    }
}

#[test]
fn what_is_logged_has_colours_where_they_are_wanted() {
    let given = Given::new("trees: {T: done}\n");
    let args = ["run", &given.file, "--iterations", "1", "--log-file", "/dev/full"];
    for (name, value, wanted) in
        [("LANG", "C", true), ("NO_COLOR", "", true), ("NO_COLOR", "1", false), ("TERM", "dumb", false)]
    {
        let (code, bytes) = Terminal::start(200, &args, &[(name, value)]).end();
        let told = bytes.lines().find(|line| line.contains("the bot log cannot be written: No space left"));
        let told = told.unwrap_or_else(|| panic!("it is not told: {bytes}"));
        assert_eq!((code, told.contains("ERROR\u{1b}[0m")), (0, wanted), "{name}={value}: {told:?}");
    }
}

#[test]
fn a_second_interrupt_leaves_nothing_drawn() {
    let shop = Shop::open(&["--latency", "1h"]);
    let given = Given::new(GET);
    let terminal = Terminal::start(80, &["run", &given.file, "--target", &shop.url()], &[]);
    until("the view is there", || terminal.screen().contains("whole run"));
    terminal.program.signal("INT");
    until("the view says so", || terminal.screen().contains("gone, ending"));
    let said = "the run ends; a second interrupt ends it at once, without a result";
    assert!(terminal.screen().starts_with(said), "above the view: {}", terminal.screen());
    terminal.program.signal("INT");
    let (code, bytes) = terminal.end();
    assert_eq!((code, screen(&bytes, (60, 80)).trim_end()), (130, said));
}

#[test]
fn a_terminal_that_cannot_gets_lines() {
    let shop = Shop::open(&["--latency", "5ms"]);
    let given = Given::new(GET);
    let args = ["run", &given.file, "--target", &shop.url(), "--duration", "1h"];
    let terminal = Terminal::start(80, &args, &[("TERM", "dumb")]);
    until("a line is there", || terminal.screen().contains(" requests/s  p50 "));
    terminal.program.signal("INT");
    let (code, bytes) = terminal.end();
    assert_eq!(code, 0);
    assert!(!bytes.contains('\u{1b}'), "{bytes:?}");
}
