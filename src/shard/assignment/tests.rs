//! What one replica decides: as cases, and for whatever it sees.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{
    Assigner, Holding, Member, Wish,
    target::{Candidate, score, target},
};

const SECOND: Duration = Duration::from_secs(1);

/// Members from words like `a`, `b:2` (revision 2, where none is 1) and `c*3` (the third start).
fn members(words: &str) -> Vec<Member> {
    let member = |word: &str| {
        let (word, starts) = word.split_once('*').unwrap_or((word, "1"));
        let (identity, revision) = word.split_once(':').unwrap_or((word, "1"));
        let (started, starts) = (revision.parse().unwrap(), starts.parse().unwrap());
        Member { identity: identity.into(), revision: revision.into(), started, starts }
    };
    words.split_whitespace().map(member).collect()
}

/// Holdings from a letter a shard: its holder, in upper case where that one's Lease expired, or `.`.
fn holdings(letters: &str) -> Vec<Holding> {
    let holding = |letter: char| match letter {
        '.' => Holding::Free,
        'A'..='Z' => Holding::Expired(letter.to_ascii_lowercase().to_string().into()),
        _ => Holding::Held(letter.to_string().into()),
    };
    letters.chars().map(holding).collect()
}

fn letters(wishes: &[Wish]) -> String {
    let letter = |wish: &Wish| match wish {
        Wish::Claim => 'C',
        Wish::Leave => '-',
        Wish::Keep => 'k',
        Wish::Give => 'G',
    };
    wishes.iter().map(letter).collect()
}

/// For how many seconds, which members and which shards.
type Seen<'a> = &'a [(u32, &'a str, &'a str)];

/// What `a` wishes after it has seen all this.
fn wishes(seen: Seen<'_>) -> String {
    let mut assigner = Assigner::new("a".into());
    let mut last = Vec::new();
    for (seconds, members_seen, shards_seen) in seen {
        for _ in 0..=*seconds {
            last = assigner.decide(&members(members_seen), &holdings(shards_seen), SECOND);
        }
    }
    letters(&last)
}

