//! Volumes with their claims, for what is taken to them or read from them.

use crate::cluster::{Namespace, kubectl};
use serde_json::json;
use std::process::Command;

/// Where they lie on the node.
const PLACE: &str = "/tmp";

fn name(n: &Namespace, claim: &str) -> String {
    format!("{}-{claim}", n.name())
}

fn folder(name: &str) -> String {
    format!("botarmy-{name}")
}

/// A volume with its claim, on the node itself: in a folder that everybody may write into, as a network's often are.
pub(crate) struct Volume(String);

impl Volume {
    /// All that lies there; what is taken to it goes into a folder of its own.
    pub(crate) fn new(n: &Namespace, claim: &str) -> Self {
        Self::at(n, claim, PLACE)
    }

    /// Its own folder alone, which is not there before something is put into it.
    pub(crate) fn of_its_own(n: &Namespace, claim: &str) -> Self {
        Self::at(n, claim, &format!("{PLACE}/{}", folder(&name(n, claim))))
    }

    fn at(n: &Namespace, claim: &str, path: &str) -> Self {
        let name = name(n, claim);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "", "hostPath": {"path": path, "type": "Directory"},
                "claimRef": {"namespace": n.name(), "name": claim},
            }},
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "spec": {
                "accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": name,
                "resources": {"requests": {"storage": "1Gi"}},
            }},
        ]});
        n.apply(&list.to_string());
        Self(name)
    }

    /// The folder that is the test's own.
    pub(crate) fn folder(&self) -> String {
        folder(&self.0)
    }

    /// Puts a file into its folder, on the node itself: that of our own cluster is this machine.
    pub(crate) fn put(&self, name: &str, text: &str) {
        let folder = format!("{PLACE}/{}", self.folder());
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(format!("{folder}/{name}"), text).expect("a file");
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        kubectl(&["delete", "persistentvolume", &self.0, "--wait=false"], None);
        // The node of our own cluster is this machine.
        drop(Command::new("rm").args(["-rf", &format!("{PLACE}/{}", self.folder())]).status());
    }
}
