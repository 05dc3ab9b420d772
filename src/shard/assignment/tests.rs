use super::model::{Terms, World};

const SEEDS: u64 = 10;
#[test]
fn figures() {
    for lag in [0, 5, 20, 40] {
        for n in 1..=5 {
            let mut out = Vec::new();
            for seed in 0..SEEDS {
                let mut w = World::settled(16, n, Terms { lag, drain: 10, seed });
                let init = w.spread();
                w.join("new", "old", 1);
                let b = w.balanced_within(100);
                w.run(100.0);
                out.push((w.claims, w.gives, b, init, w.counts()));
            }
            println!("lag {lag} join {n}: {:?}", out);
        }
        for gap in [3.0, 15.0, 40.0] {
            let mut out = Vec::new();
            for seed in 0..SEEDS {
                let mut w = World::settled(16, 3, Terms { lag, drain: 10, seed });
                for k in 0..3 {
                    w.join(&format!("n{k}"), "new", 1);
                    w.run(gap);
                    w.stop(&format!("r{k}"));
                    w.run(5.0);
                }
                w.run(60.0);
                out.push((w.claims, w.gives, w.counts()));
            }
            println!("lag {lag} rolling gap {gap}: {:?}", out);
        }
        let mut out = Vec::new();
        for seed in 0..SEEDS {
            let mut w = World::settled(16, 3, Terms { lag, drain: 10, seed });
            w.join("z", "old", 1);
            w.disable("z");
            w.run(590.0);
            out.push((w.gives, w.unheld));
        }
        println!("lag {lag} zombie {:?}", out);
        let mut out = Vec::new();
        for seed in 0..SEEDS {
            let mut w = World::settled(16, 3, Terms { lag, drain: 10, seed });
            for k in 0..20 {
                w.join("c", "old", k + 1);
                w.run(25.0);
                w.crash("c");
                w.run(35.0);
            }
            out.push((w.claims, w.unheld));
        }
        println!("lag {lag} crashloop {:?}", out);
        let mut out = Vec::new();
        for seed in 0..SEEDS {
            let mut w = World::settled(16, 3, Terms { lag, drain: 10, seed });
            w.crash("r0");
            w.run(60.0);
            out.push((w.claims, w.gives, w.unheld, w.counts()));
        }
        println!("lag {lag} crash {:?}", out);
        let mut out = Vec::new();
        for seed in 0..3 {
            let mut w = World::settled(16, 20, Terms { lag, drain: 10, seed });
            let s = (w.unheld_now(), w.spread());
            w.run(100.0);
            let q = (w.claims, w.gives);
            w.crash("r0");
            w.run(60.0);
            out.push((s, q, w.claims, w.gives, w.unheld, w.counts()));
        }
        println!("lag {lag} many {:?}", out);
    }
}
