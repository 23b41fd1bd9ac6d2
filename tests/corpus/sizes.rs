//! Cases that are too large to be kept in a file.

use super::{API_VERSION, Body, By, Case, run, with_fields, with_tree};
use serde_json::{Map, Value, json};

/// More than the API server takes of an object, and more than it takes of a request.
const BEYOND_ETCD: usize = 1_600_000;
const BEYOND_A_REQUEST: usize = 3_200_000;

pub(super) fn cases() -> Vec<Case> {
    [trees(), entries(), texts(), lists(), rows(), names(), nesting(), bytes()].concat()
}

fn case(name: &str, by: By, body: Body, says: &[&str]) -> Case {
    Case {
        name: name.to_owned(),
        file: "sizes.rs".to_owned(),
        by,
        says: says.iter().map(|say| (*say).to_owned()).collect(),
        laptop: None,
        cluster_only: false,
        raw: false,
        strict_only: false,
        beside: None,
        body,
    }
}

fn node(name: &str, node: &Value, says: &str) -> Case {
    case(name, By::Operator, run(name, &with_tree(node)), &[says])
}

fn spec(name: &str, spec: &Value, says: &str) -> Case {
    case(name, By::Operator, run(name, spec), &[says])
}

/// Fields beside a sound tree that the schema refuses.
fn fields(name: &str, fields: &Value, says: &str) -> Case {
    case(name, By::Apiserver, run(name, &with_fields(mapping(fields))), &[says])
}

fn mapping(value: &Value) -> Map<String, Value> {
    value.as_object().expect("a mapping").clone()
}

fn x(count: usize) -> String {
    "x".repeat(count)
}

/// So many entries of a mapping, all of the same value.
fn many(prefix: &str, count: usize, value: &Value) -> Value {
    (0..count).map(|i| (format!("{prefix}{i}"), value.clone())).collect::<Map<_, _>>().into()
}

/// A node inside of so many others.
fn nested(levels: usize, node: Value) -> Value {
    (0..levels).fold(node, |inner, _| json!({"negate": inner}))
}

fn trees() -> Vec<Case> {
    let misspelled = json!({"sequence": vec![json!({"wiat": 1}); 10_000]});
    let name = "size-ten-thousand-mistakes";
    let says = ["spec.trees.T.sequence[0]: unknown node \"wiat\", expected one of sequence", "… and more"];
    let mistakes = Case {
        laptop: Some(vec!["(top): more than 1000 mistakes; mend these to see the others".into()]),
        ..case(name, By::Operator, run(name, &with_tree(&misspelled)), &says)
    };
    let (tree, flat) = ("T", json!({"sequence": vec!["done"; 1_000]}));
    let calls = json!({"sequence": vec![json!({"subtree": "U"}); 101]});
    let chain: Map<String, Value> =
        (0..300).map(|i| (format!("T{i}"), json!({"subtree": format!("T{}", i + 1)}))).collect();
    let mut chain = Value::Object(chain);
    chain["T300"] = "done".into();
    vec![
        mistakes,
        node(
            "size-too-many-children",
            &json!({"sequence": vec!["done"; 10_001]}),
            "spec.trees.T.sequence: the list has 10001 items; at most 10000 are allowed",
        ),
        spec(
            "size-too-many-nodes",
            &json!({"tree": tree, "trees": {"T": calls, "U": flat}}),
            "more than 100000 nodes with subtrees written out; make the trees smaller",
        ),
        spec(
            "size-too-deep-with-subtrees",
            &json!({"tree": "A", "trees": {
                "A": nested(70, json!({"subtree": "B"})), "B": nested(70, json!({"subtree": "C"})), "C": nested(70, "done".into()),
            }}),
            "nested deeper than 200 levels with subtrees written out; make the trees flatter",
        ),
        spec(
            "size-too-long-a-chain",
            &json!({"tree": "T0", "trees": chain}),
            "spec.trees.T200.subtree: nested deeper than 200 levels with subtrees written out",
        ),
        spec(
            "size-too-many-trees",
            &json!({"tree": "T0", "trees": many("T", 1_001, &"done".into())}),
            "spec.trees: at most 1000 trees are allowed, not 1001",
        ),
    ]
}

