//! Live bots: an army of them on a few threads.
//!
//! Each worker is a thread with a runtime of its own; a bot is one task of one worker and shares
//! nothing on its way but the count of iterations. [`Army`] is the handle by which a run is
//! steered and its measures are taken.

mod alarm;
mod army;
mod arrivals;
mod bot;
mod clock;
mod health;
mod journal;
mod load_clock;
mod losses;
mod once;
mod pacer;
mod part;
mod refill;
mod rows;
pub mod share;
mod squad;
mod worker;

pub use army::{Army, Done, Error, Snapshot, Start};
pub use botarmy_report::{ITERATION, LATENESS};
pub use load_clock::Pause;
pub use once::{Performed, perform};
pub use share::Share;
