//! A small shop over HTTP: something to try bots on, with figures of its own to compare with.

mod knobs;
mod senders;
mod shop;

pub use knobs::Knobs;

use axum::Router;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How long customers are waited for when the shop closes.
const GRACE_PERIOD: Duration = Duration::from_secs(2);

/// Why the shop cannot open.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("the shop cannot listen on {0}: {1}; choose another address with --listen")]
    Listen(SocketAddr, std::io::Error),
    /// It ended while it was open.
    #[error("the shop ended: {0}")]
    Serve(std::io::Error),
}

/// A shop that listens and is not served yet.
#[derive(Debug)]
pub struct Shop {
    listener: TcpListener,
    address: SocketAddr,
    routes: Router,
}

impl Shop {
    /// Takes the address; port 0 is any free one.
    pub async fn open(address: SocketAddr, knobs: Knobs) -> Result<Self, Error> {
        let listen = |e| Error::Listen(address, e);
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { listener, address, routes: shop::routes(knobs) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`; then what is in flight may come to its end for a while.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let (closing, is_closing) = oneshot::channel::<()>();
        let shutdown = async move {
            shutdown.await;
            drop(closing);
        };
        let too_late = async {
            // It ends when the sender is dropped.
            let _ = is_closing.await;
            tokio::time::sleep(GRACE_PERIOD).await;
        };
        let served = axum::serve(self.listener, self.routes).with_graceful_shutdown(shutdown);
        tokio::select! {
            served = served => served.map_err(Error::Serve),
            () = too_late => Ok(()),
        }
    }
}
