//! What the rules cost, in moves and in time: each figure over several seeds, with views that are late
//! by nothing, by up to 1 s and by up to 2 s.

use fastrand::Rng;

use super::model::{Terms, World};

const LAGS: [usize; 3] = [0, 10, 20];
const SEEDS: u64 = 2;

/// How often a replica decides, in ticks: where seconds count, and where minutes do.
const OFTEN: u32 = 2;
const SELDOM: u32 = 5;

/// Runs a scenario on all terms.
fn on_all_terms(pace: u32, scenario: impl Fn(Terms)) {
    for lag in LAGS {
        (0..SEEDS).for_each(|seed| scenario(Terms { lag, drain: 10, pace, seed }));
    }
}

/// Nothing moves any more, nothing is free, and the counts differ by at most one.
fn assert_settled(world: &mut World, case: &str) {
    world.forget();
    world.run(20.0);
    assert_eq!((world.claims, world.gives, world.unheld()), (0, 0, 0), "{case}: {:?}", world.counts());
    assert!(world.spread() <= 1, "{case}: {:?}", world.counts());
}

#[test]
fn a_join_moves_the_fewest_shards_and_is_balanced_in_half_a_minute() {
    for (replicas, fewest) in [(1, 8), (2, 5), (3, 4), (4, 3), (5, 2)] {
        on_all_terms(OFTEN, |terms| {
            let case = format!("{replicas} replicas, {terms:?}");
            let mut world = World::settled(16, replicas, terms);
            world.join("new", "old", 1);
            let took = world.balanced_within(60).unwrap();
            // Each of one replica's eight waits for the one before: views that are 2 s late add to each.
            assert!(took <= if terms.lag > 10 { 45.0 } else { 30.0 }, "{case}: {took} s");
            world.run(10.0);
            assert_eq!((world.claims, world.gives), (fewest, fewest), "{case}: {:?}", world.counts());
            assert_settled(&mut world, &case);
        });
    }
}

#[test]
fn a_rolling_update_moves_each_shard_once() {
    for gap in [3.0, 15.0, 40.0] {
        on_all_terms(OFTEN, |terms| {
            let mut world = World::settled(16, 3, terms);
            for number in 0..3 {
                world.join(&format!("n{number}"), "new", 1);
                world.run(gap);
                world.stop(&format!("r{number}"));
                world.run(5.0);
            }
            world.run(20.0);
            assert_eq!((world.claims, world.gives), (16, 0), "gap {gap}, {terms:?}");
            assert_settled(&mut world, &format!("gap {gap}, {terms:?}"));
        });
    }
}

#[test]
fn a_surge_of_all_new_replicas_moves_each_shard_once() {
    on_all_terms(OFTEN, |terms| {
        let mut world = World::settled(16, 3, terms);
        (0..3).for_each(|number| world.join(&format!("n{number}"), "new", 1));
        world.run(5.0);
        for number in 0..3 {
            world.stop(&format!("r{number}"));
            world.run(5.0);
        }
        world.run(10.0);
        assert_eq!((world.claims, world.gives), (16, 0), "{terms:?}");
        assert_settled(&mut world, &format!("{terms:?}"));
    });
}

#[test]
fn a_rollout_that_hangs_is_balanced_after_ten_minutes() {
    let mut world = World::settled(16, 3, Terms { lag: 10, drain: 10, pace: SELDOM, seed: 0 });
    world.join("n0", "new", 1);
    world.run(590.0);
    assert_eq!((world.claims, world.gives), (0, 0));
    world.run(60.0);
    assert_eq!((world.claims, world.gives), (4, 4));
    assert_settled(&mut world, "hanging");
}

#[test]
fn a_crash_loop_of_twenty_cycles_costs_sixteen_claims() {
    on_all_terms(SELDOM, |terms| {
        let mut world = World::settled(16, 3, Terms { seed: terms.seed + 10, ..terms });
        for starts in 1..=20 {
            world.join("crashing", "old", starts);
            world.run(25.0);
            world.crash("crashing");
            world.run(35.0);
        }
        assert!(world.claims <= 16, "{} claims, {terms:?}", world.claims);
        assert_settled(&mut world, &format!("{terms:?}"));
    });
}

#[test]
fn one_that_cannot_claim_costs_few_shards_in_ten_minutes() {
    on_all_terms(SELDOM, |terms| {
        let mut world = World::settled(16, 3, terms);
        world.join("unable", "old", 1);
        world.disable("unable");
        world.run(590.0);
        assert!(world.gives <= 5, "{} given up, {terms:?}", world.gives);
        assert_eq!((world.claims, world.unheld()), (world.gives, 0), "{terms:?}");
        let longest = 3.0 + 0.1 * f64::from(u32::try_from(terms.lag).unwrap()) + 0.5;
        assert!(world.longest_free().as_secs_f64() <= longest, "{:?}, {terms:?}", world.longest_free());
    });
}

