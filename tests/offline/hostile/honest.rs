//! A runner that does what it shall while others attack: it measures each second, hands over what is not safe yet, and
//! calls again when its connection breaks or nobody answers.

use super::attack::{self, Target, Tls};
use super::server::Served;
use crate::operator::said;
use botarmy_protocol::{CHECK_IN_PATH, CheckIn, Orders, Stage};
use botarmy_report::{DEFAULT_HIGHEST_US, Delta, Outcome, Recorder, RowInfo, Slice};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// How long a runner waits for an answer, and before it calls again if none comes.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const CALLS_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How long it may take until all is safe that it has measured: checkpoints are written every ten seconds.
const SAFE_WITHIN: Duration = Duration::from_secs(60);
/// Every so many seconds it has measured much.
const MUCH_EVERY: u64 = 5;
/// Rows and times of a second in which it has.
const ROWS: usize = 100;
const TIMES: u64 = 160;
/// What is more than this is a large check-in for the coordinator, in bytes.
const LARGE: usize = 64 << 10;

/// How it is answered.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) answers: u64,
    /// Those to large check-ins.
    pub(super) large: u64,
    /// When it was answered last, and how long it has waited for an answer at most.
    pub(super) last: Instant,
    pub(super) longest: Duration,
    /// What it was answered instead; nothing where the connection broke or no answer came.
    pub(super) refused: BTreeMap<Option<u16>, u32>,
}

/// What it has measured and handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) requests: u64,
    pub(super) actions: u64,
}

/// The runner, at work.
pub(super) struct Honest {
    pub(super) heard: watch::Receiver<Heard>,
    end: oneshot::Sender<()>,
    going: JoinHandle<Sums>,
}

impl Honest {
    pub(super) fn start(served: &Served) -> Self {
        let fresh = Heard {
            answers: 0,
            large: 0,
            last: Instant::now(),
            longest: Duration::ZERO,
            refused: BTreeMap::new(),
        };
        let ((tell, heard), (end, ended)) = (watch::channel(fresh), oneshot::channel());
        let runner = Runner {
            target: Target::of(served),
            served: served.clone(),
            connection: None,
            tell,
            kept: Vec::new(),
            sequence: 0,
            applied: 0,
            sums: Sums::default(),
        };
        Self { heard, end, going: tokio::spawn(runner.live(ended)) }
    }

    /// Ends its load, and comes when all that it has measured is safe.
    pub(super) async fn finish(self) -> Sums {
        self.end.send(()).expect("it is at work");
        let ended = tokio::time::timeout(SAFE_WITHIN, self.going).await;
        ended.expect("what it has measured is safe in time").expect("it has ended by itself")
    }
}

struct Runner {
    served: Served,
    target: Target,
    connection: Option<Tls>,
    tell: watch::Sender<Heard>,
    /// What is not known to survive the operator.
    kept: Vec<Delta>,
    sequence: u64,
    applied: u64,
    sums: Sums,
}

impl Runner {
    async fn live(mut self, mut ended: oneshot::Receiver<()>) -> Sums {
        self.call_until(Stage::Preparing, |_| true).await;
        self.call_until(Stage::Ready, |orders| orders.start_at_ms.is_some()).await;
        let begun = Instant::now();
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = seconds.tick() => {}
                _ = &mut ended => break,
            }
            while self.sequence < begun.elapsed().as_secs() {
                self.measure();
            }
            if self.call(Stage::Running).await.is_none() {
                tokio::time::sleep(CALLS_AGAIN_AFTER).await;
            }
        }
        let all = self.sequence;
        self.call_until(Stage::Finished, |orders| orders.durable == all && !orders.stay).await;
        assert_eq!(self.applied, all, "what is safe is part of the sum");
        self.sums
    }

    async fn call_until(&mut self, stage: Stage, is_it: impl Fn(&Orders) -> bool) {
        while !self.call(stage).await.is_some_and(|orders| is_it(&orders)) {
            tokio::time::sleep(CALLS_AGAIN_AFTER).await;
        }
    }

    /// What a second brings.
    fn measure(&mut self) {
        self.sequence += 1;
        let (rows, times) = if self.sequence.is_multiple_of(MUCH_EVERY) { (ROWS, TIMES) } else { (2, 1) };
        let row = |n| RowInfo {
            name: format!("row {n}"),
            base: "row".into(),
            measured: true,
            ..RowInfo::default()
        };
        let infos: Vec<RowInfo> = (0..rows).map(row).collect();
        let mut recorder = Recorder::new(infos.into(), DEFAULT_HIGHEST_US);
        for row in 0..rows {
            for time in 0..times {
                // Each in a counter of its own, far from the others.
                recorder.record(row, Outcome::Succeed, 1_000 + time * time * 700);
            }
        }
        let mut totals = recorder.drain();
        totals.requests = 7 * self.sequence;
        self.sums.requests += totals.requests;
        self.sums.actions += u64::try_from(rows).expect("a number") * times;
        let slice = Slice { second: self.sequence, totals, warmup: false, apart: false };
        self.kept.push(Delta { sequence: self.sequence, slices: vec![slice], alive: 4 });
    }

    /// Checks in once; none if there are no orders.
    async fn call(&mut self, stage: Stage) -> Option<Orders> {
        let mut check_in =
            CheckIn { pod_uid: self.served.honest_pod.clone(), ..said(&self.served.run, 0, stage, &[]) };
        check_in.deltas = self.kept.iter().filter(|delta| delta.sequence > self.applied).cloned().collect();
        let body = serde_json::to_vec(&check_in).expect("JSON");
        let length = body.len();
        let answered = tokio::time::timeout(ANSWER_WITHIN, self.exchange(body)).await.ok().flatten();
        let (code, orders) = answered.map_or((None, None), |(code, body)| {
            (Some(code), (code == 200).then(|| serde_json::from_slice::<Orders>(&body).expect("orders")))
        });
        self.tell.send_modify(|heard| {
            if orders.is_none() {
                *heard.refused.entry(code).or_default() += 1;
                return;
            }
            heard.answers += 1;
            heard.large += u64::from(length > LARGE);
            heard.longest = heard.longest.max(heard.last.elapsed());
            heard.last = Instant::now();
        });
        let Some(orders) = orders else {
            self.connection = None;
            return None;
        };
        self.applied = self.applied.max(orders.applied);
        self.kept.retain(|delta| delta.sequence > orders.durable);
        Some(orders)
    }

    /// The code of the answer, and its body.
    async fn exchange(&mut self, body: Vec<u8>) -> Option<(u16, Vec<u8>)> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.target.tls([127, 0, 0, 1]).await?,
        };
        let head = attack::head(CHECK_IN_PATH, &self.served.honest, body.len());
        connection.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
        let mut answer = Vec::new();
        loop {
            connection.read_buf(&mut answer).await.ok().filter(|read| *read > 0)?;
            let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&answer[..end]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
            let body = &answer[end + 4..];
            if body.len() >= length.parse().ok()? {
                if !head.contains("connection: close") {
                    self.connection = Some(connection);
                }
                return Some((head.split(' ').nth(1)?.parse().ok()?, body.to_vec()));
            }
        }
    }
}
