//! The certificates of the coordinator: runners trust the authority of the operator and nobody else.
//!
//! An [`Authority`] signs what the coordinator shows to runners. It is kept in a Secret, which all operators read and the
//! leader writes; the [`Custodian`] does so, and exchanges the authority when [`rotation`] says so. [`InForce`] is what
//! follows from it in this process.

mod authority;
mod custodian;
mod in_force;
mod kept;
pub mod rotation;

pub use authority::{Authority, Fault, Validity};
pub use custodian::{Custodian, Setup};
pub use in_force::{Bundle, InForce};
pub use kept::ROTATE;

use crate::api_call;
use jiff::Timestamp;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// A clock that shows no time of this age.
    #[error("a certificate cannot be made at {0}; look at the clock of the node")]
    Clock(Timestamp),
    /// TLS cannot be set up with it.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// What runners are to trust is no certificate to a client.
    #[error("what runners are to trust cannot be used: {0}; delete the Secret, and a new authority is made")]
    Bundle(String),
    /// The API server has refused a call, or does not answer.
    #[error("the Secret of the certificates: {0}")]
    Call(#[from] api_call::Error),
    /// Somebody changed it.
    #[error(
        "the Secret {0} is broken: {1} {2}; put it right, or delete the Secret: the operator that leads makes it again"
    )]
    Broken(String, &'static str, String),
}
