//! Trees in claims and in images, as the kubelet mounts them: what is in them lies on this machine, which is the node.

use crate::army;
use crate::blind::hold_against_the_target;
use crate::cluster::{Namespace, condition, reason, root};
use crate::counts::get;
use crate::volume::Volume;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// What the image is called; nobody can pull it.
const IMAGE: &str = "localhost/e2e-trees:1";

/// A file with one tree, which asks for this page.
fn file(run: &str, tree: &str, page: &str) -> String {
    json!({"trees": {tree: get(run, page)}}).to_string()
}

/// Gives the cluster an image that holds this file alone.
fn load_image(file: &Path) {
    let tar = file.with_extension("tar");
    let make = "source tests/cluster/parts/images/image.sh && make_image \"$1\" \"$2\" \"$3\"";
    let made = Command::new("bash")
        .current_dir(root())
        .args(["-euc", make, "make_image"])
        .args([tar.as_os_str(), IMAGE.as_ref(), file.as_os_str()])
        .output()
        .expect("bash");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let loaded =
        Command::new(root().join("tests/cluster/load-image")).arg(&tar).output().expect("load-image");
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
}

fn claim(name: &str) -> Value {
    json!({"name": "claim", "persistentVolumeClaim": {"claimName": name}})
}

fn image(reference: &str) -> Value {
    json!({"name": "image", "image": {"reference": reference, "pullPolicy": "Never"}})
}

#[test]
fn trees_are_read_from_a_claim_and_an_image_and_what_cannot_be_mounted_is_told() {
    let namespace = Namespace::new("mounted");
    namespace.open_shop();
    let volume = Volume::of_its_own(&namespace, "trees");
    volume.put("claim.yaml", &file("mounted", "InClaim", "catalogue"));
    let _unmade = Volume::of_its_own(&namespace, "unmade");
    let folder = tempfile::tempdir().expect("a folder");
    let in_image = folder.path().join("image.yaml");
    std::fs::write(&in_image, file("mounted", "InImage", "cart")).expect("a file");
    load_image(&in_image);

    // Those that cannot begin hold nobody up.
    let stuck = |name: &str, source: Value| {
        let fields = json!({
            "trees": {}, "tree": "T", "sources": [source], "targetPolicy": "Shared", "runners": {"count": 1},
        });
        namespace.apply(&army(name, &fields));
    };
    stuck("no-claim", claim("absent"));
    stuck("no-folder", claim("unmade"));
    stuck("no-image", image("localhost/absent:1"));
    let trees =
        json!({"Root": {"sequence": [{"subtree": "InClaim"}, {"always_succeed": {"subtree": "InImage"}}]}});
    let sources = json!([claim("trees"), image(IMAGE)]);
    let fields = json!({
        "trees": trees, "tree": "Root", "sources": sources, "targetPolicy": "Shared", "iterations": 20,
    });
    namespace.apply(&army("mounted", &fields));

    let ended = namespace.wait_complete("mounted");
    assert_eq!(ended["status"]["outcome"], "Passed", "{ended:#}");
    let routes = &namespace.shop_stats()["routes"];
    assert_eq!((&routes["GET /catalogue"], &routes["GET /cart"]), (&json!(20), &json!(20)), "{ended:#}");
    assert!(ended["status"]["sourcesDigest"].as_str().expect("a digest").starts_with("sha256:"));
    hold_against_the_target(&namespace, "mounted");
    for (name, wanted, part) in [
        ("no-claim", "Unschedulable", "\"absent\" not found"),
        ("no-folder", "FailedMount", "hostPath type check failed"),
        ("no-image", "ImagePull", "localhost/absent:1"),
    ] {
        namespace.eventually(&format!("{name} says {wanted}"), |n| {
            let run = n.get(&format!("botrun/{name}"));
            let (status, message) = condition(&run, "Running")?;
            (status == "False" && reason(&run, "Running")? == wanted && message.contains(part)).then_some(())
        });
    }
}
