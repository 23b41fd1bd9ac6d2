//! What can go wrong between this program and a cluster, in words that say what to do.

use botarmy_report::terminal::escape;
use hyper_util::client::legacy;
use std::time::Duration;

/// Why a cluster cannot do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "the kubeconfig is of no use: {0}; name another one with --kubeconfig, or a context of it with --context"
    )]
    Kubeconfig(String),
    #[error("no cluster is known: {0}; name a kubeconfig with --kubeconfig, or by the variable KUBECONFIG")]
    Nowhere(String),
    #[error(
        "the file says that the run belongs to the namespace {file:?}, and --namespace says {given:?}; leave one of them out"
    )]
    TwoNamespaces { given: String, file: String },
    #[error(
        "the cluster does not know the kind BotRun; install the charts botarmy-crds and botarmy, or choose another cluster with --context"
    )]
    NoKind,
    #[error("there is no namespace {0:?}; create it, or name another one with --namespace")]
    NoNamespace(String),
    #[error(
        "{said} in the namespace {namespace:?}; kubectl get botruns --all-namespaces tells which there are"
    )]
    NotFound { said: String, namespace: String },
    #[error("the cluster does not allow it: {0}; ask who keeps it for this right")]
    Forbidden(String),
    #[error(
        "the cluster does not know who asks: {0}; log in anew, or look at the user of the kubeconfig's context"
    )]
    Unknown(String),
    #[error(
        "{0}; somebody else has set these fields: change them as they did, or give the run another name with --name"
    )]
    Conflict(String),
    #[error("the cluster refuses it: {0}")]
    Refused(String),
    #[error(
        "the cluster cannot be reached: {0}; look at the kubeconfig's address, at proxies and at the network"
    )]
    Unreachable(String),
    #[error(
        "the connection to the cluster broke: {0}; look at proxies and at the network, and at how the cluster does"
    )]
    Broken(String),
    #[error("the cluster has not answered within {0:?}; try again, or look at how it does")]
    NoAnswer(Duration),
    #[error(
        "the cluster's answer makes no sense here: {0}; this program and the operator should be of one version"
    )]
    Foreign(String),
}

impl Error {
    /// What an error of a call in a namespace comes to.
    pub(super) fn of(error: kube::Error, namespace: &str) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(&status, namespace),
            kube::Error::SerdeError(error) => Self::Foreign(error.to_string()),
            kube::Error::Auth(error) => Self::Unknown(chain(&error)),
            // Their own words tell nothing.
            kube::Error::Service(error) if has_connected(&*error) => Self::Broken(chain(&*error)),
            kube::Error::Service(error) => Self::Unreachable(chain(&*error)),
            kube::Error::HyperError(error) => Self::Broken(chain(&error)),
            other => Self::Unreachable(chain(&other)),
        }
    }

    fn of_status(status: &kube::core::Status, namespace: &str) -> Self {
        let said = escape(&status.message);
        let details = status.details.as_ref();
        let about = details.map(|d| (&*d.kind, &*d.name)).filter(|(_, name)| !name.is_empty());
        match about {
            _ if status.code == 401 => Self::Unknown(said),
            _ if status.is_forbidden() => Self::Forbidden(said),
            Some(("namespaces", name)) if status.is_not_found() => Self::NoNamespace(name.to_owned()),
            Some(_) if status.is_not_found() => Self::NotFound { said, namespace: namespace.to_owned() },
            // It is the address that is not found: nothing is kept there.
            None if status.code == 404 => Self::NoKind,
            _ if status.is_conflict() => Self::Conflict(said),
            _ => Self::Refused(said),
        }
    }

    /// Whether the cluster may have done what it was asked for.
    pub(crate) fn leaves_it_open(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::NoAnswer(_) | Self::Foreign(_))
    }

    /// Whether it is not to be expected that the same call succeeds a little later.
    pub(crate) fn lasts(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Unreachable(_) | Self::Broken(_) | Self::NoAnswer(_) => false,
            Self::Kubeconfig(_)
            | Self::Nowhere(_)
            | Self::TwoNamespaces { .. }
            | Self::NoKind
            | Self::NoNamespace(_)
            | Self::NotFound { .. }
            | Self::Forbidden(_)
            | Self::Unknown(_)
            | Self::Conflict(_)
            | Self::Foreign(_) => true,
        }
    }
}

/// Whether a call was cut off, and not merely no connection made for it.
fn has_connected(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    !causes.any(|cause| cause.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect))
}

/// An error with what is behind it, which its own words may leave out.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        let words = cause.to_string();
        if !told.contains(&words) {
            told += &format!(": {words}");
        }
        behind = cause.source();
    }
    escape(&told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(status: &Value) -> String {
        let status: kube::core::Status = serde_json::from_value(status.clone()).unwrap();
        Error::of(kube::Error::Api(Box::new(status)), "shop").to_string()
    }

    #[test]
    fn what_the_cluster_says_comes_with_what_to_do() {
        let about = |kind: &str, name: &str| json!({"kind": kind, "name": name, "group": "botarmy.dev"});
        for (status, begin, end) in [
            (
                json!({"code": 404, "reason": "NotFound", "message": "botruns.botarmy.dev \"a\" not found", "details": about("botruns", "a")}),
                "botruns.botarmy.dev \"a\" not found in the namespace \"shop\"; ",
                "tells which there are",
            ),
            (
                json!({"code": 404, "reason": "NotFound", "message": "namespaces \"shop\" not found", "details": about("namespaces", "shop")}),
                "there is no namespace \"shop\"; ",
                "with --namespace",
            ),
            // The address of a kind that is not there, as it is answered and as it is read.
            (
                json!({"code": 404, "reason": "NotFound", "message": "the server could not find the requested resource", "details": {}}),
                "the cluster does not know the kind BotRun; ",
                "with --context",
            ),
            (
                json!({"code": 404, "reason": "Failed to parse error data", "message": "404 page not found"}),
                "the cluster does not know the kind BotRun; ",
                "with --context",
            ),
            (
                json!({"code": 403, "reason": "Forbidden", "message": "botruns.botarmy.dev is forbidden: User \"jane\" cannot list", "details": about("botruns", "a")}),
                "the cluster does not allow it: botruns.botarmy.dev is forbidden: User \"jane\" cannot list; ",
                "for this right",
            ),
            (
                json!({"code": 401, "reason": "Unauthorized", "message": "Unauthorized"}),
                "the cluster does not know who asks: Unauthorized; log in anew",
                "context",
            ),
            (
                json!({"code": 409, "reason": "Conflict", "message": "Apply failed with 1 conflict: .spec.bots"}),
                "Apply failed with 1 conflict: .spec.bots; somebody else",
                "--name",
            ),
            (
                json!({"code": 422, "reason": "Invalid", "message": "bots: no\n\u{1b}[2J", "details": about("botruns", "a")}),
                "the cluster refuses it: bots: no\\n\\u{1b}[2J",
                "",
            ),
            (json!({"code": 500, "message": ".spec.bost: no"}), "the cluster refuses it: .spec.bost: no", ""),
        ] {
            let told = told(&status);
            assert!(told.starts_with(begin) && told.ends_with(end), "{status}: {told}");
        }
    }

    #[test]
    fn causes_behind_an_error_are_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Layer(&'static str, #[source] Option<Box<Layer>>);
        let error =
            Layer("connect", Some(Box::new(Layer("tcp: refused", Some(Box::new(Layer("refused", None)))))));
        assert_eq!(chain(&error), "connect: tcp: refused");
    }
}
