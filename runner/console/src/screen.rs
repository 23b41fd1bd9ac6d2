//! The foot of the terminal: some lines that stay below of all that is said, and are drawn in their place
//! again and again.
//!
//! Between two drawings the cursor stands at the beginning of these lines, so that all below of it can be
//! wiped, whatever a resize has made of them, and whatever was written there by others. It is never
//! hidden: no end, however sudden, has to bring it back.

use botarmy_spec::Secrets;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use tokio::signal::unix::{SignalKind, signal};

/// Back to the beginning of the line, and all from there on wiped.
const WIPE: &str = "\r\u{1b}[J";
/// A line that is too long is cut instead of taking two, so that it is known how many there are.
const NO_WRAP: &str = "\u{1b}[?7l";
const WRAP: &str = "\u{1b}[?7h";
/// The rest of a line wiped.
const WIPE_LINE: &str = "\u{1b}[K";

/// What nothing that is said shows.
static HIDDEN: RwLock<Secrets> = RwLock::new(Secrets::none());

/// Keeps these out of all that is said from now on.
pub fn hide(secrets: &Secrets) {
    HIDDEN.write().unwrap_or_else(PoisonError::into_inner).extend(secrets);
}

/// How large a terminal is, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters of a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

impl Size {
    /// What a terminal has that does not tell.
    const USUAL: Self = Self { columns: 80, rows: 24 };

    fn of_stderr() -> Self {
        let told = rustix::termios::tcgetwinsize(io::stderr());
        let told = told.ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        told.map_or(Self::USUAL, |size| Self { columns: size.ws_col.into(), rows: size.ws_row.into() })
    }
}

/// Whether stderr is a terminal on which lines can be drawn in the place of others.
pub fn can_redraw() -> bool {
    is_redrawable(io::stderr().is_terminal(), std::env::var("TERM").ok().as_deref())
}

/// Whether what is written to stderr is to have colours: see <https://no-color.org>.
pub fn has_colours() -> bool {
    can_redraw() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn is_redrawable(terminal: bool, kind: Option<&str>) -> bool {
    terminal && kind.is_some_and(|kind| !kind.is_empty() && kind != "dumb")
}

/// The lines for a terminal of a size.
type Picture = Box<dyn Fn(Size) -> Vec<String> + Send>;

/// There is one terminal for the whole program, and any thread may say something.
static FOOT: Mutex<Foot> = Mutex::new(Foot { picture: None });

struct Foot {
    picture: Option<Picture>,
}

impl Foot {
    /// Writes a text above the lines, then the lines. In one piece: nothing flickers.
    fn write(&self, text: &str) {
        let lines = self.picture.as_ref().map(|picture| picture(Size::of_stderr())).unwrap_or_default();
        let drawn = drawn(text, &lines);
        let mut out = io::stderr().lock();
        // A terminal that is gone is no reason to end the run.
        let _ = out.write_all(drawn.as_bytes()).and_then(|()| out.flush());
    }
}

fn foot() -> MutexGuard<'static, Foot> {
    FOOT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What draws the lines in their place, below of a text that is empty or ends its line.
fn drawn(text: &str, lines: &[String]) -> String {
    // Over the old ones, line by line, unless something else comes to stand in their place.
    let begin = if text.is_empty() && !lines.is_empty() { "\r" } else { WIPE };
    let up = match lines.len() {
        0 | 1 => String::new(),
        lines => format!("\u{1b}[{}A", lines - 1),
    };
    let lines = lines.join(&format!("{WIPE_LINE}\r\n"));
    if lines.is_empty() {
        return format!("{begin}{text}");
    }
    format!("{begin}{text}{NO_WRAP}{lines}\u{1b}[J\r{up}{WRAP}")
}

/// Shows these lines from now on, in the place of the last.
pub fn show(picture: impl Fn(Size) -> Vec<String> + Send + 'static) {
    let mut foot = foot();
    foot.picture = Some(Box::new(picture));
    foot.write("");
}

/// Takes the lines away, if there are any.
pub fn clear() {
    let mut foot = foot();
    if foot.picture.take().is_some() {
        foot.write("");
    }
}

/// Writes a text to stderr, above the lines. It ends with a line feed.
pub fn say(text: &str) {
    let hidden = HIDDEN.read().unwrap_or_else(PoisonError::into_inner);
    let text = &*hidden.hide(text);
    let foot = foot();
    match foot.picture {
        Some(_) => foot.write(text),
        None => {
            let mut out = io::stderr().lock();
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }
}

/// Draws the lines anew whenever the terminal's size has changed. Call it in a runtime.
pub fn follow_resizes() {
    let Ok(mut resized) = signal(SignalKind::window_change()) else { return };
    tokio::spawn(async move {
        while resized.recv().await.is_some() {
            let foot = foot();
            if foot.picture.is_some() {
                foot.write("");
            }
        }
    });
}

/// Has the message of a panic stand above the lines too.
pub fn make_way_for_panics() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Who panics while drawing holds the lock already.
        let foot = FOOT.try_lock().ok().filter(|foot| foot.picture.is_some());
        if foot.is_some() {
            let _ = io::stderr().lock().write_all(WIPE.as_bytes());
        }
        tell(panic);
        if let Some(foot) = foot {
            foot.write("");
        }
    }));
}

