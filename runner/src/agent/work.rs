//! A runner's bots at work: each second has measures of its own, however long the coordinator takes for its answers.

use super::contact::INTERVAL;
use super::course::{Course, Ending};
use super::outbox::Outbox;
use super::shown::Shown;
use super::{Agent, Error, told, values};
use crate::engine::Army;
use crate::seconds::Seconds;
use botarmy_protocol::{Orders, Stage, Standing};
use botarmy_report::Delta;
use botarmy_spec::{Part, Run};
use std::pin::pin;
use std::time::{Duration, Instant};

/// An army at work, and how far it is.
struct Work<'a> {
    run: &'a Run,
    army: &'a Army,
    /// The orders that it began with.
    begin: Orders,
    seconds: Seconds,
    course: Course,
    /// Bots alive when measures were last taken, and how far its part was then beside them.
    alive: u32,
    standing: Standing,
}

impl Work<'_> {
    /// Takes what was measured since the last time. It is not to be given up half way: what was drained would be lost.
    async fn take(&mut self, outbox: &mut Outbox, shown: &mut Shown) {
        let snapshot = self.army.drain().await;
        let second = self.seconds.take(Instant::now());
        shown.add(&snapshot.totals, snapshot.alive, snapshot.finished);
        (self.alive, self.course.finished) = (snapshot.alive, snapshot.finished);
        self.standing = Standing { losses: self.course.losses, ..snapshot.standing };
        outbox.add(snapshot.warmup, second, true, self.alive);
        outbox.add(snapshot.totals, second, false, self.alive);
    }

    /// How long until measures are to be taken again.
    fn pause(&self) -> Duration {
        if self.course.ending == Ending::No { self.seconds.rest(Instant::now()) } else { INTERVAL / 10 }
    }

    /// The pod is told to end; whether its part is not done by that.
    fn leave(&mut self) -> bool {
        self.course.terminated = true;
        // Whoever ends by itself, or is told to by the run, has done its part.
        let left = !self.course.finished && self.course.ending != Ending::Ordered;
        self.course.end(self.army);
        left
    }
}

impl Agent {
    /// Reports each second until the run is over, then until everything is durable and nothing is left to do.
    pub(super) async fn work(
        &mut self,
        run: &Run,
        army: &Army,
        start: Instant,
        begin: Orders,
    ) -> Result<(), Error> {
        let (seconds, course) = (Seconds::since(start), Course::knowing(start, &begin));
        let standing = Standing::default();
        let mut work = Work { run, army, begin, seconds, course, alive: 0, standing };
        work.course.obey(army, &work.begin);
        loop {
            tokio::select! {
                biased;
                () = told(self.terminated.clone()), if !work.course.terminated => self.contact.left = work.leave(),
                () = army.worker_finished() => {}
                () = tokio::time::sleep(work.pause()) => {}
                () = self.contact.together_is_due(), if !work.course.finished => {
                    self.talk(&mut work, Stage::Running, Vec::new()).await;
                    continue;
                }
            }
            work.take(&mut self.contact.outbox, &mut self.shown).await;
            self.measure_start(army, start, &work.begin);
            self.contact.standing = work.standing.clone();
            let finished = work.course.finished;
            let (stage, deltas) =
                self.contact.measures(if finished { Stage::Finished } else { Stage::Running });
            let orders = self.talk(&mut work, stage, deltas).await;
            let abandoned = self.contact.lease_is_over();
            // Whoever is heard again before its bots have ended has not done its part all the same.
            self.contact.left |= abandoned && work.course.ending == Ending::No && !work.course.finished;
            let stays = self.may_get_more && orders.as_ref().is_none_or(|orders| orders.stay);
            if abandoned || (finished && !stays) {
                // What is not durable yet is asked after as soon as it can be.
                work.course.end(army);
            }
            if finished && let Some(ended) = self.ended(&work, orders.as_ref(), stays, abandoned).await {
                return ended;
            }
        }
    }

    /// Says these measures and all else there is to say, and does what is answered. Each second that ends before that is
    /// taken by itself: it is told with the next check-in.
    async fn talk(&mut self, work: &mut Work<'_>, stage: Stage, deltas: Vec<Delta>) -> Option<Orders> {
        let said = self.contact.compose(stage, work.alive, deltas);
        let Self { contact, shown, terminated, .. } = self;
        let answer = {
            let mut answer = pin!(contact.link.post(&said));
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => break answer,
                    () = told(terminated.clone()), if !work.course.terminated => contact.left = work.leave(),
                    () = tokio::time::sleep(work.seconds.rest(Instant::now())) => {
                        work.take(&mut contact.outbox, shown).await;
                    }
                }
            }
        };
        let orders = contact.hear(answer);
        if let Some(orders) = &orders {
            work.course.obey(work.army, orders);
        }
        orders
    }

    /// How it ends, once its bots have and the coordinator was told so, or could not be; none while it has to stay.
    async fn ended(
        &mut self,
        work: &Work<'_>,
        orders: Option<&Orders>,
        stays: bool,
        abandoned: bool,
    ) -> Option<Result<(), Error>> {
        match orders {
            Some(orders) if self.contact.is_to_perform(orders) == Some(Part::Teardown) => {
                self.perform(work.run, Part::Teardown, values(orders), Stage::Finished).await;
                None
            }
            Some(orders) if self.contact.outbox.is_empty() && !orders.stay => {
                Some(if self.contact.left { Err(Error::Left) } else { Ok(()) })
            }
            // Others have what may come yet; its part is done, and known to be.
            Some(_) if work.course.terminated && stays && self.contact.outbox.is_empty() => {
                Some(Err(Error::Left))
            }
            // The run was deleted: nobody is left who wants the rest, or could tell who cleans up.
            None if work.course.terminated && self.contact.unknown => {
                if work.army.is_first() {
                    self.perform(work.run, Part::Teardown, values(&work.begin), Stage::Finished).await;
                }
                Some(Ok(()))
            }
            _ if abandoned => Some(Err(self.contact.given_up())),
            _ => None,
        }
    }
}
