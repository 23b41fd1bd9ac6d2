use super::*;
use botarmy_protocol::Resume;
use botarmy_tree::draw::Draw;

/// Many armies, some of whose runners are lost one after another; what each had done is drawn by `done`, which is given
/// the lost runner with the losses before its own. All are lost at times.
fn armies(test: u32, done: impl Fn(&mut Draw, &Losses, u32) -> Loss, check: impl Fn(u32, &[Loss])) {
    for army in 0..300 {
        let mut draw = Draw::new(u64::from(test), army, 0, 0);
        let of = number(draw.between(1, 7));
        let mut losses: Vec<Loss> = Vec::new();
        let mut left: Vec<u32> = (0..of).collect();
        for _ in 0..draw.between(0, u64::from(of)) {
            let index = left.remove(usize::try_from(draw.below(left.len() as u64)).unwrap());
            // It may not have heard of the last ones.
            let knew = number(draw.between(0, losses.len() as u64));
            let lost = Losses::of(Share { index, of }, &losses);
            let loss = done(&mut draw, &lost, knew);
            losses.push(Loss { index, done: Resume { knew, ..loss.done }, ..loss });
        }
        check(of, &losses);
    }
}

/// Most bots that there are: of some runners none is one's.
const MOST: [u32; 4] = [1, 2, 4, 1000];

fn number(n: u64) -> u32 {
    u32::try_from(n).unwrap()
}

fn nothing() -> Loss {
    Loss { index: 0, at_ms: 0, bots: 0, done: Resume::default() }
}

/// Those that are left, with what they know.
fn survivors(of: u32, losses: &[Loss]) -> Vec<Losses> {
    let lost: BTreeSet<u32> = losses.iter().map(|loss| loss.index).collect();
    let left = (0..of).filter(|index| !lost.contains(index));
    left.map(|index| Losses::of(Share { index, of }, losses)).collect()
}

fn scenario(count: u64) -> std::collections::BTreeMap<String, u64> {
    [(String::new(), count)].into()
}

#[test]
fn those_that_are_left_are_numbered_in_their_order_and_have_all_bots() {
    armies(
        1,
        |_, _, _| nothing(),
        |of, losses| {
            for bots in [0, 1, 5, 100, 1001] {
                let left = survivors(of, losses);
                let shares: Vec<Share> = left.iter().map(Losses::share).collect();
                assert!(shares.iter().map(|s| s.index as usize).eq(0..left.len()), "{shares:?}");
                if !left.is_empty() {
                    assert_eq!(shares.iter().map(|s| s.bots(bots)).sum::<u32>(), bots);
                }
                // Nobody has fewer than before: no bot is sent home because of a loss.
                let before = survivors(of, &losses[..losses.len().saturating_sub(1)]);
                for one in &left {
                    let was = before.iter().find(|other| other.share == one.share).unwrap();
                    assert!(was.share().bots(bots) <= one.share().bots(bots));
                }
            }
        },
    );
}

#[test]
fn iterations_add_up_whatever_was_done_by_whom() {
    for (total, most) in [0, 1, 7, 1000].into_iter().flat_map(|total| MOST.map(|most| (total, most))) {
        let done = |draw: &mut Draw, lost: &Losses, _: u32| {
            let made = draw.between(0, lost.iterations("", total, most));
            Loss { done: Resume { iterations: scenario(made), ..Resume::default() }, ..nothing() }
        };
        armies(2, done, |of, losses| {
            let left = survivors(of, losses);
            if left.is_empty() {
                return;
            }
            let by_lost: u64 = losses.iter().map(|loss| loss.done.iterations[""]).sum();
            let by_left: u64 = left.iter().map(|one| one.iterations("", total, most)).sum();
            assert_eq!(by_lost + by_left, total, "{losses:?}");
            for one in left.iter().filter(|one| one.share().bots(most) == 0) {
                assert_eq!(one.iterations("", total, most), 0, "it has nobody to make a pass");
            }
        });
    }
}

#[test]
fn who_has_done_more_than_its_part_leaves_nothing_over() {
    let done = Resume { iterations: scenario(70), ..Resume::default() };
    let losses = [Loss { index: 1, done, ..nothing() }];
    let [first, last] =
        [0, 2].map(|index| Losses::of(Share { index, of: 3 }, &losses).iterations("", 100, 9));
    assert_eq!((first, last), (34, 33), "its part was 33");
}

#[test]
fn each_row_is_used_once() {
    for (count, most) in [0, 1, 10, 200].into_iter().flat_map(|count| MOST.map(|most| (count, most))) {
        let all = |one: &Losses| all_rows(one, count, most);
        let done = |draw: &mut Draw, lost: &Losses, knew: u32| {
            let known = Losses::of(lost.share, &lost.all[..knew as usize]);
            let used = draw.between(0, all(&known).len() as u64);
            Loss { done: Resume { rows: scenario(used), ..Resume::default() }, ..nothing() }
        };
        armies(3, done, |of, losses| {
            let left = survivors(of, losses);
            if left.is_empty() {
                return;
            }
            let mut rows: Vec<u32> = left.iter().flat_map(all).collect();
            for (n, loss) in losses.iter().enumerate() {
                let used = usize::try_from(loss.done.rows[""]).unwrap();
                let lost = Losses::of(Share { index: loss.index, of }, &losses[..n]);
                rows.extend(&all(&lost)[..used]);
            }
            rows.sort_unstable();
            assert!(rows.iter().copied().eq(0..count), "{rows:?}");
        });
    }
}

