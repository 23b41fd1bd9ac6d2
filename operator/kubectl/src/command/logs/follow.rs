//! The logs of all pods of a run, followed until the run is over.

use super::pod::{Stage, stage};
use super::source::{self, Line};
use super::{Error, Printer};
use crate::cluster::Cluster;
use crate::ending;
use crate::follow::Patience;
use botarmy_console::output::complain;
use botarmy_crds::BotRun;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, watch_object, watcher};
use std::collections::HashSet;
use std::pin::pin;
use std::time::Instant;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

/// Most pods that are followed at the same time: each is a connection of its own.
const MAX_FOLLOWED: usize = 100;
/// Lines that wait to be printed; beyond, the pods' logs wait.
const QUEUE: usize = 1_000;

/// Prints what the pods say until the run is over and all of it is printed, or the run is gone.
pub(super) async fn follow(
    cluster: &Cluster,
    run: &BotRun,
    pods: Vec<Pod>,
    selector: &str,
    tail: Option<u32>,
    printer: &mut Printer,
) -> Result<(), Error> {
    let (to, mut lines) = channel(QUEUE);
    let mut followed =
        Followed { cluster, tail, to, tasks: JoinSet::new(), known: HashSet::new(), left: HashSet::new() };
    for pod in &pods {
        followed.see(pod);
    }
    // The backoff comes last: a list that is begun would be taken for a success, and never be waited for longer.
    let which = Config::default().labels(selector);
    let mut pods = pin!(watcher(cluster.pods(), which).applied_objects().default_backoff());
    let mut runs = pin!(watch_object(cluster.runs(), &run.name_any()).default_backoff());
    let (mut of_pods, mut of_run) = (Patience::default(), Patience::default());
    let mut is_over = ending::outcome(run).is_some();
    while !is_over || !followed.tasks.is_empty() {
        tokio::select! {
            Some(line) = lines.recv() => print(printer, &line)?,
            Some(_) = followed.tasks.join_next(), if !followed.tasks.is_empty() => {}
            pod = pods.next() => if let Some(pod) = heard(cluster, &mut of_pods, pod)? {
                followed.see(&pod);
            },
            now = runs.next(), if !is_over => if let Some(now) = heard(cluster, &mut of_run, now)? {
                // One of the same name that was made later is another run.
                let same = now.filter(|now| now.uid() == run.uid());
                is_over = same.is_none_or(|now| ending::outcome(&now).is_some());
            },
        }
    }
    print_rest(printer, lines)
}

/// What a watch has told, if it has. That it was cut off is told, and ends it when it lasts.
fn heard<T>(
    cluster: &Cluster,
    patience: &mut Patience,
    told: Option<watcher::Result<T>>,
) -> Result<Option<T>, Error> {
    match told {
        Some(Ok(told)) => {
            patience.heard();
            Ok(Some(told))
        }
        Some(Err(error)) => {
            let said = patience.lost(Instant::now(), cluster.cut_off(error))?;
            said.iter().for_each(complain);
            Ok(None)
        }
        // A watch goes on for ever.
        None => Ok(None),
    }
}

fn print(printer: &mut Printer, line: &Line) -> Result<(), Error> {
    printer.print(&line.pod, &line.text)
}

/// What was read and not printed before the last pod had ended.
fn print_rest(printer: &mut Printer, mut lines: Receiver<Line>) -> Result<(), Error> {
    while let Ok(line) = lines.try_recv() {
        print(printer, &line)?;
    }
    Ok(())
}

/// The pods that are followed.
struct Followed<'c> {
    cluster: &'c Cluster,
    tail: Option<u32>,
    to: Sender<Line>,
    /// One for each pod whose log is not at its end. They end with this.
    tasks: JoinSet<()>,
    /// The UIDs of those that are, or were, followed.
    known: HashSet<String>,
    /// The UIDs of those for which there was no room when they were seen.
    left: HashSet<String>,
}

impl Followed<'_> {
    /// Takes note of a pod, and follows it if it has begun.
    fn see(&mut self, pod: &Pod) {
        let Some(uid) = pod.uid().filter(|uid| !self.known.contains(uid)) else { return };
        if stage(pod) == Stage::Waiting {
            return;
        }
        let name = pod.name_any();
        if self.tasks.len() >= MAX_FOLLOWED {
            if self.left.insert(uid) {
                complain(&format_args!(
                    "{name} is left out: {MAX_FOLLOWED} pods are followed at once; choose its runner with --runner"
                ));
            }
            return;
        }
        self.known.insert(uid);
        self.tasks.spawn(source::follow(self.cluster.clone(), name, self.tail, self.to.clone()));
    }
}
