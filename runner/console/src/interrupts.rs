//! What asks a run to end: Ctrl-C in a terminal, or whoever supervises the program.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How often it was asked.
#[derive(Debug)]
pub struct Interrupts(watch::Receiver<u32>);

impl Interrupts {
    /// From now on.
    pub fn listen() -> std::io::Result<Self> {
        let (mut from_terminal, mut from_supervisor) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (count, counted) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = from_terminal.recv() => {}
                    _ = from_supervisor.recv() => {}
                }
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(Self(counted))
    }

    /// Comes when it was asked so often in all.
    pub async fn reached(&self, times: u32) {
        if self.0.clone().wait_for(|count| *count >= times).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl From<watch::Receiver<u32>> for Interrupts {
    /// Asked as often as somebody else counts.
    fn from(counted: watch::Receiver<u32>) -> Self {
        Self(counted)
    }
}
