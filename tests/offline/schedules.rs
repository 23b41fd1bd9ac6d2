//! Runs that are created by the clock: one for each time, whatever becomes of the answers.

use crate::fake::{Effect, Fake, Fault, NAMESPACE};
use crate::operator::{eventually, seconds, uid};
use botarmy_operator::election::{Leadership, Standing};
use serde_json::{Value, json};
use tokio::sync::watch::channel;

/// A schedule that was due last at the beginning of the year, when it had been there for long.
fn add_schedule(fake: &Fake) -> String {
    let schedule = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRunSchedule",
        "metadata": {"name": "yearly", "namespace": NAMESPACE, "creationTimestamp": "2020-06-01T00:00:00Z"},
        "spec": {"schedule": "@yearly", "template": {"spec": {"trees": {"T": {"wait": 1}}}}},
    });
    uid(&fake.add("botrunschedules", schedule))
}

fn start(fake: &Fake) {
    let leads = Leadership::from(channel(Standing::Leads(1)).1);
    tokio::spawn(botarmy_operator::schedules::run(fake.client("operator"), leads, std::future::pending()));
}

fn ready(fake: &Fake) -> Option<(Value, Value)> {
    let schedule = fake.get("botrunschedules", "yearly")?;
    let told = schedule["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == "Ready")?.clone();
    Some((told["status"].clone(), told["reason"].clone()))
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_due_is_created_once_whatever_becomes_of_the_answer() {
    for (what, effect, tries) in [
        ("all is well", None, 1),
        ("the answer was lost", Some(Effect::Lost), 1),
        ("the call was lost", Some(Effect::Hang), 2),
        ("the connection broke", Some(Effect::Break), 2),
        ("an error", Some(Effect::Code(500)), 2),
    ] {
        let fake = Fake::new();
        start(&fake);
        if let Some(effect) = effect {
            fake.inject(Fault::new("create", "botruns", effect).times(1));
        }
        let owner = add_schedule(&fake);
        eventually(what, || (ready(&fake) == Some((json!("True"), json!("Scheduling")))).then_some(())).await;
        seconds(30).await;
        let runs = fake.all("botruns");
        assert_eq!(
            (runs.len(), &runs[0]["metadata"]["ownerReferences"][0]["uid"]),
            (1, &json!(owner)),
            "{what}"
        );
        assert_eq!(fake.calls().to("create", "botruns").count(), tries, "{what}");
        assert_eq!(fake.get("botrunschedules", "yearly").expect("one")["status"]["activeCount"], 1, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_may_not_be_created_is_told_and_tried_again_slowly() {
    let fake = Fake::new();
    start(&fake);
    fake.inject(Fault::new("create", "botruns", Effect::Code(403)));
    add_schedule(&fake);
    seconds(61).await;
    assert_eq!(ready(&fake), Some((json!("False"), json!("Forbidden"))));
    let tries = fake.calls().to("create", "botruns").count();
    assert!((6..=8).contains(&tries), "each ten seconds: {tries}");
    fake.mend();
    eventually("it is created", || (fake.all("botruns").len() == 1).then_some(())).await;
}