fn entries() -> Vec<Case> {
    let http = |more: &Value| {
        let mut http = json!({"get": "http://h"});
        mapping(more).into_iter().for_each(|(field, value)| http[field.as_str()] = value);
        json!({"http": http})
    };
    let says = |place: &str| format!("spec.trees.T.http.{place}: at most 100 entries are allowed, not 101");
    let paths: Map<String, Value> = (0..101).map(|i| (format!("$.a{i}"), 1.into())).collect();
    vec![
        node(
            "size-too-many-arguments",
            &json!({"action": {"name": "log", "args": vec![1; 65]}}),
            "spec.trees.T.action.args: the list has 65 items; at most 64 are allowed",
        ),
        spec(
            "size-too-many-arguments-of-a-subtree",
            &json!({"tree": "T", "trees": {"U": "done", "T": {"subtree": {"name": "U", "with": many("a", 65, &1.into())}}}}),
            "spec.trees.T.subtree.with: at most 64 arguments are allowed, not 65",
        ),
        node(
            "size-too-many-headers",
            &http(&json!({"headers": many("A", 101, &"b".into())})),
            &says("headers"),
        ),
        node("size-too-much-kept", &http(&json!({"save": many("a", 101, &"$.a".into())})), &says("save")),
        node("size-too-much-expected", &http(&json!({"expect": {"json": paths}})), &says("expect.json")),
        node(
            "size-too-many-statuses",
            &http(&json!({"expect": {"status": vec![200; 101]}})),
            "is not a status; write a number from 100 to 599",
        ),
    ]
}

fn texts() -> Vec<Case> {
    let address = format!("http://h/{}", x(8_192));
    let too_long = "the text is longer than 262144 bytes; shorten it";
    vec![
        node(
            "size-a-megabyte-of-text",
            &json!({"log": x(1 << 20)}),
            &format!("spec.trees.T.log: {too_long}"),
        ),
        node(
            "size-a-byte-too-much-of-text",
            &json!({"http": {"post": "http://h", "body": x((256 << 10) + 1)}}),
            &format!("spec.trees.T.http.body: {too_long}"),
        ),
        node(
            "size-too-long-an-expression",
            &json!({"log": format!("{{{{ {}1 }}}}", "1+".repeat(1_024))}),
            "spec.trees.T.log: an expression is at most 2048 bytes long; work it out in steps, with set",
        ),
        node(
            "size-too-long-a-label",
            // Letters of two bytes each.
            &json!({"wait": 1, "label": "ä".repeat(127)}),
            "spec.trees.T.label: the text is 254 bytes long; at most 253 are allowed",
        ),
        node(
            "size-too-long-a-name-of-an-action",
            &json!({"action": x(257)}),
            "is not a name of an action; write 1 to 256 bytes without control characters",
        ),
        node(
            "size-too-long-a-name-of-a-subtree",
            &json!({"subtree": x(254)}),
            "spec.trees.T.subtree: the text is 254 bytes long; at most 253 are allowed",
        ),
        node(
            "size-too-long-an-address",
            &json!({"http": {"get": address}}),
            "spec.trees.T.http.get: the text is 8201 bytes long; at most 8192 are allowed",
        ),
        node(
            "size-too-long-a-method",
            &json!({"http": {"method": "X".repeat(33), "url": "http://h"}}),
            "spec.trees.T.http.method: the text is 33 bytes long; at most 32 are allowed",
        ),
        node(
            "size-too-long-a-json-path",
            &json!({"http": {"get": "http://h", "save": {"a": format!("$.{}", x(1_023))}}}),
            "spec.trees.T.http.save.a: the JSONPath is 1025 bytes long; at most 1024 are allowed",
        ),
        node(
            "size-too-long-a-shared-key",
            &json!({"shared": {"add": x(129)}}),
            "spec.trees.T.shared.add: a key is text of 1 to 128 bytes without control characters",
        ),
        spec(
            "size-too-long-a-name-of-a-tree",
            &json!({"trees": {x(254): "done"}}),
            "a name has 1 to 253 bytes and no control characters",
        ),
    ]
}

