//! `runner run`: setup before all bots, teardown after them.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{Done, Given};
use common::{Shop, until};
use serde_json::{Value, json};

/// Setup logs in, all bots use its token, teardown looks at the cart that they have filled.
fn file(shop: &Shop, fields: &str) -> String {
    let mut file = r#"
trees:
  Login:
    sequence:
      - http: {post: "{{ target }}/login", save: {token: $.token}}
      - shared: {put: cart, value: 0}
  Buy:
    sequence:
      - http:
          post: "{{ target }}/cart"
          headers: {Authorization: "Bearer {{ token }}"}
          json: {item: 1}
          expect: {status: 201}
      - shared: {add: cart}
  Look:
    http:
      get: "{{ target }}/cart"
      headers: {Authorization: "Bearer {{ token }}"}
      expect: {json: {$.count: "{{ shared.cart }}"}}
  Visit: {http: {get: "{{ target }}/cart", headers: {Authorization: "Bearer {{ token }}"}}}
  Fail: {sequence: [{set: {token: partly}}, {http: {get: "{{ target }}/nowhere"}}]}
  Unmet: {await: {signal: never, timeout: 10ms}}
  Slow: {wait: 1h}
  Dies: {error: "no way"}
tree: Buy
"#
    .to_owned();
    file += &format!("target: {}\n{fields}\n", shop.url());
    file
}

fn run(shop: &Shop, fields: &str, code: i32) -> Done {
    let given = Given::new(&file(shop, fields));
    let ended = given.start(&[]).end().expect(code);
    given.done(ended)
}

fn row<'a>(done: &'a Done, scenario: &str, name: &str) -> Option<&'a Value> {
    let actions = done.result["actions"].as_array().expect("actions");
    actions.iter().find(|a| a["scenario"] == scenario && a["name"] == name)
}

#[test]
fn what_setup_leaves_reaches_all_bots_and_teardown() {
    let shop = Shop::open(&[]);
    let fields = "bots: 4\niterations: 20\nsetup: {tree: Login}\nteardown: {tree: Look}";
    let done = run(&shop, &format!("{fields}\nthresholds: [{{expect: count == 20}}]"), 0);
    assert_eq!(done.counts("POST /cart"), [20, 0, 0, 0]);
    // Its requests are counted, since the target counts them too; they are no load.
    assert_eq!((done.number("/requests"), shop.requests()), (22, 22));
    assert_eq!(
        (done.number("/total/count"), done.number("/iterations"), done.number("/bots/started")),
        (20, 20, 4)
    );
    let login = row(&done, "(setup)", "POST /login").expect("a row");
    assert_eq!((&login["count"], &login["measured"]), (&json!(1), &json!(false)));
    assert_eq!(row(&done, "(teardown)", "GET /cart").expect("a row")["succeed"], 1);
}

