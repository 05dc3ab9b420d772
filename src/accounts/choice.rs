//! Which account an object is of, by its namespace and its `spec.accountRef`. Pure.
//!
//! An object that names none gets the one AWSAccount that is meant for its namespace, else `default`,
//! else the process's own credentials. What is missing or ambiguous is refused: another account than
//! the one that is meant is never used.

use super::api::DEFAULT;

/// Why an object may not use an account, or none can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For machines.
    pub reason: &'static str,
    /// For people: the AWSAccount, the field and the way out.
    pub message: String,
}

impl Refusal {
    /// Whether it passes without anybody changing an object: AWS did not answer yet, or a permission may
    /// have been taken or given.
    pub fn passes(&self) -> bool {
        matches!(self.reason, "AccountUnknown" | "CredentialsError")
    }
}

/// An AWSAccount that could be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its `spec.defaultForNamespaces`.
    pub default_for: &'a [String],
}

/// The account of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The AWSAccount of this name.
    Named(String),
    /// The process's own credentials, of which no AWSAccount speaks.
    Own,
    /// The AWSAccount that the object names, which is not there.
    Missing(String),
    /// All these AWSAccounts are meant for the namespace.
    Ambiguous(String, Vec<String>),
}

impl Choice {
    /// The account of an object of `namespace` that names `account_ref`, or none.
    pub fn of<'a>(
        namespace: &str,
        account_ref: Option<&str>,
        accounts: impl Iterator<Item = Candidate<'a>> + Clone,
    ) -> Self {
        if let Some(name) = account_ref {
            let there = accounts.clone().any(|account| account.name == name);
            return if there { Self::Named(name.into()) } else { Self::Missing(name.into()) };
        }
        let meant = accounts.clone().filter(|account| any_matches(account.default_for, namespace));
        let mut meant: Vec<_> = meant.map(|account| account.name.to_owned()).collect();
        match (meant.len(), meant.pop()) {
            (1, Some(name)) => Self::Named(name),
            (0, _) if accounts.clone().any(|account| account.name == DEFAULT) => Self::Named(DEFAULT.into()),
            (_, Some(last)) => Self::Ambiguous(namespace.into(), meant.into_iter().chain([last]).collect()),
            (_, None) => Self::Own,
        }
    }

    /// Whether it depends on the AWSAccount `name`.
    pub fn concerns(&self, name: &str) -> bool {
        match self {
            Self::Named(one) | Self::Missing(one) => one == name,
            Self::Ambiguous(_, several) => several.iter().any(|one| one == name),
            Self::Own => false,
        }
    }

    /// Why no account can be told, where that is so.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Named(_) | Self::Own => None,
            Self::Missing(name) => Some(Refusal {
                reason: "AccountNotFound",
                message: format!(
                    "spec.accountRef: there is no AWSAccount {name}; name another, or ask an administrator to create it"
                ),
            }),
            Self::Ambiguous(namespace, several) => Some(Refusal {
                reason: "AccountAmbiguous",
                message: format!(
                    "the AWSAccounts {} all have the namespace {namespace} in their spec.defaultForNamespaces: set \
                     spec.accountRef to one of them, or have the namespace taken out of the others",
                    several.join(", ")
                ),
            }),
        }
    }
}