/// More than the schema allows.
fn lists() -> Vec<Case> {
    let items = |field: &str, item: &Value, count: usize| json!({field: vec![item.clone(); count]});
    let says =
        |field: &str, most: usize| format!("{field}: Too many: {}: must have at most {most} items", most + 1);
    let threshold = json!({"expect": "count > 1"});
    let stage = json!({"duration": "1s", "bots": 1});
    let host = json!({"ip": "10.0.0.1", "hostnames": ["h"]});
    let named = |count: usize, more: &Value| -> Vec<Value> {
        let item = |i: usize| {
            let mut item = more.clone();
            item["name"] = format!("a{i}").into();
            item
        };
        (0..count).map(item).collect()
    };
    let map = json!({"configMap": {"name": "m"}});
    vec![
        fields(
            "size-too-many-thresholds",
            &items("thresholds", &threshold, 101),
            &says("spec.thresholds", 100),
        ),
        fields("size-too-many-stages", &items("stages", &stage, 101), &says("spec.stages", 100)),
        fields("size-too-many-hosts", &items("hosts", &host, 101), &says("spec.hosts", 100)),
        fields(
            "size-too-many-names-of-a-host",
            &json!({"hosts": [{"ip": "10.0.0.1", "hostnames": vec!["h"; 101]}]}),
            &says("spec.hosts[0].hostnames", 100),
        ),
        fields(
            "size-fifteen-hundred-variables",
            &json!({"env": named(1_500, &json!({}))}),
            "spec.env: Too many: 1500: must have at most 100 items",
        ),
        fields(
            "size-too-many-variables-of-a-scenario",
            &json!({"scenarios": [{"name": "a", "env": named(101, &json!({}))}]}),
            &says("spec.scenarios[0].env", 100),
        ),
        fields(
            "size-too-many-scenarios",
            &json!({"scenarios": named(21, &json!({}))}),
            &says("spec.scenarios", 20),
        ),
        fields("size-too-many-sources", &json!({"sources": named(21, &map)}), &says("spec.sources", 20)),
    ]
}

fn rows() -> Vec<Case> {
    let inline = |text: &str| with_fields(mapping(&json!({"data": {"inline": text}})));
    let columns: Vec<String> = (0..1_001).map(|i| format!("c{i}")).collect();
    let (columns, values) = (columns.join(","), vec!["1"; 1_001].join(","));
    vec![
        spec(
            "size-too-long-a-row",
            &inline(&format!("a\n{}\n", x(65_536))),
            "spec.data.inline: line 2: the row has more than 65536 bytes; keep less in it",
        ),
        spec(
            "size-too-many-columns",
            &inline(&format!("{columns}\n{values}\n")),
            "spec.data.inline: there are 1001 columns; at most 1000 are allowed",
        ),
        fields(
            "size-too-many-rows-in-the-spec",
            &json!({"data": {"inline": format!("a\n{}", "1\n".repeat(131_072))}}),
            "spec.data.inline: Too long: may not be more than 262144",
        ),
    ]
}

/// Texts that are longer than the schema allows.
fn names() -> Vec<Case> {
    let says = |field: &str, most: usize| format!("{field}: Too long: may not be more than {most}");
    let map = json!({"name": "m"});
    [
        ("target", json!({"target": format!("http://{}", x(2_042))}), says("spec.target", 2_048)),
        ("tree", json!({"tree": x(254)}), says("spec.tree", 253)),
        ("setup", json!({"setup": {"tree": x(254)}}), says("spec.setup.tree", 253)),
        ("variable", json!({"env": [{"name": x(257)}]}), says("spec.env[0].name", 256)),
        ("value", json!({"env": [{"name": "A", "value": x(32_769)}]}), says("spec.env[0].value", 32_768)),
        (
            "comparison",
            json!({"thresholds": [{"expect": format!("count > 1{}", " ".repeat(248))}]}),
            says("spec.thresholds[0].expect", 256),
        ),
        (
            "threshold-action",
            json!({"thresholds": [{"expect": "count > 1", "action": x(1_025)}]}),
            says("spec.thresholds[0].action", 1_024),
        ),
        (
            "threshold-group",
            json!({"thresholds": [{"expect": "count > 1", "group": x(513)}]}),
            says("spec.thresholds[0].group", 512),
        ),
        (
            "stage",
            json!({"stages": [{"duration": "1s", "bots": 1, "name": x(64)}]}),
            says("spec.stages[0].name", 63),
        ),
        ("scenario", json!({"scenarios": [{"name": x(64)}]}), says("spec.scenarios[0].name", 63)),
        ("source", json!({"sources": [{"name": x(41), "configMap": map}]}), says("spec.sources[0].name", 40)),
        (
            "source-path",
            json!({"sources": [{"name": "a", "path": x(1_025), "configMap": map}]}),
            says("spec.sources[0].path", 1_024),
        ),
        (
            "host-name",
            json!({"hosts": [{"ip": "10.0.0.1", "hostnames": [x(254)]}]}),
            says("spec.hosts[0].hostnames[0]", 253),
        ),
        ("host-address", json!({"hosts": [{"ip": x(46), "hostnames": ["h"]}]}), says("spec.hosts[0].ip", 45)),
        ("file-of-rows", json!({"data": {"file": x(4_097)}}), says("spec.data.file", 4_096)),
        (
            "key-of-rows",
            json!({"data": {"configMap": {"name": "m", "key": x(254)}}}),
            says("spec.data.configMap.key", 253),
        ),
        (
            "secret",
            json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": x(254), "key": "k"}}}]}),
            says("spec.env[0].valueFrom.secretKeyRef.name", 253),
        ),
    ]
    .map(|(what, value, says)| fields(&format!("size-too-long-a-{what}"), &value, &says))
    .into()
}

