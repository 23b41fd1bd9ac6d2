//! Counts the calls to the API server where all of them pass: between the client and its connections.

use super::{Called, Metrics};
use crate::nesting;
use futures::future::BoxFuture;
use hyper::{Request, Response};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// A client as the environment says, whose calls are counted.
pub async fn client(metrics: Arc<Metrics>) -> Result<Client, kube::Error> {
    let config = Config::infer().await.map_err(kube::Error::InferConfig)?;
    Ok(ClientBuilder::try_from(config)?.with_layer(&nesting::layer()).with_layer(&Calls(metrics)).build())
}

/// Counts the calls of the service that it is put around.
struct Calls(Arc<Metrics>);

impl<S> Layer<S> for Calls {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, metrics: self.0.clone() }
    }
}

/// A service whose calls are counted, each once: what the client tries again by itself is one.
struct Counted<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.inner.call(request);
        let call = Call { metrics: self.metrics.clone(), ended: Called::GivenUp };
        Box::pin(async move {
            // As a whole: what counts when it is dropped must not be left outside.
            let mut call = call;
            let answer = answer.await;
            call.ended = match &answer {
                Ok(answer) => Called::of_status(answer.status().as_u16()),
                Err(_) => Called::Unreachable,
            };
            answer
        })
    }
}

/// A call that goes on. It is counted when it is dropped, which is all that happens to one that nobody waits for any
/// more.
struct Call {
    metrics: Arc<Metrics>,
    ended: Called,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.metrics.called(self.ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::time::Duration;

    /// Answers with the status that the path names; `/never` not at all.
    struct Answers;

    impl Service<Request<Body>> for Answers {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            let status = request.uri().path().trim_start_matches('/').parse::<u16>();
            Box::pin(async move {
                let Ok(status) = status else { return std::future::pending().await };
                let answer = Response::builder().status(status).body(Body::empty());
                Ok(answer.unwrap())
            })
        }
    }

    #[tokio::test]
    async fn each_call_is_counted_by_its_end() {
        let metrics = Arc::new(Metrics::default());
        let client = Client::new(Calls(metrics.clone()).layer(Answers), "default");
        let ask = |path: &str| {
            let request = Request::get(format!("http://api{path}")).body(Vec::new()).unwrap();
            client.request_text(request)
        };
        for path in ["/200", "/403", "/403", "/503"] {
            drop(ask(path).await);
        }
        assert!(tokio::time::timeout(Duration::from_millis(10), ask("/never")).await.is_err());
        let counted: Vec<_> = metrics.calls.named(Called::NAMES).filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("ok", 1), ("forbidden", 2), ("server_error", 1), ("given_up", 1)]);
    }
}