/// Whether `text` is one of `patterns`, in which `*` stands for any text.
pub fn any_matches(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| crate::settings::glob(pattern, text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Accounts = Vec<(String, Vec<String>)>;

    fn choose(accounts: &Accounts, namespace: &str, account_ref: Option<&str>) -> Choice {
        let candidates = accounts.iter().map(|(name, default_for)| Candidate { name, default_for });
        Choice::of(namespace, account_ref, candidates)
    }

    fn accounts(text: &[(&str, &str)]) -> Accounts {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        text.iter().map(|(name, default_for)| ((*name).to_owned(), words(default_for))).collect()
    }

    #[test]
    fn the_account_of_an_object() {
        let named = |name: &str| Choice::Named(name.into());
        let missing = |name: &str| Choice::Missing(name.into());
        let several =
            |names: &[&str]| Choice::Ambiguous("shop".into(), names.iter().map(|name| (*name).to_owned()).collect());
        let (none, plain, with_default) = ([].as_slice(), &[("a", ""), ("b", "")], &[("a", ""), ("default", "")]);
        for (there, account_ref, expected) in [
            (none, None, Choice::Own),
            (none, Some("a"), missing("a")),
            (none, Some("default"), missing("default")),
            (plain, None, Choice::Own),
            (plain, Some("a"), named("a")),
            (plain, Some("c"), missing("c")),
            (with_default, None, named("default")),
            (with_default, Some("a"), named("a")),
            (with_default, Some("default"), named("default")),
            // A missing one is not replaced by the default.
            (with_default, Some("c"), missing("c")),
            (&[("a", "shop"), ("default", "")], None, named("a")),
            (&[("a", "shop store"), ("b", "store")], None, named("a")),
            (&[("a", "sh*"), ("b", "store")], None, named("a")),
            (&[("a", "*")], None, named("a")),
            (&[("a", "shop-*"), ("b", "shopping")], None, Choice::Own),
            (&[("a", "shop"), ("b", "sh*"), ("c", "x")], None, several(&["a", "b"])),
            (&[("a", "shop"), ("b", "*"), ("default", "")], None, several(&["a", "b"])),
            (&[("a", "shop"), ("default", "*")], None, several(&["a", "default"])),
            (&[("a", "shop"), ("b", "shop")], Some("b"), named("b")),
        ] {
            assert_eq!(choose(&accounts(there), "shop", account_ref), expected, "{there:?} {account_ref:?}");
        }
    }

    #[test]
    fn refusals_name_the_accounts_the_field_and_the_way_out() {
        let there = accounts(&[("team-a", "shop"), ("team-b", "shop")]);
        for (account_ref, reason, words) in [
            (None, "AccountAmbiguous", ["team-a, team-b", "spec.defaultForNamespaces", "spec.accountRef"]),
            (Some("gone"), "AccountNotFound", ["AWSAccount gone", "spec.accountRef", "create it"]),
        ] {
            let refusal = choose(&there, "shop", account_ref).refusal().unwrap();
            assert_eq!(refusal.reason, reason);
            assert!(words.iter().all(|word| refusal.message.contains(word)), "{}", refusal.message);
        }
    }

    fn any_accounts() -> impl Strategy<Value = Accounts> {
        let defaults = proptest::collection::vec("(shop|store|sh[*]|[*])", 0..3);
        let all = proptest::collection::btree_map("(a|b|c|default)", defaults, 0..4);
        all.prop_map(|all| all.into_iter().collect())
    }

    proptest! {
        /// What is chosen is there, and is the one that was named or the only one that is meant.
        #[test]
        fn no_account_is_chosen_that_is_not_meant(
            there in any_accounts(), named in proptest::option::of("(a|b|c|default)"), namespace in "(shop|store|x)"
        ) {
            let meant = |name: &str| {
                there.iter().any(|(other, patterns)| other == name && any_matches(patterns, &namespace))
            };
            let claims = there.iter().filter(|(name, _)| meant(name)).count();
            match choose(&there, &namespace, named.as_deref()) {
                Choice::Named(chosen) => {
                    prop_assert!(there.iter().any(|(name, _)| *name == chosen));
                    match &named {
                        Some(named) => prop_assert_eq!(named, &chosen),
                        None if claims == 1 => prop_assert!(meant(&chosen)),
                        None => prop_assert!(claims == 0 && chosen == DEFAULT),
                    }
                }
                Choice::Own => {
                    prop_assert!(named.is_none() && claims == 0);
                    prop_assert!(there.iter().all(|(name, _)| name != DEFAULT));
                }
                Choice::Missing(name) => {
                    prop_assert!(there.iter().all(|(other, _)| *other != name));
                    prop_assert_eq!(named, Some(name));
                }
                Choice::Ambiguous(_, several) => {
                    prop_assert!(named.is_none() && several.len() == claims && claims > 1);
                    prop_assert!(several.iter().all(|name| meant(name)));
                }
            }
        }

        /// An account that comes or goes changes the choice only of objects that it concerns.
        #[test]
        fn a_choice_changes_only_through_accounts_that_it_concerns(
            there in any_accounts(), named in proptest::option::of("(a|b|c|default)"), changed in "(a|b|c|default)"
        ) {
            let before = choose(&there, "shop", named.as_deref());
            let without: Accounts = there.iter().filter(|(name, _)| *name != changed).cloned().collect();
            let after = choose(&without, "shop", named.as_deref());
            prop_assert!(before == after || before.concerns(&changed) || after.concerns(&changed));
        }
    }
}