/// A writer of whole lines to stderr, above what is shown there; for the log.
#[derive(Debug)]
pub struct Above;

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        say(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};
    use std::fs::{File, OpenOptions};
    use std::io::Read;
    use std::num::NonZero;
    use std::process::Command;

    #[test]
    fn the_cursor_ends_where_it_began() {
        let lines = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!(drawn("", &lines), "\r\u{1b}[?7la\u{1b}[K\r\nb\u{1b}[K\r\nc\u{1b}[J\r\u{1b}[2A\u{1b}[?7h");
        assert_eq!(drawn("x\n", &lines[..1]), "\r\u{1b}[Jx\n\u{1b}[?7la\u{1b}[J\r\u{1b}[?7h");
        assert_eq!((drawn("", &[]), drawn("x\n", &[])), (WIPE.to_owned(), format!("{WIPE}x\n")));
    }

    #[test]
    fn only_a_terminal_that_can_is_drawn_on() {
        for (terminal, kind, can) in [
            (true, Some("xterm-256color"), true),
            (true, Some("dumb"), false),
            (true, Some(""), false),
            (true, None, false),
            (false, Some("xterm"), false),
        ] {
            assert_eq!(is_redrawable(terminal, kind), can, "{terminal} {kind:?}");
        }
    }

    /// Set where another test runs this one, on a terminal of its own.
    const ON_A_TERMINAL: &str = "BOTARMY_TEST_ON_A_TERMINAL";

    #[test]
    fn draws_and_panics() {
        if std::env::var_os(ON_A_TERMINAL).is_none() {
            return;
        }
        make_way_for_panics();
        show(|size| vec![format!("{} columns", size.columns), "a line that is quite long".into()]);
        let died = std::thread::spawn(|| panic!("one thread is gone")).join();
        assert!(died.is_err());
        say("still here\n");
        panic!("all is lost");
    }

    #[test]
    fn what_a_panic_says_stands_above_the_lines() {
        let control = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
        grantpt(&control).and_then(|()| unlockpt(&control)).expect("it may be opened");
        let size = Winsize { ws_row: 50, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&control, size).expect("it takes a size");
        let name = ptsname(&control, Vec::new()).expect("it has a name").into_string().expect("text");
        let end = OpenOptions::new().read(true).write(true).open(name).expect("its other end");
        let mut test = Command::new(std::env::current_exe().expect("this program"));
        test.args(["--exact", "screen::tests::draws_and_panics", "--nocapture"]);
        test.env(ON_A_TERMINAL, "1");
        let failed = test.env("RUST_BACKTRACE", "0").stderr(end).output().expect("it runs");
        assert!(!failed.status.success(), "it panicked");
        drop(test);
        let mut bytes = Vec::new();
        // It ends with an error, since nobody has the other end any more.
        let _ = File::from(control).read_to_end(&mut bytes);
        let [rows, columns] = [50, 200].map(|n| NonZero::new(n).expect("some"));
        let mut terminal = vt100::Parser::new(rows, columns, 0);
        terminal.process(&bytes);
        let shown = terminal.screen().contents();
        let place = |part: &str| shown.lines().position(|line| line.contains(part)).expect(part);
        let order = ["one thread is gone", "still here", "all is lost", "200 columns"].map(place);
        assert!(order.is_sorted(), "{shown}");
        assert_eq!(shown.matches("a line that is quite long").count(), 1, "{shown}");
        assert!(shown.ends_with("200 columns\na line that is quite long"), "{shown}");
    }
}
