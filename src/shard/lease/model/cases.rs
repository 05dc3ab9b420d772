//! What is checked.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model as _};

use super::{
    CAN_BE_HELD, ONE_AT_WORK, Setting, WHO_HOLDS_LEADS,
    mutant::Mutant,
    world::{Faults, Restores},
};

const NONE: Faults = Faults {
    edits: 0,
    restores: Restores::None,
    crashes: 0,
    losses: false,
    ghosts: false,
    releases: false,
    abandons: false,
    skew: 0,
    old_reads: false,
};
const RESTORED: Faults = Faults { edits: 1, restores: Restores::Seen, ..NONE };
const LOSSY: Faults = Faults { losses: true, ghosts: true, ..NONE };

fn setting(faults: Faults, behind: usize) -> Setting {
    Setting { replicas: 2, faults, mutant: None, behind, calm: false }
}

/// Tries all orders of so many events. One thread, so that each run is the same, and what is found the shortest.
fn run(name: &str, setting: Setting, depth: usize) -> impl Checker<Setting> + use<> {
    let (begun, replicas) = (Instant::now(), setting.replicas);
    let ends = HasDiscoveries::AnyFailures;
    let checker = setting.checker().threads(1).target_max_depth(depth).finish_when(ends).spawn_bfs().join();
    println!(
        "{name}: {replicas} replicas, {} worlds ({} steps), {} events deep, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f32()
    );
    checker
}

/// All properties hold, and what is to happen sometimes does.
fn holds(name: &str, setting: Setting, depth: usize) {
    run(name, setting, depth).assert_properties();
}

/// What is never to happen does not. For depths at which not all has happened that is to happen sometimes.
fn holds_at_work(name: &str, setting: Setting, depth: usize) {
    let checker = run(name, setting, depth);
    for property in [ONE_AT_WORK, WHO_HOLDS_LEADS, CAN_BE_HELD] {
        let path = checker.discovery(property).map(|path| path.into_actions());
        assert_eq!(path, None, "{property}");
    }
}

/// It is found that a property does not hold.
fn fails(name: &str, setting: Setting, depth: usize, property: &'static str) {
    let path = run(name, setting, depth).discovery(property);
    println!("  {:?}", path.expect("it is found").into_actions());
}

/// The depth that was asked for.
fn deep() -> Option<usize> {
    std::env::var("FAIRLEAD_MODEL_DEPTH").ok().map(|depth| depth.parse().unwrap())
}

#[test]
fn one_at_work_with_answers_late_old_or_lost() {
    holds("late and old answers", setting(Faults { old_reads: true, ..NONE }, 4), 100);
    holds("lost answers and late writes", setting(LOSSY, 3), 100);
}

#[test]
fn one_at_work_through_releases() {
    holds("releases", setting(Faults { releases: true, abandons: true, ..NONE }, 3), 20);
}

#[test]
fn one_at_work_through_edits_and_restarts() {
    holds("an edit", setting(Faults { edits: 1, ..NONE }, 2), 18);
    holds("a restart", setting(Faults { crashes: 1, ..NONE }, 2), 20);
}

#[test]
fn one_at_work_of_three() {
    holds("nothing else", Setting { replicas: 3, ..setting(NONE, 2) }, 14);
}

#[test]
fn clocks_may_differ_by_the_margin_and_no_more() {
    holds("a tick apart", setting(Faults { skew: 1, ..NONE }, 3), 100);
    fails("two ticks apart", setting(Faults { skew: 2, ..NONE }, 3), 100, ONE_AT_WORK);
}

#[test]
fn whatever_has_gone_wrong_it_can_be_held_again() {
    let all = Faults { edits: 1, crashes: 1, releases: true, abandons: true, ..LOSSY };
    holds_at_work("calm afterwards", Setting { calm: true, ..setting(all, 3) }, 7);
}

#[test]
fn one_at_work_though_what_all_have_seen_is_restored() {
    holds_at_work("a restore", setting(RESTORED, 4), 14);
}

#[test]
fn each_rule_left_out_is_found() {
    let edited = Faults { edits: 1, ..NONE };
    for (mutant, faults, property) in [
        (Mutant::NoCas, NONE, ONE_AT_WORK),
        (Mutant::ValidFromAcknowledgement, NONE, ONE_AT_WORK),
        // Each write is a compare-and-swap, so that no older version can be replaced; but a holder would give up
        // what it holds.
        (Mutant::OlderVersion, Faults { old_reads: true, ..NONE }, WHO_HOLDS_LEADS),
        (Mutant::FreshVersion, NONE, ONE_AT_WORK),
        (Mutant::NoopRenewal, NONE, ONE_AT_WORK),
        (Mutant::AbsentAtOnce, edited, ONE_AT_WORK),
        (Mutant::EmptiedAtOnce, edited, ONE_AT_WORK),
        (Mutant::NameIsMine, edited, ONE_AT_WORK),
        (Mutant::SameIdentity, Faults { crashes: 1, ..NONE }, ONE_AT_WORK),
        (Mutant::ReadGivesValidity, NONE, ONE_AT_WORK),
        (Mutant::ReleaseBeforeDrain, Faults { releases: true, ..NONE }, ONE_AT_WORK),
        (Mutant::CheckThenAct, NONE, ONE_AT_WORK),
    ] {
        fails(&format!("{mutant:?}"), Setting { mutant: Some(mutant), ..setting(faults, 3) }, 20, property);
    }
}

#[test]
fn rules_left_out_are_found_that_take_more_to_show() {
    let released = Faults { losses: true, releases: true, ..NONE };
    for (mutant, faults, behind) in
        [(Mutant::LateAcknowledgement, released, 3), (Mutant::PutWithoutUid, Faults { edits: 1, ..NONE }, 4)]
    {
        fails(&format!("{mutant:?}"), Setting { mutant: Some(mutant), ..setting(faults, behind) }, 20, ONE_AT_WORK);
    }
}

/// More of the same, where `FAIRLEAD_MODEL_DEPTH` asks for it.
#[test]
fn one_at_work_in_the_long_run() {
    let Some(depth) = deep() else { return };
    // The limit: a record put back by hand while its writer waits for the answer passes for the answer.
    let any = Faults { restores: Restores::Any, ..RESTORED };
    fails("restored at any time", setting(any, 4), depth.max(18), ONE_AT_WORK);
    let all = Faults { edits: 1, crashes: 1, releases: true, abandons: true, ..LOSSY };
    holds_at_work("releases, losses", setting(Faults { releases: true, abandons: true, ..LOSSY }, 3), depth);
    holds_at_work("edits, losses", setting(Faults { edits: 1, ..LOSSY }, 3), depth);
    holds_at_work("restores", setting(RESTORED, 4), depth.max(22));
    holds_at_work("restores, losses", setting(Faults { losses: true, ghosts: true, ..RESTORED }, 4), depth);
    holds_at_work("restarts, losses", setting(Faults { crashes: 1, ..LOSSY }, 3), depth);
    holds_at_work("clocks, losses", setting(Faults { skew: 1, ..LOSSY }, 3), depth);
    holds_at_work("three, losses", Setting { replicas: 3, ..setting(LOSSY, 3) }, depth);
    holds_at_work("all at once", setting(all, 3), depth);
    holds_at_work("all at once, three", Setting { replicas: 3, ..setting(all, 3) }, depth);
}