#[test]
fn wishes_follow_the_rules() {
    // By score, `a` comes before `b` on shards 0 and 2.
    let cases: &[(&str, Seen<'_>, &str)] = &[
        ("a single shard is everybody's wish", &[(0, "", ".")], "C"),
        ("also while another holds it", &[(0, "a", "b")], "C"),
        ("and never given up", &[(60, "", "a")], "k"),
        ("the only member takes everything", &[(0, "a", "....")], "CCCC"),
        ("two share", &[(0, "a b", "....")], "C-C-"),
        ("a newcomer takes what is free at once", &[(0, "a b", "bb..")], "--CC"),
        ("and what will be", &[(0, "a b", "bbb.")], "C--C"),
        ("not one that has started before", &[(2, "a*2 b", "bbb.")], "----"),
        ("until it has been seen for long enough", &[(20, "a*2 b", "bbbb")], "C--C"),
        ("the shards of one that stops are shared before they are free", &[(0, "a b", "cc.c")], "C-C-"),
        ("nothing is given up before a newcomer's probation", &[(9, "a b", "aaaa")], "kkkk"),
        ("then one", &[(10, "a b", "aaaa")], "kGkk"),
        ("until it is gone", &[(10, "a b", "aaaa"), (30, "a", "aaaa")], "kGkk"),
        ("the next is not until that is taken", &[(10, "a b", "aaaa"), (2, "a b", "a.aa")], "k-kk"),
        ("and then is", &[(10, "a b", "aaaa"), (2, "a b", "a.aa"), (0, "a b", "abaa")], "k-kG"),
        ("the second start doubles the probation", &[(19, "a b*2", "aaaa")], "kkkk"),
        ("to 20 s", &[(20, "a b*2", "aaaa")], "kGkk"),
        ("it is ten minutes at most", &[(599, "a b*99", "aaaa")], "kkkk"),
        ("then over", &[(600, "a b*99", "aaaa")], "kGkk"),
        ("nothing is given up after one left", &[(9, "a b c", "aaac"), (9, "a b", "aaaa")], "kkkk"),
        ("for 10 s", &[(9, "a b c", "aaac"), (10, "a b", "aaaa")], "kGkk"),
        ("nor while revisions differ", &[(590, "a b:2", "aaaa")], "kkkk"),
        ("not even to the same revision", &[(9, "a b", "aaaa"), (5, "a b c:2", "aaaa")], "kkkk"),
        ("nor where the other one does not count", &[(20, "a:2 b:2 c*9", "aaaa")], "kkkk"),
        ("for ten minutes", &[(601, "a b:2", "aaaa")], "kGkk"),
        ("what is free goes to the newest revision", &[(1, "a b:2", "aaa.")], "kkk-"),
        ("which this one may be", &[(0, "a:2 b", "bb..")], "--CC"),
        ("one with an expired shard is dead, though a member", &[(0, "a b", "aBBB")], "kCCC"),
        ("unless ours has expired too", &[(0, "a b", "ABBA")], "C--C"),
        ("what is left free is not taken before 3 s", &[(2, "a b", "aa..")], "kk--"),
        ("then it is", &[(3, "a b", "aa..")], "kkCC"),
        ("whoever left it free is left out", &[(3, "a b", "aa.."), (598, "a b", "aaaa")], "kkkk"),
        ("for ten minutes", &[(3, "a b", "aa.."), (599, "a b", "aaaa")], "kGkk"),
        ("or until it takes one", &[(3, "a b", "aa.."), (7, "a b", "aaba")], "kk-G"),
        ("one that takes no more keeps what it has", &[(3, "a b", "a.ab"), (60, "a b", "aaab")], "kkk-"),
        ("what is free is taken though the members are unknown", &[(3, "", "....")], "CCCC"),
        ("and nothing is given up", &[(60, "b c", "aaaa")], "kkkk"),
    ];
    for (rule, seen, expected) in cases {
        assert_eq!(wishes(seen), *expected, "{rule}: {seen:?}");
    }
}

/// Replicas of two releases would otherwise play ping-pong during an update.
#[test]
fn scores_never_change() {
    assert_eq!(score("fairlead-7d9c5b4f6-x2x8w_0a1b2c3d", 0), 0x85ec_4330_9550_f0c1);
    assert_eq!(score("fairlead-7d9c5b4f6-x2x8w_0a1b2c3d", 15), 0xb319_affb_90c0_3f26);
}

#[test]
fn scores_are_spread_evenly_between_members_and_shards() {
    let names: Vec<String> = (0..4).map(|number| format!("fairlead-7d9c5b4f6-{number}_{number:08x}")).collect();
    let mut wins = [0; 4];
    for shard in 0..4_000 {
        wins[(0..4).max_by_key(|place| score(&names[*place], shard)).unwrap()] += 1;
    }
    assert!(wins.iter().all(|wins| (900..1_100).contains(wins)), "{wins:?}");
}

fn count(target: &[Option<&str>], identity: &str) -> usize {
    target.iter().filter(|holder| **holder == Some(identity)).count()
}

fn held(holders: &[Option<String>]) -> Vec<Holding> {
    let holding = |holder: &Option<String>| match holder {
        None => Holding::Free,
        Some(holder) => Holding::Held(holder.as_str().into()),
    };
    holders.iter().map(holding).collect()
}

/// A member of few, so that the same ones meet.
fn some_member() -> impl Strategy<Value = Member> {
    ("[a-h]", "[12]", 0_i64..3, 0_u32..5).prop_map(|(identity, revision, started, starts)| {
        let (identity, revision) = (identity.into(), revision.into());
        Member { identity, revision, started, starts }
    })
}

fn some_holding() -> impl Strategy<Value = Holding> {
    prop_oneof![
        Just(Holding::Free),
        "[a-j]".prop_map(|holder| Holding::Held(holder.into())),
        "[a-j]".prop_map(|holder| Holding::Expired(holder.into())),
    ]
}

/// Members, shards and half-seconds since the last.
fn some_view() -> impl Strategy<Value = (Vec<Member>, Vec<Holding>, u32)> {
    (prop::collection::vec(some_member(), 0..8), prop::collection::vec(some_holding(), 16), 0_u32..60)
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn a_target_is_even_stable_and_moves_the_fewest(
        names in prop::collection::btree_set("[a-h]", 1..8),
        holders in prop::collection::vec(prop::option::of("[a-j]"), 16),
        turn in 0_usize..8,
    ) {
        let mut candidates: Vec<Candidate<'_>> =
            names.iter().map(|identity| Candidate { identity, newest: true, takes: true }).collect();
        let before = held(&holders);
        let after = target(&candidates, &before);
        let floor = 16 / names.len();
        let mut least = 0;
        let mut extra = 16 % names.len();
        for name in &names {
            let has = count(&after, name);
            prop_assert!((floor..=floor + 1).contains(&has) && (has == floor || 16 % names.len() > 0), "{after:?}");
            let had = holders.iter().flatten().filter(|holder| *holder == name).count();
            let keeps_one_more = had > floor && extra > 0;
            extra -= usize::from(keeps_one_more);
            least += had.saturating_sub(floor + usize::from(keeps_one_more));
        }
        let moved = |holder: &&Option<String>| holder.as_ref().is_some_and(|holder| names.contains(holder));
        let homeless = holders.iter().filter(|holder| !moved(holder)).count();
        let moves = after.iter().zip(&holders).filter(|(after, before)| **after != before.as_deref()).count();
        prop_assert_eq!(moves, least + homeless);
        candidates.rotate_left(turn % names.len());
        prop_assert_eq!(&target(&candidates, &before), &after, "the order matters");
        let settled: Vec<_> = after.iter().map(|holder| holder.map(String::from)).collect();
        prop_assert_eq!(&target(&candidates, &held(&settled)), &after, "a second time moves more");
    }

    #[test]
    fn whatever_it_sees_it_gives_up_one_at_a_time_and_only_its_own(
        views in prop::collection::vec(some_view(), 1..30),
    ) {
        let mut assigner = Assigner::new("a".into());
        for (members, holdings, halves) in views {
            let wishes = assigner.decide(&members, &holdings, SECOND / 2 * halves);
            prop_assert_eq!(wishes.len(), 16);
            prop_assert!(wishes.iter().filter(|wish| **wish == Wish::Give).count() <= 1);
            for (wish, holding) in wishes.iter().zip(&holdings) {
                let mine = *holding == Holding::Held("a".into());
                prop_assert_eq!(mine, matches!(wish, Wish::Keep | Wish::Give));
            }
            prop_assert!(assigner.members.len() <= members.len() && assigner.left_out.len() <= 64);
        }
    }

    #[test]
    fn whatever_members_it_sees_it_claims_what_stays_free(
        views in prop::collection::vec(some_view(), 20),
        holdings in prop::collection::vec(some_holding(), 16),
    ) {
        let mut assigner = Assigner::new("a".into());
        let mut last = Vec::new();
        // 3 s, and a turn for each of the seven others.
        for (members, _, _) in views.iter().take(12) {
            last = assigner.decide(members, &holdings, SECOND);
        }
        for (wish, holding) in last.iter().zip(&holdings) {
            prop_assert!(matches!(holding, Holding::Held(_)) || *wish == Wish::Claim, "{holding:?}: {wish:?}");
        }
    }
}

/// Members that each start under a new identity are not remembered for ever.
#[test]
fn what_is_remembered_is_bounded() {
    let mut assigner = Assigner::new("a".into());
    for number in 0..500 {
        let other = Member { identity: Arc::from(format!("z{number}")), ..members("z").remove(0) };
        for _ in 0..5 {
            let seen = [members("a").remove(0), other.clone()];
            assigner.decide(&seen, &holdings("aaaaaaaa........"), SECOND);
        }
    }
    assert!(assigner.members.len() == 2 && assigner.left_out.len() <= 64, "{}", assigner.left_out.len());
}
