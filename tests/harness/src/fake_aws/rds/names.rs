//! The names that AWS makes: ARNs, addresses, resource ids.

use crate::fake_aws::partition;

/// Where names are made, and what makes them unlike each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    pub(super) account: &'a str,
    pub(super) region: &'a str,
    /// Another for each thing that is made.
    pub(super) seed: u64,
}

/// What an ARN of RDS names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Instance,
    Snapshot,
}

const UPPER: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const LOWER: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &[u8; 16] = b"0123456789abcdef";

impl Names<'_> {
    pub(super) fn instance(&self, identifier: &str) -> String {
        self.arn("rds", &format!("db:{identifier}"))
    }

    pub(super) fn snapshot(&self, identifier: &str) -> String {
        self.arn("rds", &format!("snapshot:{identifier}"))
    }

    pub(super) fn subnet_group(&self, name: &str) -> String {
        self.arn("rds", &format!("subgrp:{name}"))
    }

    /// The ARN of a key that is given as such, by its id or by an alias.
    pub(super) fn kms_key(&self, key: &str) -> String {
        if key.starts_with("arn:") && !key.contains(":alias/") {
            return key.to_owned();
        }
        let alias = key.rsplit(':').next().unwrap_or(key);
        let id = if alias.starts_with("alias/") { uuid(hash(alias)) } else { key.to_owned() };
        self.arn("kms", &format!("key/{id}"))
    }

    pub(super) fn secret(&self) -> String {
        let end = drawn(self.seed ^ 1, 6, LOWER);
        self.arn("secretsmanager", &format!("secret:rds!db-{}-{end}", uuid(self.seed)))
    }

    pub(super) fn resource_id(&self) -> String {
        format!("db-{}", drawn(self.seed, 26, UPPER))
    }

    /// The addresses of an account in a region end alike.
    pub(super) fn host(&self, identifier: &str) -> String {
        let Names { account, region, seed: _ } = self;
        let middle = drawn(hash(&format!("{account} {region}")), 11, LOWER);
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        format!("{identifier}.c{middle}.{region}.rds.{domain}")
    }

    /// What an ARN names here; `None` of anything else.
    pub(super) fn named<'b>(&self, arn: &'b str) -> Option<(Kind, &'b str)> {
        let parts: Vec<_> = arn.splitn(7, ':').collect();
        let [_, _, "rds", region, account, kind, identifier] = parts[..] else {
            return None;
        };
        if region != self.region || account != self.account {
            return None;
        }
        match kind {
            "db" => Some((Kind::Instance, identifier)),
            "snapshot" => Some((Kind::Snapshot, identifier)),
            _ => None,
        }
    }

    fn arn(&self, service: &str, rest: &str) -> String {
        let Names { account, region, seed: _ } = self;
        format!("arn:{}:{service}:{region}:{account}:{rest}", partition(region))
    }
}

fn uuid(seed: u64) -> String {
    let digits = drawn(seed, 32, HEX);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// Characters that look drawn, the same for the same seed: splitmix64.
fn drawn(seed: u64, count: u64, from: &[u8]) -> String {
    let characters = (1..=count).map(|n| {
        let mut mixed = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let place = usize::try_from((mixed ^ (mixed >> 31)) % 0xffff).unwrap_or_default();
        char::from(from[place % from.len()])
    });
    characters.collect()
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'_> = Names { account: "111122223333", region: "eu-west-1", seed: 7 };

    #[test]
    fn names_are_shaped_as_in_aws() {
        assert_eq!(NAMES.instance("orders"), "arn:aws:rds:eu-west-1:111122223333:db:orders");
        assert_eq!(NAMES.named(&NAMES.instance("orders")), Some((Kind::Instance, "orders")));
        assert_eq!(NAMES.named(&NAMES.snapshot("last")), Some((Kind::Snapshot, "last")));
        assert_eq!(NAMES.named("arn:aws:rds:eu-west-1:444455556666:db:orders"), None);
        assert_eq!(NAMES.kms_key("arn:aws:kms:eu-west-1:1:key/x"), "arn:aws:kms:eu-west-1:1:key/x");
        assert_eq!(NAMES.kms_key("x"), "arn:aws:kms:eu-west-1:111122223333:key/x");
        assert_eq!(NAMES.kms_key("alias/a"), NAMES.kms_key("arn:aws:kms:eu-west-1:111122223333:alias/a"));
        let id = NAMES.resource_id();
        assert!(id.len() == 29 && id[3..].bytes().all(|byte| UPPER.contains(&byte)), "{id}");
        assert_ne!(id, Names { seed: 8, ..NAMES }.resource_id());
        assert!(NAMES.host("orders").ends_with(".eu-west-1.rds.amazonaws.com"));
    }
}
