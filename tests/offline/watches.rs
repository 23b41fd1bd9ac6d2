//! Watches that end, break, or have missed what is forgotten by now.

use crate::fake::{Cut, Effect, Fake, Fault};
use crate::operator::{Operator, apply, eventually, phase, run, scheduled, seconds};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_goes_on_where_it_was() {
    for cut in [Cut::Ends, Cut::Breaks] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        let first = apply(&fake, run("a", &json!({})));
        scheduled(&fake, "a").await;
        fake.cut("botruns", cut);
        fake.cut("jobs", cut);
        // What happens in between is not missed.
        fake.remove("botruns", "a");
        apply(&fake, run("b", &json!({})));
        scheduled(&fake, "b").await;
        eventually("it is known to be gone", || (!operator.knows(&first)).then_some(())).await;
        for resource in ["botruns", "jobs"] {
            let (lists, watches) =
                (fake.calls().to("list", resource).count(), fake.calls().to("watch", resource).count());
            assert_eq!((lists, watches), (1, 2), "{resource} after {cut:?}");
        }
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_deleted_while_nobody_watched_is_forgotten() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let target = json!({"target": "http://target:8080"});
    let first = apply(&fake, run("a", &target));
    scheduled(&fake, "a").await;
    let second = apply(&fake, run("b", &target));
    eventually("it waits for the first", || (phase(&fake, "b") == "Pending").then_some(())).await;
    assert!(operator.knows(&second));
    fake.inject(Fault::new("watch", "botruns", Effect::Code(500)));
    fake.cut("botruns", Cut::Ends);
    seconds(5).await;
    fake.remove("botruns", "b");
    seconds(1).await;
    fake.forget_changes();
    seconds(30).await;
    let tries = fake.calls().to("watch", "botruns").count();
    assert!((4..=12).contains(&tries), "{tries} tries to watch");
    assert!(operator.knows(&second), "nobody has said so yet");
    fake.mend();
    eventually("it is forgotten", || (!operator.knows(&second)).then_some(())).await;
    assert_eq!(fake.calls().to("list", "botruns").count(), 2);
    assert!(operator.knows(&first));
    seconds(10).await;
    assert_eq!(fake.all("jobs").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_which_nothing_comes_any_more_is_given_up_within_a_minute() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    fake.cut("botruns", Cut::IsSilent);
    seconds(1).await;
    let vanished = Instant::now();
    fake.remove("botruns", "a");
    while operator.knows(&uid) {
        assert!(vanished.elapsed() < Duration::from_secs(40), "nobody has seen that it is gone");
        seconds(1).await;
    }
    operator.kill().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_wanted_while_the_api_server_was_away_is_heard_of_soon_after_its_return() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    let watched = ["botruns", "jobs"];
    for resource in watched {
        fake.inject(Fault::new("watch", resource, Effect::Code(500)));
        fake.inject(Fault::new("list", resource, Effect::Code(500)));
        fake.cut(resource, Cut::Breaks);
    }
    seconds(300).await;
    // One that was started anew does not know any more what has changed.
    apply(&fake, run("b", &json!({})));
    fake.forget_changes();
    fake.mend();
    let returned = Instant::now();
    scheduled(&fake, "b").await;
    let took = returned.elapsed();
    // Until the next try, which is told that it knows too little, and until the one after it.
    assert!(took <= Duration::from_secs(11), "{took:?}");
    for resource in watched {
        let tries = fake.calls().to("watch", resource).count();
        assert!((50..=80).contains(&tries), "{tries} tries to watch {resource} in 300 s");
    }
    operator.kill().await;
}