/// In the order in which they are used.
fn all_rows(one: &Losses, count: u32, most: u32) -> Vec<u32> {
    let own = one.share.with_bots(most);
    let own = own.into_iter().flat_map(|Share { index, of }| (index..count).step_by(of as usize));
    own.chain(one.rows("", count, most)).collect()
}

#[test]
fn where_there_are_rows_for_all_bots_each_bot_has_one() {
    for (bots, rows) in [(1, 1), (2, 2), (2, 3), (4, 4), (5, 7), (40, 40), (40, 100)] {
        armies(
            6,
            |_, _, _| nothing(),
            |of, losses| {
                for one in survivors(of, losses) {
                    let has = all_rows(&one, rows, bots).len();
                    assert!(has >= one.share().bots(bots) as usize, "{has} rows: {one:?}");
                }
            },
        );
    }
}

#[test]
fn rows_that_are_left_are_dealt_out_evenly_however_many_are_used_up() {
    let done = Resume { rows: scenario(40), ..Resume::default() };
    let losses = [Loss { index: 1, done, ..nothing() }];
    let [first, last] =
        [0, 2].map(|index| Losses::of(Share { index, of: 3 }, &losses).rows("", 300, 9).len());
    assert_eq!((first, last), (30, 30), "100 were its own");
}

#[test]
fn what_was_taken_over_first_comes_first() {
    let of = 3;
    let first = Loss { index: 0, ..nothing() };
    let second = Loss { index: 1, ..nothing() };
    let rows = |losses: &[Loss]| Losses::of(Share { index: 2, of }, losses).rows("", 12, 9);
    assert_eq!(rows(std::slice::from_ref(&first)), [6, 9]);
    assert_eq!(rows(&[first, second]), [6, 9, 1, 4, 7, 10, 0, 3], "the order does not change any more");
}

#[test]
fn passes_of_bots_add_up_and_so_do_the_bots() {
    for (bots, per_bot) in [(1, 5), (7, 3), (40, 10)] {
        let own = |one: &Losses| per_bot * u64::from(one.share.bots(bots));
        let taken = |one: &Losses| one.owed("", per_bot, |_| bots).concat();
        let done = |draw: &mut Draw, lost: &Losses, knew: u32| {
            let known = Losses::of(lost.share, &lost.all[..knew as usize]);
            let possible = own(&known) + taken(&known).iter().sum::<u64>();
            // One that was lost early has told nothing.
            let owed = (draw.below(4) > 0).then(|| scenario(draw.between(0, possible)));
            Loss { done: Resume { owed: owed.unwrap_or_default(), ..Resume::default() }, ..nothing() }
        };
        armies(4, done, |of, losses| {
            let left = survivors(of, losses);
            if left.is_empty() {
                return;
            }
            let mut passes: u64 = left.iter().map(|one| own(one) + taken(one).iter().sum::<u64>()).sum();
            for (n, loss) in losses.iter().enumerate() {
                let Some(owed) = loss.done.owed.get("") else { continue };
                let known =
                    Losses::of(Share { index: loss.index, of }, &losses[..n.min(loss.done.knew as usize)]);
                passes += own(&known) + taken(&known).iter().sum::<u64>() - owed;
            }
            assert_eq!(passes, per_bot * u64::from(bots), "{losses:?}");
            for one in &left {
                let more = one.share().bots(bots) - one.share.bots(bots);
                assert_eq!(taken(one).len(), more as usize, "a number for each bot that it has more");
            }
        });
    }
}

#[test]
fn each_arrival_is_one_runners_and_they_are_dealt_out_evenly() {
    for army in 0..100 {
        let mut draw = Draw::new(5, army, 0, 0);
        let of = number(draw.between(2, 6));
        let mut deal = Deal::among(of);
        let mut left: Vec<u32> = (0..of).collect();
        let mut from = 0;
        while left.len() > 1 && draw.below(4) > 0 {
            let lost = left.remove(usize::try_from(draw.below(left.len() as u64)).unwrap());
            from += draw.between(0, 400);
            deal.lose(lost, from);
        }
        let whole = u64::from(of) * 20_000;
        let mut counts = vec![0_u64; of as usize];
        for arrival in 0..whole {
            let place = deal.place(arrival);
            if arrival >= from {
                assert!(left.contains(&place.runner), "{place:?} is nobody's");
                counts[place.runner as usize] += 1;
            } else if place.by.is_none() {
                assert_eq!(u64::from(place.runner), arrival % u64::from(of));
            }
        }
        let counts: Vec<u64> = left.iter().map(|index| counts[*index as usize]).collect();
        let mean = (whole - from) / left.len() as u64;
        assert!(counts.iter().all(|n| n.abs_diff(mean) < mean / 20), "{counts:?}");
    }
}

#[test]
fn what_makes_no_sense_is_left_out() {
    let told = [0, 5, 1, 1, 2].map(|index| Loss { index, ..nothing() });
    let losses = Losses::of(Share { index: 2, of: 4 }, &told);
    assert_eq!(losses.all().iter().map(|loss| loss.index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(losses.share(), Share { index: 0, of: 2 });
}
