//! Who this runner is, and what it is asked for beside the run: all from its environment.

use super::Error;
use crate::bot_log::{self, Layout};
use crate::otlp::{Destination, Pusher};
use botarmy_protocol::{RunRef, env};
use std::net::SocketAddr;

/// Who this runner is, from its environment.
#[derive(Debug, Clone)]
pub struct Identity {
    pub(super) coordinator: String,
    pub(super) run: RunRef,
    pub(super) index: u32,
    pub(super) pod_uid: String,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) log: Option<bot_log::Settings>,
    /// Where its measures are pushed to, or why they cannot be.
    collector: Result<Option<Destination>, String>,
}

impl Identity {
    /// Reads the environment through `get`.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let need = |name: &'static str| get(name).filter(|v| !v.is_empty()).ok_or(Error::Environment(name));
        Ok(Self {
            coordinator: need(env::COORDINATOR)?,
            run: RunRef {
                namespace: need(env::NAMESPACE)?,
                name: need(env::NAME)?,
                uid: need(env::RUN_UID)?,
            },
            index: need(env::INDEX)?.parse().map_err(|_| Error::Environment(env::INDEX))?,
            pod_uid: need(env::POD_UID)?,
            metrics: get(env::METRICS_LISTEN)
                .filter(|v| !v.is_empty())
                .map(|v| v.parse().map_err(|_| Error::Environment(env::METRICS_LISTEN)))
                .transpose()?,
            log: log_settings(&get)?,
            collector: Destination::choose(None, &[], &get).map_err(|e| e.to_string()),
        })
    }

    /// What pushes the measures of this runner, if its environment asks for it.
    pub(super) fn pusher(&self) -> Option<Pusher> {
        let collector = self.collector.clone();
        // A run is not given up because nobody can watch it.
        let to = collector.map_err(|why| tracing::warn!("nothing is pushed: {why}")).ok().flatten()?;
        let about = vec![
            ("service.instance.id", self.pod_uid.clone()),
            ("k8s.pod.uid", self.pod_uid.clone()),
            ("k8s.namespace.name", self.run.namespace.clone()),
            ("botarmy.run.uid", self.run.uid.clone()),
            ("botarmy.runner.index", self.index.to_string()),
        ];
        Some(Pusher::new(to, &self.run.name, about))
    }
}

/// Which log is asked for, if any.
fn log_settings(get: impl Fn(&str) -> Option<String>) -> Result<Option<bot_log::Settings>, Error> {
    let Some(path) = get(env::LOG_FILE).filter(|v| !v.is_empty()) else { return Ok(None) };
    let layout = match get(env::LOG_FORMAT).as_deref() {
        None | Some("" | "line") => Layout::Pairs,
        Some("json") => Layout::Json,
        Some(_) => return Err(Error::LogFormat),
    };
    Ok(Some(bot_log::Settings { path: path.into(), layout }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_kept_where_the_environment_says() {
        let settings = |file: &str, format: Option<&str>| {
            log_settings(|name| match name {
                env::LOG_FILE => Some(file.to_owned()),
                env::LOG_FORMAT => format.map(ToOwned::to_owned),
                _ => None,
            })
        };
        assert_eq!(settings("", Some("xml")).unwrap(), None);
        assert_eq!(log_settings(|_| None).unwrap(), None);
        for (format, layout) in [
            (None, Layout::Pairs),
            (Some(""), Layout::Pairs),
            (Some("line"), Layout::Pairs),
            (Some("json"), Layout::Json),
        ] {
            let expected = bot_log::Settings { path: "/logs/bot_run.log".into(), layout };
            assert_eq!(settings("/logs/bot_run.log", format).unwrap(), Some(expected));
        }
        assert!(matches!(settings("/x", Some("JSON ")), Err(Error::LogFormat)));
    }
}
