//! The rules of the step, one by one: scripts of events, and what is to come of each.

use std::fmt::Write as _;

use super::*;

const TIMING: Timing = Timing::SHIPPED;
/// The wall clock stands still, as one that was set back does. In spans, as all times here.
const WALL: i64 = 10;
const JITTER: Duration = Duration::from_millis(200);

/// An event, how long after the one before it (in milliseconds), and how many times in a row.
#[derive(Clone)]
struct Line(u64, usize, Event);

fn at_once(event: Event) -> Line {
    Line(0, 1, event)
}

fn after(ms: u64, event: Event) -> Line {
    Line(ms, 1, event)
}

fn each_second(times: usize, event: Event) -> Line {
    Line(1_000, times, event)
}

fn read(sight: Sight) -> Event {
    Event::Read { sight, consistent: true }
}

fn watched(sight: Sight) -> Event {
    Event::Read { sight, consistent: false }
}

/// A record, with this process's remainder in its `renewTime`: none is its own by that alone.
fn there(number: u64, holder: Holder, spans: i64) -> Sight {
    Sight::There(Record {
        version: version(number),
        holder,
        renewed: spans * SPAN + remainder("me"),
        lasts: Duration::ZERO,
    })
}

fn version(number: u64) -> Version {
    Version { uid: "uid".into(), number }
}

fn held(number: u64, by: &str, renewed: i64) -> Sight {
    there(number, Holder::Held(by.into()), renewed)
}

/// The record of another replica.
fn other(number: u64) -> Sight {
    held(number, "other", 3)
}

fn free(number: u64) -> Sight {
    there(number, Holder::Free, 3)
}

fn written(number: u64) -> Event {
    Event::Written(version(number))
}

/// Holds the Lease since just now, by the write that made version 2.
fn leading() -> Vec<(Line, &'static str)> {
    vec![
        (at_once(Event::Wish(Wish::Hold)), ""),
        (at_once(read(free(1))), "claim 1 as 10"),
        (after(100, written(2)), "leads 2 for 100 ms, released"),
    ]
}

/// What an event led to, in words: the write (its base and renewTime), whether to read, the leadership.
fn outcome(lease: &Lease, Effects { send, read }: Effects) -> String {
    let mut words = Vec::new();
    if let Some(Write { kind, base, renewed }) = send {
        let mut word = format!("{kind:?} ").to_lowercase();
        if let Some(base) = base {
            assert_eq!(&*base.uid, "uid");
            write!(word, "{} ", base.number).unwrap();
        }
        assert_eq!(renewed % SPAN, remainder("me"));
        words.push(word + &format!("as {}", renewed / SPAN));
    }
    if read {
        words.push("read".into());
    }
    if let Some(Leadership { epoch, age, how }) = lease.leadership() {
        words.push(format!("leads {epoch} for {} ms, {}", age.as_millis(), format!("{how:?}").to_lowercase()));
    }
    words.join("; ")
}

