//! Who leads, of several that stand for election on one Lease.

use crate::fake::{Effect, Fake, Fault, NAMESPACE};
use crate::operator::{eventually, seconds};
use botarmy_operator::election::{Candidate, Error, IN_DOUBT, Leadership, Standing};
use serde_json::json;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const LEASE: &str = "lease";

/// One that stands for election.
struct Stand {
    leadership: Leadership,
    task: JoinHandle<Result<(), Error>>,
    end: oneshot::Sender<()>,
}

impl Stand {
    fn new(fake: &Fake, pod: &'static str) -> Self {
        Self::process(fake, pod, "1")
    }

    fn process(fake: &Fake, pod: &'static str, process: &str) -> Self {
        let (candidate, leadership) = Candidate::new(fake.client(pod), NAMESPACE, LEASE, pod, process);
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(candidate.stand(async {
            // Ended as well by a test that is over.
            drop(ended.await);
        }));
        Self { leadership, task, end }
    }

    fn now(&self) -> Standing {
        self.leadership.now()
    }

    async fn becomes(&self, standing: Standing) {
        eventually(&format!("{standing:?}"), || (self.now() == standing).then_some(())).await;
    }

    /// It has ended, since this one leads.
    async fn deposed_by(self) -> String {
        let ended = tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("an end");
        match ended.expect("no crash") {
            Err(Error::Deposed(by)) => by,
            Err(Error::Interrupted(epoch)) => panic!("it led in epoch {epoch}, and leads again"),
            Ok(()) => panic!("it ended without being told to"),
        }
    }
}

/// Of these exactly one leads.
fn one_leads(all: &[&Stand]) -> bool {
    all.iter().filter(|stand| stand.now().leads()).count() == 1
}

fn holder(fake: &Fake) -> serde_json::Value {
    fake.get("leases", LEASE).expect("a Lease")["spec"]["holderIdentity"].clone()
}

