//! The cluster, found as kubectl finds it, and calls to it, each of which has an end.

mod error;
mod proxy;

pub(crate) use error::Error;

use botarmy_crds::BotRun;
use http::Request;
use http::header::CONTENT_TYPE;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use kube::{Client, Resource};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// The manager of the fields that this program writes.
const FIELD_MANAGER: &str = "kubectl-botarmy";
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The options of kubectl that say where a cluster is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Where {
    /// The namespace; without it, that of the kubeconfig's context.
    #[arg(short, long, global = true, value_name = "NAME", value_parser = crate::names::plain)]
    namespace: Option<String>,
    /// The context of the kubeconfig; without it, the one that it has chosen.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The kubeconfig; without it, the environment's KUBECONFIG, ~/.kube/config, or the account of the pod that
    /// this runs in.
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// A namespace of a cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: Client,
    namespace: String,
    place: Where,
}

impl Cluster {
    /// The cluster that the options and the environment name. Nothing is sent yet.
    pub(crate) async fn find(place: &Where) -> Result<Self, Error> {
        let options = KubeConfigOptions { context: place.context.clone(), ..KubeConfigOptions::default() };
        let config = match &place.kubeconfig {
            Some(path) => match Kubeconfig::read_from(path) {
                Ok(file) => Config::from_custom_kubeconfig(file, &options).await,
                Err(error) => Err(error),
            },
            None if place.context.is_some() => Config::from_kubeconfig(&options).await,
            // Also within a pod, whose account takes the place of a kubeconfig.
            None => {
                return Self::of(Config::infer().await.map_err(|e| Error::Nowhere(e.to_string()))?, place);
            }
        };
        Self::of(config.map_err(|e| Error::Kubeconfig(e.to_string()))?, place)
    }

    fn of(mut config: Config, place: &Where) -> Result<Self, Error> {
        proxy::settle(&mut config);
        let namespace = place.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|e| Error::Kubeconfig(error::chain(&e)))?;
        Ok(Self { client, namespace, place: place.clone() })
    }

    /// The cluster behind a client.
    #[cfg(test)]
    pub(crate) fn of_client(client: Client, namespace: &str) -> Self {
        let place = Where { namespace: None, context: None, kubeconfig: None };
        Self { client, namespace: namespace.to_owned(), place }
    }

    /// The same cluster, in the namespace that a file names.
    pub(crate) fn in_namespace(self, file: Option<&str>) -> Result<Self, Error> {
        let namespace = namespace_of(self.place.namespace.as_deref(), file, &self.namespace)?;
        Ok(Self { namespace, ..self })
    }

    /// The runs of the namespace.
    pub(crate) fn runs(&self) -> Api<BotRun> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The pods of the namespace.
    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The run of this name.
    pub(crate) async fn run(&self, name: &str) -> Result<BotRun, Error> {
        self.call(self.runs().get(name)).await
    }

    /// The run of this name, if there is one.
    pub(crate) async fn known_run(&self, name: &str) -> Result<Option<BotRun>, Error> {
        self.call(self.runs().get_opt(name)).await
    }

    /// Applies a run of this name as it stands in a file: a field that the API server does not know is refused, and
    /// one that somebody else has set stays theirs.
    pub(crate) async fn apply(&self, name: &str, body: &Value) -> Result<BotRun, Error> {
        let how = PatchParams::apply(FIELD_MANAGER).validation_strict();
        self.call(self.runs().patch(name, &how, &Patch::Apply(body))).await
    }

    /// Creates a run that the API server gives a name.
    pub(crate) async fn create(&self, body: &Value) -> Result<BotRun, Error> {
        let url = BotRun::url_path(&(), Some(&self.namespace));
        let url = format!("{url}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict");
        let request = Request::post(url)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes())
            .map_err(|error| Error::Unreachable(error.to_string()))?;
        self.call(self.client.request(request)).await
    }

    /// Tells a run to end.
    pub(crate) async fn stop(&self, name: &str) -> Result<(), Error> {
        let (how, stop) = (PatchParams::apply(FIELD_MANAGER), Patch::Merge(json!({"spec": {"stop": true}})));
        self.call(self.runs().patch(name, &how, &stop)).await.map(drop)
    }

    /// Changes how many bots of a run are alive at once.
    pub(crate) async fn scale(&self, name: &str, bots: i32) -> Result<(), Error> {
        let (how, scale) =
            (PatchParams::apply(FIELD_MANAGER), Patch::Merge(json!({"spec": {"replicas": bots}})));
        self.call(self.runs().patch_scale(name, &how, &scale)).await.map(drop)
    }

    /// A call's answer, or what is wrong with it.
    pub(crate) async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(answer) => answer.map_err(|error| Error::of(error, &self.namespace)),
            Err(_) => Err(Error::NoAnswer(CALL_TIMEOUT)),
        }
    }

    /// Why a watch was cut off.
    pub(crate) fn cut_off(&self, error: watcher::Error) -> Error {
        use watcher::Error as Watch;
        match error {
            Watch::InitialListFailed(error) | Watch::WatchStartFailed(error) | Watch::WatchFailed(error) => {
                Error::of(error, &self.namespace)
            }
            Watch::WatchError(status) => Error::of(kube::Error::Api(status), &self.namespace),
            Watch::NoResourceVersion => Error::Foreign("its objects have no version".to_owned()),
        }
    }

    /// A command of this program about a run, to be typed as it is.
    pub(crate) fn command(&self, command: &str, run: &str) -> String {
        let mut typed = format!("kubectl botarmy {command} {run} -n {}", self.namespace);
        if let Some(context) = &self.place.context {
            typed += &format!(" --context {context}");
        }
        if let Some(kubeconfig) = &self.place.kubeconfig {
            typed += &format!(" --kubeconfig {}", kubeconfig.display());
        }
        typed
    }
}

/// Where a run of a file belongs: as with kubectl, the command line and the file may not say two things.
fn namespace_of(given: Option<&str>, file: Option<&str>, usual: &str) -> Result<String, Error> {
    match (given, file) {
        (Some(given), Some(file)) if given != file => {
            Err(Error::TwoNamespaces { given: given.to_owned(), file: file.to_owned() })
        }
        (Some(one), _) | (None, Some(one)) => Ok(one.to_owned()),
        (None, None) => Ok(usual.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_the_command_line_name_one_namespace() {
        for (given, file, namespace) in [
            (None, None, Some("usual")),
            (Some("a"), None, Some("a")),
            (None, Some("b"), Some("b")),
            (Some("a"), Some("a"), Some("a")),
            (Some("a"), Some("b"), None),
        ] {
            let found = namespace_of(given, file, "usual").ok();
            assert_eq!(found.as_deref(), namespace, "{given:?} {file:?}");
        }
    }
}