/// Runs a script, by clocks that agree. Of events in a row only the last may lead to something.
fn check(script: impl IntoIterator<Item = (Line, &'static str)>) -> Lease {
    let mut lease = Lease::new("me".into(), TIMING);
    for (number, (Line(ms, times, event), expected)) in script.into_iter().enumerate() {
        for time in 1..=times {
            let elapsed = Duration::from_millis(ms);
            let now =
                Now { elapsed: Elapsed { longest: elapsed, shortest: elapsed }, wall: WALL * SPAN, jitter: JITTER };
            let effects = lease.step(event.clone(), now);
            let expected = if time == times { expected } else { "" };
            assert_eq!(outcome(&lease, effects), expected, "line {number}, time {time}: {event:?}");
        }
    }
    lease
}

/// Runs a script after [`leading`].
fn check_leading(script: impl IntoIterator<Item = (Line, &'static str)>) -> Lease {
    check(leading().into_iter().chain(script))
}

/// Wishes to hold, and runs a script.
fn check_standby(script: impl IntoIterator<Item = (Line, &'static str)>) -> Lease {
    check([(at_once(Event::Wish(Wish::Hold)), "")].into_iter().chain(script))
}

#[test]
fn what_stands_unchanged_for_the_duration_is_claimed() {
    check_standby([
        (at_once(read(other(1))), ""),
        (each_second(8, read(other(1))), "claim 1 as 10"),
        (after(300, written(2)), "leads 2 for 300 ms, expired"),
    ]);
}

#[test]
fn time_counts_from_receipt_to_receipt_and_says_when_a_read_would_help() {
    check_standby([
        (at_once(read(other(1))), ""),
        (each_second(7, read(other(1))), ""),
        (after(900, Event::Tick), ""),
        (after(100, Event::Tick), "read"),
        (after(500, Event::Tick), "read"),
        (at_once(read(other(1))), "claim 1 as 10"),
    ]);
}

#[test]
fn failed_reads_add_nothing() {
    check_standby([
        (at_once(read(other(1))), ""),
        (each_second(7, read(other(1))), ""),
        // An outage of three seconds and more: the time in it is not known to have passed unchanged.
        (after(3_001, Event::Tick), ""),
        (at_once(read(other(1))), ""),
        (after(999, read(other(1))), ""),
        (after(1, read(other(1))), "claim 1 as 10"),
    ]);
    check_standby([
        (at_once(read(other(1))), ""),
        (after(3_000, read(other(1))), ""),
        (after(3_000, read(other(1))), ""),
        (after(2_000, read(other(1))), "claim 1 as 10"),
    ]);
}

#[test]
fn a_change_starts_anew_and_older_answers_are_ignored() {
    check_standby([
        (at_once(read(other(1))), ""),
        (each_second(7, read(other(1))), ""),
        (each_second(1, read(other(2))), ""),
        (at_once(read(other(1))), ""),
        (each_second(3, watched(other(1))), ""),
        (at_once(read(other(2))), ""),
        (each_second(4, read(other(2))), ""),
        (each_second(1, read(other(2))), "claim 2 as 10"),
    ]);
}

#[test]
fn what_a_watch_saw_starts_the_time_and_adds_nothing_to_it() {
    check_standby([
        (at_once(watched(other(1))), ""),
        (each_second(3, watched(other(1))), ""),
        (at_once(read(other(1))), ""),
        (each_second(4, read(other(1))), ""),
        (each_second(1, watched(other(2))), ""),
        (each_second(8, read(other(2))), "claim 2 as 10"),
    ]);
}

#[test]
fn a_standby_counts_by_the_slower_clock_and_a_holder_by_the_faster() {
    let mut lease = Lease::new("me".into(), TIMING);
    let mut step = |longest: u64, shortest: u64, event: Event| {
        let [longest, shortest] = [longest, shortest].map(Duration::from_millis);
        let now = Now { elapsed: Elapsed { longest, shortest }, wall: WALL * SPAN, jitter: JITTER };
        let effects = lease.step(event, now);
        outcome(&lease, effects)
    };
    step(0, 0, Event::Wish(Wish::Hold));
    step(0, 0, read(other(1)));
    for _ in 0..8 {
        assert_eq!(step(1_000, 990, read(other(1))), "");
    }
    assert_eq!(step(1_000, 990, read(other(1))), "claim 1 as 10");
    assert_eq!(step(500, 10, written(2)), "leads 2 for 500 ms, expired");
    assert_eq!(step(1_400, 10, Event::Tick), "leads 2 for 1900 ms, expired");
    assert_eq!(step(100, 10, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, expired");
}

#[test]
fn what_was_released_is_claimed_at_once() {
    check_standby([
        (at_once(watched(free(1))), "claim 1 as 10"),
        (after(50, written(2)), "leads 2 for 50 ms, released"),
    ]);
    let lease = check([(at_once(read(free(1))), "")]);
    assert_eq!(lease.claimable(), Some(How::Released), "and is not, without the wish to");
}

#[test]
fn emptied_without_the_mark_is_held() {
    let lease = check_standby([(at_once(read(held(1, "", 3))), ""), (each_second(7, read(held(1, "", 3))), "")]);
    assert_eq!((lease.claimable(), lease.holder()), (None, None));
}

#[test]
fn what_is_absent_is_created_unheld_and_then_waited_for() {
    for wish in [Wish::Hold, Wish::Leave] {
        check([
            (at_once(Event::Wish(wish)), ""),
            (at_once(read(Sight::Absent(5))), ""),
            (after(1_000, read(Sight::Absent(6))), ""),
            (after(1_000, read(Sight::Absent(9))), "create as 10"),
            (after(100, written(12)), ""),
            (each_second(7, read(held(12, "", 10))), ""),
        ]);
    }
    check_standby([
        (at_once(read(Sight::Absent(5))), ""),
        (each_second(2, read(Sight::Absent(5))), "create as 10"),
        (at_once(written(12)), ""),
        (each_second(8, read(held(12, "", 10))), "claim 12 as 11"),
    ]);
    // Somebody else was first.
    check_standby([
        (at_once(read(Sight::Absent(5))), ""),
        (each_second(2, read(Sight::Absent(5))), "create as 10"),
        (at_once(Event::Conflict), "read"),
        (at_once(read(free(6))), "claim 6 as 10"),
    ]);
    check([
        (at_once(Event::Wish(Wish::Release)), ""),
        (at_once(read(Sight::Absent(5))), ""),
        (each_second(9, read(Sight::Absent(5))), ""),
    ]);
}

#[test]
fn a_lease_that_vanishes_ends_the_leadership() {
    check_leading([(at_once(read(Sight::Absent(3))), ""), (each_second(2, read(Sight::Absent(3))), "create as 10")]);
}

#[test]
fn validity_counts_from_the_start_of_the_request() {
    check_leading([
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (after(1_400, Event::Tick), "leads 2 for 3400 ms, released"),
        (at_once(written(3)), "leads 2 for 1400 ms, released"),
        (after(600, Event::Tick), "renew 3 as 12; leads 2 for 2000 ms, released"),
        // Reading never gives validity.
        (after(500, read(held(4, "me", 12))), "leads 2 for 2500 ms, released"),
        (at_once(written(4)), "leads 2 for 500 ms, released"),
    ]);
}

#[test]
fn a_late_acknowledgement_is_worth_nothing() {
    // Another has written since.
    check_leading([
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (at_once(read(other(4))), ""),
        (at_once(written(3)), "read"),
        (after(1_000, Event::Tick), ""),
    ]);
    // The attempt was given up.
    check_leading([
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (after(1_500, Event::Unknown), "read; leads 2 for 3500 ms, released"),
        (at_once(written(3)), "read; leads 2 for 3500 ms, released"),
    ]);
}

#[test]
fn an_answer_with_the_version_that_was_sent_is_no_renewal() {
    check_leading([
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (after(100, written(2)), "read; leads 2 for 2100 ms, released"),
        (after(399, Event::Tick), "leads 2 for 2499 ms, released"),
        (after(1, Event::Tick), "renew 2 as 11; leads 2 for 2500 ms, released"),
    ]);
}

#[test]
fn after_an_unknown_outcome_the_same_write_is_tried_again() {
    check_leading([
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (after(1_500, Event::Unknown), "read; leads 2 for 3500 ms, released"),
        (after(200, read(held(2, "me", 10))), "renew 2 as 11; leads 2 for 3700 ms, released"),
        (after(1_300, Event::Unknown), "read; leads 2 for 5000 ms, released"),
        (after(200, Event::Tick), "renew 2 as 11; leads 2 for 5200 ms, released"),
        // The first of them was done: it is known as this process's own, and the next goes on from there.
        (after(100, Event::Conflict), "read; leads 2 for 5300 ms, released"),
        (at_once(Event::Tick), "leads 2 for 5300 ms, released"),
        (at_once(watched(held(3, "me", 11))), "leads 2 for 5300 ms, released"),
        (after(50, read(held(3, "me", 11))), "renew 3 as 12; leads 2 for 5350 ms, released"),
        (after(50, written(4)), "leads 2 for 50 ms, released"),
    ]);
}

#[test]
fn a_claim_whose_answer_was_lost_is_claimed_again_and_never_valid_by_reading() {
    let claimed = [(at_once(read(free(1))), "claim 1 as 10"), (after(1_500, Event::Unknown), "read")];
    check_standby(claimed.clone().into_iter().chain([
        (after(100, read(held(2, "me", 10))), ""),
        (after(100, Event::Tick), "claim 2 as 11"),
        (after(100, written(3)), "leads 3 for 100 ms, again"),
    ]));
    // Seen while it is in flight.
    check_standby([
        (at_once(read(free(1))), "claim 1 as 10"),
        (after(900, watched(held(2, "me", 10))), ""),
        (after(500, Event::Unknown), "read"),
        (after(200, Event::Tick), "claim 2 as 11"),
    ]);
    // What it was to replace is gone, so it was not done; then comes a record with the same name and time.
    check_standby(claimed.into_iter().chain([
        (at_once(read(other(2))), ""),
        (after(200, read(held(3, "me", 10))), ""),
        (each_second(7, read(held(3, "me", 10))), ""),
    ]));
}

#[test]
fn a_foreign_record_with_this_name_is_foreign() {
    check_standby([(at_once(read(held(1, "me", 10))), ""), (each_second(7, read(held(1, "me", 10))), "")]);
    check_leading([
        (at_once(read(held(3, "me", 10))), ""),
        (each_second(7, read(held(3, "me", 10))), ""),
        (each_second(1, read(held(3, "me", 10))), "claim 3 as 11"),
    ]);
    // A write that is in flight still, and was seen to be done: what comes later looks like it, and is not.
    check_leading([
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (at_once(read(held(3, "me", 11))), "leads 2 for 2000 ms, released"),
        (at_once(read(held(5, "me", 11))), ""),
        (at_once(written(3)), "read"),
        (each_second(7, read(held(5, "me", 11))), ""),
    ]);
    // Nor is that of an in-flight time under another's name.
    check_leading([
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (at_once(read(held(3, "other", 11))), ""),
    ]);
}

#[test]
fn after_a_conflict_nothing_is_written_before_a_consistent_read() {
    check_leading([
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (at_once(Event::Conflict), "read; leads 2 for 2000 ms, released"),
        (after(1_000, Event::Tick), "leads 2 for 3000 ms, released"),
        (at_once(watched(held(2, "me", 10))), "leads 2 for 3000 ms, released"),
        (at_once(read(free(1))), "leads 2 for 3000 ms, released"),
        (at_once(read(held(2, "me", 10))), "renew 2 as 11; leads 2 for 3000 ms, released"),
    ]);
}

#[test]
fn a_renewal_goes_on_with_the_epoch_though_the_leadership_had_run_out() {
    check_leading([
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (after(60_000, Event::Unknown), "read; leads 2 for 8000 ms, released"),
        (after(200, Event::Tick), "renew 2 as 11; leads 2 for 8000 ms, released"),
        (after(100, written(3)), "leads 2 for 100 ms, released"),
    ]);
}

#[test]
fn a_release_is_tried_until_a_read_shows_that_it_is_done() {
    let wished = [(at_once(Event::Wish(Wish::Release)), "release 2 as 11"), (after(1_500, Event::Unknown), "read")];
    let check = |script: &[(Line, &'static str)]| {
        check_leading(wished.clone().into_iter().chain(script.iter().cloned())).is_let_go()
    };
    assert!(!check(&[]));
    assert!(check(&[(at_once(read(free(3))), ""), (each_second(9, read(free(3))), "")]));
    assert!(check(&[(at_once(read(other(3))), "")]));
    assert!(check(&[(at_once(read(Sight::Absent(3))), "")]));
    let again = [(at_once(read(held(2, "me", 10))), ""), (after(200, Event::Tick), "release 2 as 11")];
    assert!(!check(&again));
    let done = [again.as_slice(), &[(at_once(written(3)), "")]].concat();
    assert!(check(&done));
    // The wish is taken back: the Lease is its own still.
    assert!(!check(&[(at_once(Event::Wish(Wish::Hold)), ""), (after(200, Event::Tick), "claim 2 as 11")]));
}

#[test]
fn a_release_waits_for_the_write_in_flight() {
    check_leading([
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (at_once(Event::Wish(Wish::Release)), "leads 2 for 2000 ms, released"),
        (after(100, written(3)), "release 3 as 12"),
        (at_once(written(4)), ""),
    ]);
    check_leading([
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (at_once(Event::Wish(Wish::Release)), "leads 2 for 2000 ms, released"),
        (after(1_500, Event::Unknown), "read; leads 2 for 3500 ms, released"),
        (after(200, Event::Tick), "release 2 as 11"),
        (at_once(Event::Conflict), "read"),
        (at_once(read(held(3, "me", 11))), "release 3 as 12"),
    ]);
}

#[test]
fn who_would_leave_renews_and_does_not_claim() {
    check_leading([
        (at_once(Event::Wish(Wish::Leave)), "leads 2 for 100 ms, released"),
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (at_once(written(3)), "leads 2 for 0 ms, released"),
        (at_once(read(free(4))), ""),
        (after(100, Event::Wish(Wish::Hold)), "claim 4 as 10"),
    ]);
    let lease = check([(at_once(Event::Wish(Wish::Release)), ""), (at_once(read(other(1))), "")]);
    assert!(lease.is_let_go(), "what it does not hold needs no release");
}

#[test]
fn who_abandons_it_neither_renews_nor_releases() {
    for reads in [read(held(2, "me", 10)), watched(held(2, "me", 10))] {
        check_leading([
            (at_once(Event::Wish(Wish::Abandon)), ""),
            (each_second(9, reads), ""),
            (at_once(read(Sight::Absent(3))), ""),
            (each_second(9, read(Sight::Absent(3))), ""),
        ]);
    }
    // A renewal that is under way may be done yet.
    check_leading([
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (at_once(Event::Wish(Wish::Abandon)), ""),
        (at_once(Event::Conflict), "read"),
        (at_once(read(other(3))), ""),
    ]);
}

#[test]
fn who_abandoned_it_waits_like_anybody_before_it_claims_again() {
    check_leading([
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (at_once(Event::Wish(Wish::Abandon)), ""),
        // Done all the same, and no leadership any more.
        (after(100, written(3)), ""),
        (at_once(Event::Wish(Wish::Hold)), ""),
        (each_second(8, read(held(3, "me", 11))), "claim 3 as 12"),
        (after(100, written(4)), "leads 4 for 100 ms, expired"),
    ]);
}

#[test]
fn a_holder_that_believes_longer_is_waited_for_longer() {
    let slower = || match other(1) {
        Sight::There(record) => Sight::There(Record { lasts: Duration::from_secs(15), ..record }),
        absent @ Sight::Absent(_) => absent,
    };
    check_standby([(at_once(read(slower())), ""), (each_second(15, read(slower())), "claim 1 as 10")]);
}

#[test]
fn processes_whose_clocks_are_behind_write_different_times() {
    let claim = |me: &str| {
        let mut lease = Lease::new(me.into(), TIMING);
        let now = Now { elapsed: Elapsed::default(), wall: 0, jitter: JITTER };
        lease.step(Event::Wish(Wish::Hold), now);
        lease.step(read(free(1)), now).send.map(|write| write.renewed)
    };
    assert_ne!(claim("a"), claim("b"));
    assert_eq!(claim("a"), claim("a"));
}

#[test]
fn failures_at_once_are_paced() {
    check_leading([
        (after(1_900, Event::Tick), "renew 2 as 11; leads 2 for 2000 ms, released"),
        (after(100, Event::Refused), "read; leads 2 for 2100 ms, released"),
        (after(399, Event::Tick), "leads 2 for 2499 ms, released"),
        (after(1, Event::Tick), "renew 2 as 11; leads 2 for 2500 ms, released"),
        (after(499, Event::Refused), "read; leads 2 for 2999 ms, released"),
        (after(199, Event::Tick), "leads 2 for 3198 ms, released"),
        (after(1, Event::Tick), "renew 2 as 11; leads 2 for 3199 ms, released"),
    ]);
}

#[test]
fn timings_that_do_not_fit_are_refused_by_name() {
    let of = |duration, renew, timeout, observe, margin, least| {
        let [duration, renew_interval, call_timeout, observe_interval, margin, permit_least] =
            [duration, renew, timeout, observe, margin, least].map(Duration::from_millis);
        Timing { duration, renew_interval, call_timeout, observe_interval, margin, permit_least }
    };
    let cases = [
        (of(8_000, 2_000, 1_500, 1_000, 1_000, 2_000), Ok(())),
        (of(15_000, 3_000, 3_000, 1_000, 1_000, 2_000), Ok(())),
        (of(8_000, 2_000, 1_500, 1_000, 499, 2_000), Err("FAIRLEAD_LEASE_MARGIN")),
        (of(8_000, 2_001, 1_500, 1_000, 1_000, 2_000), Err("FAIRLEAD_LEASE_RENEW_INTERVAL")),
        (of(8_000, 2_000, 1_501, 1_000, 1_000, 2_000), Err("FAIRLEAD_LEASE_CALL_TIMEOUT")),
        (of(7_999, 2_000, 1_500, 1_000, 1_000, 2_000), Err("FAIRLEAD_LEASE_DURATION")),
        (of(8_000, 2_000, 1_500, 1_000, 1_000, 2_001), Err("FAIRLEAD_LEASE_PERMIT_LEAST")),
        (of(8_000, 2_000, 1_500, 1_000, 9_000, 2_000), Err("FAIRLEAD_LEASE_MARGIN")),
        (of(8_000, 2_000, 1_500, 2_667, 1_000, 2_000), Err("FAIRLEAD_LEASE_OBSERVE_INTERVAL")),
        (of(30_000, 2_000, 1_500, 3_001, 2_000, 2_000), Err("FAIRLEAD_LEASE_OBSERVE_INTERVAL")),
        (of(1_999, 100, 100, 100, 500, 100), Err("FAIRLEAD_LEASE_DURATION")),
    ];
    for (timing, expected) in cases {
        match (timing.check(), expected) {
            (Ok(()), Ok(())) => {}
            (Err(said), Err(name)) => assert!(said.contains(name), "{timing:?}: {said}"),
            (said, _) => panic!("{timing:?}: {said:?}, not {expected:?}"),
        }
    }
}
