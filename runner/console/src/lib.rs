//! What the programs of a command line share: lines for people, files that they name, interrupts.
//!
//! [`output`] writes lines, above those that [`screen`] draws at the foot of a terminal; [`pipe`] reads and writes
//! files that may be pipes, and [`text`] what a person hands over; [`result_file`] brings a result to where it shall
//! be; [`interrupts`] counts what asks a program to end.

pub mod interrupts;
pub mod output;
pub mod pipe;
pub mod result_file;
pub mod screen;
pub mod text;