#[test]
fn one_that_can_claim_no_more_keeps_what_it_has_and_costs_few_shards() {
    on_all_terms(SELDOM, |terms| {
        let mut world = World::settled(16, 4, terms);
        world.disable("r0");
        world.stop("r1");
        world.run(300.0);
        assert!(world.gives <= 3 && world.unheld() == 0, "{} given up, {terms:?}", world.gives);
        assert!(world.claims <= 4 + world.gives, "{} claims, {terms:?}", world.claims);
    });
}

#[test]
fn a_crash_moves_the_dead_ones_shards_and_no_other() {
    on_all_terms(OFTEN, |terms| {
        let mut world = World::settled(16, 3, terms);
        world.crash("r0");
        world.run(40.0);
        assert!((5..=6).contains(&world.claims) && world.gives == 0, "{} claims, {terms:?}", world.claims);
        // As soon as it is seen: the dead one's membership, which may expire later, holds nothing up.
        let longest = 0.1 * f64::from(u32::try_from(terms.lag).unwrap()) + 0.3;
        assert!(world.longest_free().as_secs_f64() <= longest, "{:?}, {terms:?}", world.longest_free());
        assert_settled(&mut world, &format!("{terms:?}"));
    });
}

#[test]
fn more_members_than_shards_leave_some_idle_and_nothing_moves() {
    for lag in LAGS {
        let terms = Terms { lag, drain: 10, pace: OFTEN, seed: 3 };
        let mut world = World::settled(16, 20, terms);
        assert_settled(&mut world, &format!("{terms:?}"));
        world.crash("r0");
        world.stop("r1");
        world.run(20.0);
        assert!(world.claims <= 2 && world.gives == 0, "{} claims, {terms:?}", world.claims);
        assert_eq!((world.unheld(), world.counts()[0]), (0, 1), "{terms:?}");
    }
}

#[test]
fn one_whose_membership_comes_and_goes_costs_little() {
    on_all_terms(SELDOM, |terms| {
        let mut rng = Rng::with_seed(terms.seed);
        let mut world = World::settled(16, 3, terms);
        world.join("flapping", "old", 1);
        for _ in 0..20 {
            world.run(f64::from(rng.u32(1..30)));
            world.flap("flapping");
        }
        assert!(world.gives <= 8 && world.unheld() == 0, "{} given up, {terms:?}", world.gives);
    });
}

#[test]
fn members_that_do_not_see_each_other_strand_nothing_and_do_not_play_ping_pong() {
    on_all_terms(SELDOM, |terms| {
        let mut rng = Rng::with_seed(terms.seed);
        let mut world = World::settled(16, 4, terms);
        for (pod, to) in (0..4).flat_map(|pod| (0..4).map(move |to| (pod, to))) {
            if rng.u8(0..3) == 0 {
                world.blind(&format!("r{pod}"), &format!("r{to}"));
            }
        }
        world.run(60.0);
        world.crash("r0");
        world.run(30.0);
        world.stop("r1");
        world.run(30.0);
        assert!(world.longest_free().as_secs_f64() < 10.0, "{:?}, {terms:?}", world.longest_free());
        world.forget();
        world.run(120.0);
        assert!(world.gives <= 2 && world.unheld() == 0, "{} given up, {terms:?}", world.gives);
    });
}

/// Later than a member may take to claim: the balance then waits until nobody is left out any more.
#[test]
fn views_that_are_four_seconds_late_strand_nothing() {
    for seed in 0..SEEDS {
        let mut world = World::settled(16, 2, Terms { lag: 40, drain: 10, pace: OFTEN, seed });
        world.join("new", "old", 1);
        world.run(60.0);
        world.crash("r0");
        world.run(60.0);
        assert!(world.gives <= 10 && world.unheld() == 0, "{} given up", world.gives);
        assert!(world.longest_free().as_secs_f64() < 10.0, "{:?}", world.longest_free());
    }
}

#[test]
fn whatever_comes_and_goes_it_settles() {
    for seed in 0..6 {
        let mut rng = Rng::with_seed(seed);
        let terms = Terms { lag: rng.usize(0..=10), drain: rng.u64(0..50), pace: SELDOM, seed };
        let mut pods: Vec<String> = (0..3).map(|number| format!("r{number}")).collect();
        let mut world = World::settled(16, pods.len(), terms);
        for number in 0..8 {
            let victim = rng.usize(0..pods.len());
            match rng.u8(0..4) {
                0 if pods.len() > 1 => world.stop(&pods.swap_remove(victim)),
                1 if pods.len() > 1 => world.crash(&pods.swap_remove(victim)),
                _ => {
                    pods.push(format!("n{number}"));
                    world.join(&format!("n{number}"), if rng.bool() { "old" } else { "new" }, 1);
                }
            }
            world.run(f64::from(rng.u32(0..20)));
        }
        // Longer than a rollout holds give-ups up, and than anybody is left out.
        world.run(700.0);
        assert_settled(&mut world, &format!("{terms:?}"));
    }
}
