//! What is seen of an exchange while it goes on, so that it is known however it ends.

use crate::network::Traffic;
use botarmy_report::{Observed, Part};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Filled by whoever takes a step of the exchange.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    observed: RefCell<Observed>,
    connection: RefCell<Option<Followed>>,
}

/// The connection in use.
#[derive(Debug)]
struct Followed {
    traffic: Rc<Traffic>,
    /// Bytes received and sent before.
    before: (u64, u64),
}

impl Seen {
    /// From now on bytes of this connection are those of the exchange.
    pub(crate) fn follow(&self, traffic: &Rc<Traffic>) {
        self.settle();
        *self.connection.borrow_mut() = Some(Followed { traffic: traffic.clone(), before: traffic.so_far() });
    }

    pub(crate) fn took(&self, part: Part, time: Duration) {
        self.observed.borrow_mut().took(part, time);
    }

    pub(crate) fn status(&self, status: u16) {
        self.observed.borrow_mut().status = Some(status);
    }

    /// All that was seen.
    pub(crate) fn into_observed(self) -> Observed {
        self.settle();
        self.observed.into_inner()
    }

    fn settle(&self) {
        if let Some(Followed { traffic, before }) = self.connection.take() {
            let now = traffic.so_far();
            let mut observed = self.observed.borrow_mut();
            observed.bytes_in += now.0 - before.0;
            observed.bytes_out += now.1 - before.1;
        }
    }
}