/// Deeper than a reader of JSON goes: it must not keep the operator from all other runs.
fn nesting() -> Vec<Case> {
    let lists = |levels: usize| (0..levels).fold(json!([]), |inner, _| json!([inner]));
    let deeper = |field: &str| format!("spec.{field}: nested deeper than 100 levels; make it flatter");
    // A laptop's reader of JSON gives up before.
    let deep = |name: &str, spec: &Value, says: &str| Case {
        laptop: Some(vec!["(top): not valid JSON: recursion limit exceeded".into()]),
        ..case(name, By::Operator, run(name, spec), &[says])
    };
    let deepest = "size-custom-of-9000-levels";
    vec![
        deep("size-tree-of-200-levels", &with_tree(&nested(200, "done".into())), &deeper("trees")),
        // Nearly as deep as the API server goes.
        Case { body: Body::Text(deep_text(deepest, 9_000)), ..deep(deepest, &json!({}), &deeper("custom")) },
        deep(
            "size-template-of-200-levels",
            &with_fields(mapping(&json!({"template": {"spec": {"affinity": lists(200)}}}))),
            &deeper("template"),
        ),
    ]
}

/// Documents that are too large as a whole, or no text.
fn bytes() -> Vec<Case> {
    let large = |name: &str, size: usize, says: &str| Case {
        // Only the cluster's store has such a bound.
        laptop: Some(Vec::new()),
        body: Body::Text(manifest(name, &json!({"custom": {"a": x(size)}})).into_bytes()),
        ..case(name, By::Apiserver, Body::Text(Vec::new()), &[says])
    };
    let text = |name: &str, bytes: Vec<u8>, says: &str, laptop: &str| Case {
        laptop: Some(vec![laptop.to_owned()]),
        ..case(name, By::Apiserver, Body::Text(bytes), &[says])
    };
    let deepest = "size-custom-of-20000-levels";
    let wide: Vec<u8> = "apiVersion: botarmy.dev/v1alpha1\nkind: BotRun\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let (controls, unreadable) = ("control characters are not allowed", "(top): not valid YAML: line 1");
    vec![
        large("size-more-than-the-store-takes", BEYOND_ETCD, "request is too large"),
        large("size-more-than-a-request-takes", BEYOND_A_REQUEST, "Request entity too large"),
        text(
            deepest,
            deep_text(deepest, 20_000),
            "exceeded max depth",
            "(top): not valid JSON: recursion limit exceeded",
        ),
        text("size-nothing-but-nuls", vec![0; 10_000], controls, unreadable),
        text("size-letters-of-two-bytes", wide, controls, unreadable),
        text(
            "size-a-program",
            vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0x80, 0xff],
            controls,
            "(top): is not text in UTF-8",
        ),
    ]
}

/// A run with a sound tree, as text.
fn manifest(name: &str, fields: &Value) -> String {
    let spec = with_fields(mapping(fields));
    json!({"apiVersion": API_VERSION, "kind": "BotRun", "metadata": {"name": name}, "spec": spec}).to_string()
}

/// A run whose custom values are so deep. Written by hand: a writer of values would go as deep itself.
fn deep_text(name: &str, levels: usize) -> Vec<u8> {
    let deep = format!("\"deep\":{}{}", "[".repeat(levels), "]".repeat(levels));
    manifest(name, &json!({"custom": {"deep": 0}})).replace("\"deep\":0", &deep).into_bytes()
}