#[test]
fn a_setup_that_fails_starts_no_bot_and_is_cleaned_up_after() {
    let shop = Shop::open(&[]);
    let done = run(&shop, "setup: {tree: Fail}\nteardown: {tree: Look}", 3);
    assert_eq!(done.result["outcome"], "Errored");
    let reason = done.result["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("setup failed: GET /nowhere: ") && reason.contains("404"), "{reason}");
    assert!(done.ended.stdout.contains("reason      setup failed"), "{}", done.ended.stdout);
    assert_eq!((done.number("/bots/started"), shop.requests()), (0, 2));
    // It has the values that setup had left until then; the shop does not know this token.
    assert_eq!(row(&done, "(teardown)", "GET /cart").expect("a row")["fail"], 1);
}

#[test]
fn setup_and_teardown_have_their_time_and_teardown_may_fail() {
    let shop = Shop::open(&[]);
    let late = run(&shop, "setup: {tree: Slow, timeout: 2s}", 3);
    assert_eq!(
        late.result["reason"],
        "setup took longer than its timeout of 2s; do less in it, or give it more time"
    );
    let done = run(&shop, "iterations: 1\nsetup: {tree: Login}\nteardown: {tree: Dies}", 3);
    assert_eq!(done.result["reason"], "teardown failed: error(\"no way\"): no way");
    assert_eq!(done.number("/iterations"), 1);
    // A leaf that only steers is named as well.
    let unmet = run(&shop, "setup: {tree: Unmet}", 3);
    assert_eq!(
        unmet.result["reason"],
        "setup failed: await(\"never\"): the signal was not given within 10ms"
    );
    // A verdict on the load stands.
    let fields =
        "iterations: 1\nsetup: {tree: Login}\nteardown: {tree: Dies}\nthresholds: [{expect: count > 5}]";
    assert_eq!(run(&shop, fields, 99).result["outcome"], "Failed");
}

#[test]
fn teardown_comes_after_an_interrupt_and_after_an_abort() {
    let shop = Shop::open(&[]);
    let given =
        Given::new(&file(&shop, "bots: 2\npace: 10ms\nsetup: {tree: Login}\nteardown: {tree: Visit}"));
    let running = given.start(&[]);
    until("bots are at work", || shop.requests() > 5);
    running.signal("INT");
    let ended = running.end().expect(0);
    let done = given.done(ended);
    assert_eq!(row(&done, "(teardown)", "GET /cart").expect("a row")["succeed"], 1, "{:#}", done.result);
    assert_eq!(done.number("/requests"), shop.requests());
    let abort = "pace: 10ms\nsetup: {tree: Login}\nteardown: {tree: Visit}\nthresholds: [{expect: count < 3, abortOnFail: true}]";
    let done = run(&shop, abort, 99);
    assert_eq!(row(&done, "(teardown)", "GET /cart").expect("a row")["succeed"], 1);
}

#[test]
fn an_interrupt_in_setup_ends_the_run_and_cleans_up() {
    let shop = Shop::open(&[]);
    let setup = "{sequence: [{http: {get: '{{ target }}/catalogue'}}, {wait: 1h}]}";
    let given = Given::new(&format!(
        "trees: {{Setup: {setup}, Clean: {{http: {{get: '{{{{ target }}}}/catalogue'}}}}}}\ntree: Clean\ntarget: {}\n\
         setup: {{tree: Setup, timeout: 1h}}\nteardown: {{tree: Clean}}\n",
        shop.url()
    ));
    let running = given.start(&[]);
    until("setup waits", || shop.requests() == 1);
    running.signal("TERM");
    let ended = running.end().expect(3);
    let done = given.done(ended);
    assert_eq!(done.result["reason"], "setup was interrupted");
    assert_eq!((done.number("/bots/started"), shop.requests()), (0, 2));
}

#[test]
fn a_second_interrupt_is_immediate_in_teardown_too() {
    let shop = Shop::open(&[]);
    let fields = "iterations: 1\nsetup: {tree: Login}\nteardown: {tree: Slow, timeout: 1h}";
    let given = Given::new(&file(&shop, fields));
    let running = given.start(&[]);
    until("the load is over", || shop.requests() == 2);
    running.signal("INT");
    running.signal("TERM");
    running.end().expect(130);
    assert_eq!(given.names(), ["army.yaml"], "no result");
}

#[test]
fn what_setup_leaves_is_bounded_and_teardown_knows_what_is_small() {
    let shop = Shop::open(&[]);
    let file = format!(
        "target: {}\ntrees:\n  Much: {{sequence: [{{http: {{post: '{{{{ target }}}}/login', save: {{token: $.token}}}}}}, {{set: {{much: '{}'}}}}, {{set: {{more: '{{{{ much }}}}{{{{ much }}}}'}}}}]}}\n  \
         Clean: {{http: {{get: '{{{{ target }}}}/cart', headers: {{Authorization: 'Bearer {{{{ token }}}}'}}}}}}\ntree: Clean\nsetup: {{tree: Much}}\nteardown: {{tree: Clean}}\n",
        shop.url(),
        "x".repeat(100_000)
    );
    let given = Given::new(&file);
    let done = given.done(given.start(&[]).end().expect(3));
    let reason = done.result["reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("setup leaves values of 300") && reason.contains("set fewer or smaller ones"),
        "{reason}"
    );
    assert_eq!(row(&done, "(teardown)", "GET /cart").expect("a row")["succeed"], 1);
}
