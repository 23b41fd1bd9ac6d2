//! A client of the API server that writes only while this operator leads.
//!
//! Whoever begins its work as the leader may stand still for any time before its next call, so that it is the call that
//! has to ask. What is on its way when the Lease is lost may still arrive: what must not be overwritten is written on
//! condition of the version that was read.

use crate::election::Leadership;
use futures::future::BoxFuture;
use hyper::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use std::task::{Context, Poll};
use tower::{BoxError, Service};

/// Why a call was not made.
#[derive(Debug, thiserror::Error)]
#[error("{0} {1} is not sent, since this operator does not lead; the one that does will do it")]
struct NotLeading(Method, String);

/// Makes such a client of another one.
pub(crate) fn client(client: Client, leadership: Leadership) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(Leading { client, leadership }, namespace)
}

struct Leading {
    client: Client,
    leadership: Leadership,
}

impl Service<Request<Body>> for Leading {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // A clone of the client is ready by itself, for each call.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_write = request.method() != Method::GET;
        let refused = (is_write && !self.leadership.leads())
            .then(|| NotLeading(request.method().clone(), request.uri().path().to_owned()));
        let client = self.client.clone();
        Box::pin(async move {
            match refused {
                Some(refused) => Err(refused.into()),
                None => Ok(client.send(request).await?),
            }
        })
    }
}