#[tokio::test(start_paused = true)]
async fn of_two_that_begin_at_once_one_leads_and_goes_on_leading() {
    let fake = Fake::new();
    fake.inject(Fault::new("get", "leases", Effect::Slow(Duration::from_millis(50))).times(2));
    let (a, b) = (Stand::new(&fake, "a"), Stand::new(&fake, "b"));
    seconds(1).await;
    let mut codes = fake.calls().to("create", "leases").codes();
    codes.sort_unstable();
    assert_eq!(codes, [Some(200), Some(409)], "both have seen that there is none");
    let first = (a.now(), b.now());
    assert!(
        [(Standing::Leads(1), Standing::Follows), (Standing::Follows, Standing::Leads(1))].contains(&first)
    );
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!((a.now(), b.now()), first);
    }
    let renewals = fake.calls().to("update", "leases").count();
    assert!((28..=31).contains(&renewals), "each two seconds: {renewals}");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_take_a_lease_at_once_one_gets_it() {
    let fake = Fake::new();
    let spec = json!({"holderIdentity": "dead_1", "leaseTransitions": 4, "leaseDurationSeconds": 8});
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": LEASE, "namespace": NAMESPACE}, "spec": spec,
    });
    fake.add("leases", lease);
    fake.inject(Fault::new("get", "leases", Effect::Slow(Duration::from_millis(50))));
    let (a, b) = (Stand::new(&fake, "a"), Stand::new(&fake, "b"));
    seconds(7).await;
    assert_eq!((a.now(), b.now()), (Standing::Follows, Standing::Follows), "it may be renewed yet");
    seconds(5).await;
    assert!(one_leads(&[&a, &b]), "{:?} {:?}", a.now(), b.now());
    assert!(
        [a.now(), b.now()].contains(&Standing::Leads(6)) && [a.now(), b.now()].contains(&Standing::Follows)
    );
    let codes = fake.calls().to("update", "leases").codes();
    assert_eq!(codes.iter().filter(|code| **code == Some(409)).count(), 1, "{codes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_answers_is_in_doubt_and_then_deposed() {
    let fake = Fake::new();
    let a = Stand::new(&fake, "a");
    a.becomes(Standing::Leads(1)).await;
    let b = Stand::new(&fake, "b");
    seconds(5).await;
    fake.inject(Fault::new("*", "leases", Effect::Hang).by("a"));
    let (silent, mut doubt) = (Instant::now(), None);
    while b.now() != Standing::Leads(2) {
        assert!(silent.elapsed() < Duration::from_secs(20), "nobody has taken over");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!(a.now().leads() && b.now().leads()), "at no time both lead");
        if a.now() == Standing::InDoubt(1) {
            doubt.get_or_insert(silent.elapsed());
        }
    }
    let taken = silent.elapsed();
    assert!((Duration::from_secs(6)..=Duration::from_secs(11)).contains(&taken), "{taken:?}");
    assert!(doubt.expect("doubt") <= Duration::from_millis(4_200), "within two tries: {doubt:?}");
    seconds(30).await;
    assert_eq!(a.now(), Standing::InDoubt(1), "it cannot know");
    fake.mend();
    assert_eq!(a.deposed_by().await, "b_1");
    assert_eq!((b.now(), holder(&fake)), (Standing::Leads(2), json!("b_1")));
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_renewals_are_done_but_not_answered_is_not_deposed() {
    let fake = Fake::new();
    let a = Stand::new(&fake, "a");
    a.becomes(Standing::Leads(1)).await;
    let b = Stand::new(&fake, "b");
    fake.inject(Fault::new("update", "leases", Effect::Lost).by("a"));
    a.becomes(Standing::InDoubt(1)).await;
    seconds(60).await;
    assert_eq!((a.now(), b.now()), (Standing::InDoubt(1), Standing::Follows));
    fake.mend();
    a.becomes(Standing::Leads(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_is_not_in_doubt_for_ever_and_leads_again_if_nobody_else_has() {
    let fake = Fake::new();
    let a = Stand::new(&fake, "a");
    a.becomes(Standing::Leads(1)).await;
    fake.inject(Fault::new("*", "leases", Effect::Hang));
    let silent = Instant::now();
    a.becomes(Standing::InDoubt(1)).await;
    // `becomes` waits for two minutes at most.
    seconds(240).await;
    assert_eq!(a.now(), Standing::InDoubt(1), "its runners are answered");
    a.becomes(Standing::Follows).await;
    let answered = silent.elapsed();
    assert!((IN_DOUBT..IN_DOUBT + Duration::from_secs(10)).contains(&answered), "{answered:?}");
    fake.mend();
    a.becomes(Standing::Leads(1)).await;
}

#[tokio::test(start_paused = true)]
async fn while_nobody_is_answered_nobody_takes_over_and_afterwards_one_leads() {
    for effect in [Effect::Hang, Effect::Break, Effect::Code(500), Effect::Code(403)] {
        let fake = Fake::new();
        let a = Stand::new(&fake, "a");
        a.becomes(Standing::Leads(1)).await;
        let b = Stand::new(&fake, "b");
        seconds(2).await;
        fake.inject(Fault::new("*", "leases", effect));
        seconds(60).await;
        assert_eq!((a.now(), b.now()), (Standing::InDoubt(1), Standing::Follows), "{effect:?}");
        fake.mend();
        seconds(5).await;
        assert!(one_leads(&[&a, &b]), "{effect:?}: {:?} {:?}", a.now(), b.now());
        if b.now().leads() {
            assert_eq!(a.deposed_by().await, "b_1", "{effect:?}");
        } else {
            a.task.abort();
        }
        b.task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_deletes_is_made_anew_and_one_leads() {
    let fake = Fake::new();
    let a = Stand::new(&fake, "a");
    a.becomes(Standing::Leads(1)).await;
    fake.remove("leases", LEASE);
    seconds(5).await;
    assert_eq!((a.now(), holder(&fake)), (Standing::Leads(1), json!("a_1")), "alone it goes on");

    let b = Stand::new(&fake, "b");
    for _ in 0..5 {
        fake.remove("leases", LEASE);
        seconds(5).await;
        assert!(one_leads(&[&a, &b]), "{:?} {:?}", a.now(), b.now());
        if b.now().leads() {
            assert_eq!(a.deposed_by().await, "b_1");
            return;
        }
        // At another moment of the two rhythms the other one is first.
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_finds_its_lease_free_again_does_not_go_on() {
    let fake = Fake::new();
    let a = Stand::new(&fake, "a");
    a.becomes(Standing::Leads(1)).await;
    fake.inject(Fault::new("get", "leases", Effect::Hang).by("a"));
    let b = Stand::new(&fake, "b");
    b.becomes(Standing::Leads(2)).await;
    assert_eq!(a.now(), Standing::InDoubt(1));
    b.end.send(()).expect("it stands");
    b.task.await.expect("no crash").expect("an end in order");
    fake.mend();
    let ended = tokio::time::timeout(Duration::from_secs(10), a.task).await.expect("an end");
    assert!(matches!(ended.expect("no crash"), Err(Error::Interrupted(1))));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_made_anew_has_a_later_epoch() {
    let fake = Fake::new();
    let a = Stand::new(&fake, "a");
    a.becomes(Standing::Leads(1)).await;
    let b = Stand::new(&fake, "b");
    seconds(3).await;
    a.task.abort();
    fake.remove("leases", LEASE);
    b.becomes(Standing::Leads(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_ends_lets_the_next_one_lead_at_once() {
    let fake = Fake::new();
    let a = Stand::new(&fake, "a");
    a.becomes(Standing::Leads(1)).await;
    let b = Stand::new(&fake, "b");
    seconds(5).await;
    a.end.send(()).expect("it stands");
    let given = Instant::now();
    a.task.await.expect("no crash").expect("an end in order");
    b.becomes(Standing::Leads(2)).await;
    assert!(given.elapsed() <= Duration::from_millis(1_200), "{:?}", given.elapsed());
    // One that follows has nothing to give back.
    let c = Stand::new(&fake, "c");
    seconds(2).await;
    c.end.send(()).expect("it stands");
    c.task.await.expect("no crash").expect("an end in order");
    assert_eq!((b.now(), holder(&fake)), (Standing::Leads(2), json!("b_1")));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_given_back_keeps_nobody_from_ending() {
    let fake = Fake::new();
    let a = Stand::new(&fake, "a");
    a.becomes(Standing::Leads(1)).await;
    fake.inject(Fault::new("*", "leases", Effect::Hang));
    let told = Instant::now();
    a.end.send(()).expect("it stands");
    a.task.await.expect("no crash").expect("an end in order");
    assert!(told.elapsed() <= Duration::from_secs(4), "{:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_container_that_was_restarted_leads_again_at_once_in_another_epoch() {
    let fake = Fake::new();
    let first = Stand::new(&fake, "a");
    first.becomes(Standing::Leads(1)).await;
    first.task.abort();
    let again = Stand::process(&fake, "a", "2");
    let began = Instant::now();
    again.becomes(Standing::Leads(2)).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
