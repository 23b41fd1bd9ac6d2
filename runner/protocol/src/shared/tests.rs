use super::*;
use serde_json::json;

fn key() -> String {
    "k".to_owned()
}

fn number(n: i64) -> Number {
    Number::from(n)
}

#[test]
fn changes_come_to_what_they_say() {
    let mut store = Store::default();
    let mut apply = |change| store.apply(change);
    assert_eq!(apply(Change::Add(key(), number(2))), Answer::Made(json!(2)));
    assert_eq!(apply(Change::Add(key(), number(-5))), Answer::Made(json!(-3)));
    assert_eq!(apply(Change::Add(key(), Number::from_f64(0.5).unwrap())), Answer::Made(json!(-2.5)));
    assert!(
        matches!(apply(Change::Push(key(), json!(1))), Answer::Refused(r) if r.contains("a number and no list"))
    );
    assert_eq!(apply(Change::Delete(key())), Answer::Made(json!(-2.5)));
    assert_eq!(apply(Change::Pop(key())), Answer::Empty);
    assert_eq!(apply(Change::Push(key(), json!("a"))), Answer::Made(json!(1)));
    assert_eq!(apply(Change::Push(key(), json!("b"))), Answer::Made(json!(2)));
    assert_eq!(apply(Change::Push(key(), json!("a"))), Answer::Made(json!(3)));
    assert!(matches!(apply(Change::Add(key(), number(1))), Answer::Refused(r) if r.contains("a list")));
    assert_eq!(apply(Change::Take(key(), json!("b"))), Answer::Made(json!("b")));
    assert_eq!(apply(Change::Take(key(), json!("b"))), Answer::Empty);
    assert_eq!(apply(Change::Pop(key())), Answer::Made(json!("a")));
    assert_eq!(store.get("k").0, json!(["a"]));
    store.apply(Change::Put(key(), json!(2)));
    assert_eq!(store.apply(Change::Leave(key(), 3)), Answer::Made(json!(1)));
    assert_eq!(store.apply(Change::Leave(key(), 1)), Answer::Made(json!(1)), "the goal was reached");
}

#[test]
fn a_replacement_is_made_only_of_what_was_seen() {
    let mut store = Store::default();
    assert_eq!(store.apply(Change::Replace(key(), 0, json!(1))), Answer::Made(json!(1)));
    let (value, version) = store.get("k");
    assert_eq!(value, json!(1));
    store.apply(Change::Put(key(), json!(2)));
    let changed = store.apply(Change::Replace(key(), version, json!(3)));
    assert_eq!(changed, Answer::Changed(json!(2), version + 1));
    let restored = store.clone().restored().apply(Change::Replace(key(), version + 1, json!(3)));
    assert!(matches!(restored, Answer::Changed(..)), "what was seen of a lost store is not this one's");
}

#[test]
fn what_a_store_takes_is_reckoned_exactly_and_again_when_it_is_read() {
    let mut store = Store::default();
    let changes = [
        Change::Push(key(), json!("ä\n")),
        Change::Push(key(), json!(null)),
        Change::Push(key(), json!([1, {"a": 1.5}])),
        Change::Take(key(), json!(null)),
        Change::Pop(key()),
        Change::Pop(key()),
        Change::Push(key(), json!(1)),
        Change::Put("b".into(), json!({"x": [1]})),
        Change::Add("c".into(), number(-7)),
        Change::Delete("b".into()),
        Change::Push("b".into(), json!("y")),
    ];
    for change in changes {
        let said = format!("{change:?}");
        store.apply(change);
        let kept = store.entries.iter().filter(|(_, entry)| !entry.value.is_null());
        let size: usize = kept.map(|(key, entry)| key.len() + entry.value.to_string().len()).sum();
        assert_eq!(store.size, size, "{said}");
        let written = serde_json::to_value(&store).unwrap();
        assert_eq!(serde_json::from_value::<Store>(written).unwrap(), store, "{said}");
    }
}

#[test]
fn a_copy_follows_by_its_version() {
    let mut store = Store::default();
    store.apply(Change::Put("a".into(), json!(1)));
    store.apply(Change::Put("b".into(), json!(2)));
    let seen = store.version();
    assert_eq!(store.news(seen).entries, []);
    store.apply(Change::Delete("a".into()));
    assert_eq!(store.news(seen).entries, [("a".to_owned(), Value::Null, 3)]);
    assert_eq!(store.news(0).entries.len(), 2);
    let news = store.clone().restored().news(3);
    assert!(news.anew && news.entries.len() == 1 && news.entries[0].0 == "b", "{news:?}");
}

#[test]
fn a_store_is_bounded_and_what_is_refused_changes_nothing() {
    let mut store = Store::default();
    let text = |bytes: usize| json!("x".repeat(bytes));
    for change in [Change::Put("k".repeat(MAX_KEY + 1), json!(1)), Change::Delete("k".repeat(MAX_KEY + 1))] {
        assert!(matches!(store.apply(change), Answer::Refused(reason) if reason.contains("a shorter one")));
    }
    store.apply(Change::Delete("never".into()));
    assert_eq!(store, Store::default(), "no trace is left of what never was");
    assert!(matches!(store.apply(Change::Put(key(), text(MAX_VALUE + 1))), Answer::Refused(_)));
    for n in 0..7 {
        assert!(matches!(store.apply(Change::Put(format!("{n}"), text(MAX_VALUE - 2))), Answer::Made(_)));
    }
    let full = (0..100).find_map(|n| match store.apply(Change::Put(format!("m{n}"), text(60_000))) {
        Answer::Refused(reason) => Some(reason),
        _ => None,
    });
    assert!(full.unwrap().contains("together"));
    let mut store = Store::default();
    for n in 0..MAX_KEYS {
        store.apply(Change::Add(format!("{n}"), number(1)));
    }
    let before = store.clone();
    assert!(
        matches!(store.apply(Change::Put("more".into(), json!(1))), Answer::Refused(r) if r.contains("keys"))
    );
    assert_eq!(store, before);
    // Taking keys away makes room, and what is kept of them is bounded as well.
    for n in 0..3 * MAX_KEYS {
        store.apply(Change::Delete(format!("{}", n % MAX_KEYS)));
        store.apply(Change::Put(format!("n{n}"), json!(1)));
        store.apply(Change::Delete(format!("n{n}")));
    }
    assert!(store.entries.len() <= 2 * MAX_KEYS, "{}", store.entries.len());
    assert_eq!((store.size, store.keys), (0, 0));
}
