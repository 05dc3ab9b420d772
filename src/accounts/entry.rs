//! What is known of one AWSAccount. Pure.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, Notify};

use super::{
    account::Account,
    api::{AWSAccountSpec, DEFAULT},
    choice::Refusal,
};
use crate::{
    aws::{
        account::Standing,
        errors::{AwsError, ErrorClass},
    },
    engine::objects::Object,
};

/// The finalizers of an AWSAccount: one for each namespace with objects that use it, so that operators
/// for different namespaces do not take each other's away.
pub const IN_USE: &str = "in-use.aws.fairlead.dev/";
/// How long a namespace counts as in use after a new object has asked, until its event is seen.
const HELD: Duration = Duration::from_secs(30);

/// What is known of one AWSAccount.
pub(super) struct Entry {
    pub(super) object: Object,
    pub(super) account: Arc<Account>,
    /// Its `spec.defaultForNamespaces`.
    pub(super) default_for: Vec<String>,
    /// Why it can't be understood, where that is so.
    pub(super) unreadable: Option<Refusal>,
    /// Whether AWS was asked about it.
    pub(super) asked: bool,
    /// Whether AWS has refused its credentials since.
    pub(super) suspect: bool,
    pub(super) signal: Arc<Notify>,
    pub(super) writing: Arc<Mutex<()>>,
    /// The code of the error by which it was last not reached.
    code: Option<String>,
    held: HashMap<String, Instant>,
}

impl Entry {
    /// What an AWSAccount says; what was known of it `before` holds on where it is reached as before.
    pub(super) fn of(object: Object, before: Option<Self>, cluster: &str) -> Self {
        let name = object.name();
        let spec = read(&object);
        let default_for = match &spec {
            Ok(spec) => spec.default_for_namespaces.clone().unwrap_or_default(),
            // For whom it is meant can't be told: better nobody goes on than with another account.
            Err(_) if name == DEFAULT => Vec::new(),
            Err(_) => vec!["*".into()],
        };
        let unreadable = spec.as_ref().err().map(|error| Refusal {
            reason: "AccountNotAllowed",
            message: format!("the AWSAccount {name} can't be understood: {error}"),
        });
        let mut account = Account::named(name, spec.unwrap_or_default(), cluster);
        account.deleting = object.is_deleting();
        let same = before.as_ref().filter(|before| before.account.probe_session() == account.probe_session());
        if let Some(before) = same {
            account.id.clone_from(&before.account.id);
            account.trouble.clone_from(&before.account.trouble);
        }
        let asked = same.is_some_and(|before| before.asked);
        let code = same.and_then(|before| before.code.clone());
        let known = before.as_ref().map(|before| before.namespaces().map(str::to_owned).collect::<Vec<_>>());
        let (held, signal, writing) =
            before.map_or_else(Default::default, |before| (before.held, before.signal, before.writing));
        let account = Arc::new(account);
        let mut entry =
            Self { object, account, default_for, unreadable, asked, suspect: false, signal, writing, code, held };
        // Another replica has an object that is about to use it, which may not have been seen here.
        let new = known.map(|known| entry.new_since(&known)).unwrap_or_default();
        new.iter().for_each(|namespace| entry.hold(namespace));
        entry
    }

    /// Whether nothing is to be waited for that asking AWS would tell.
    pub(super) fn is_settled(&self) -> bool {
        self.asked || self.unreadable.is_some() || self.account.is_own()
    }

    /// Takes note of what AWS said of the account.
    pub(super) fn learn(&mut self, said: Result<String, AwsError>) {
        self.asked = true;
        let account = Arc::make_mut(&mut self.account);
        let error = match said {
            Ok(id) => {
                (account.id, account.trouble, self.code) = (Some(id), None, None);
                return;
            }
            Err(error) => error,
        };
        // Only the request id differs: to say that would be to write for nothing.
        if self.code.replace(error.code.clone()).as_ref() == Some(&error.code) {
            return;
        }
        account.trouble = match error.class {
            // Nothing is known to be wrong with the account itself: what was known still holds.
            ErrorClass::Later(_)
            | ErrorClass::Throttle
            | ErrorClass::Transient
            | ErrorClass::Unanswered
            | ErrorClass::Shut(_)
            | ErrorClass::NoPermit
                if account.id.is_some() =>
            {
                return;
            }
            ErrorClass::Later(_)
            | ErrorClass::Throttle
            | ErrorClass::Transient
            | ErrorClass::Unanswered
            | ErrorClass::Shut(_)
            | ErrorClass::NoPermit => {
                let Refusal { reason, message } = account.unknown();
                Some(Refusal { reason, message: format!("{message}: {error}") })
            }
            _ => Some(account.refused(&error.to_string())),
        };
    }

    /// Takes note that an object of `namespace` is about to use it.
    pub(super) fn hold(&mut self, namespace: &str) {
        self.held.insert(namespace.into(), Instant::now());
    }

    fn new_since(&self, known: &[String]) -> Vec<String> {
        self.namespaces().filter(|namespace| !known.iter().any(|it| it == namespace)).map(str::to_owned).collect()
    }

    /// Whether an object of `namespace` may have begun to use it, without having been seen since.
    pub(super) fn is_held(&mut self, namespace: &str) -> bool {
        self.held.retain(|_, at| at.elapsed() < HELD);
        self.held.contains_key(namespace)
    }

    /// The namespaces of our finalizers.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.object.0.metadata.finalizers.iter().flatten().filter_map(|finalizer| finalizer.strip_prefix(IN_USE))
    }

    /// Takes the AWSAccount as it was read or written, where that is not older than what is known.
    pub(super) fn update(&mut self, object: Object) {
        if !self.is_newer_than(&object) {
            self.object = object;
        }
    }

    /// Whether the AWSAccount that is known is a later version of `object`.
    pub(super) fn is_newer_than(&self, object: &Object) -> bool {
        let version = |object: &Object| object.version().and_then(|version| version.parse::<u64>().ok());
        self.object.uid() == object.uid() && version(&self.object) > version(object)
    }
}

/// The spec, where this version can act on it. The CRD says the same; it may be another version's.
fn read(object: &Object) -> Result<AWSAccountSpec, String> {
    let spec: AWSAccountSpec = serde_json::from_value(object.raw_spec()).map_err(|error| error.to_string())?;
    match (object.name() == DEFAULT, &spec.role_arn) {
        (true, Some(_)) => Err("spec.roleARN is not for the one called default".into()),
        (false, None) => Err("spec.roleARN is needed".into()),
        _ => Ok(spec),
    }
}

/// Makes an account of the process's own credentials say what is known of these.
pub(super) fn stand(account: &mut Arc<Account>, standing: &Standing) {
    if account.id.as_deref() == standing.id() && account.trouble.is_some() == standing.refusal().is_some() {
        return;
    }
    let account = Arc::make_mut(account);
    account.id = standing.id().map(str::to_owned);
    account.trouble = standing.refusal().map(|message| Refusal { reason: "AccountMismatch", message });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::aws::Service;

    fn object(name: &str, version: u32, spec: serde_json::Value) -> Object {
        let metadata = json!({ "name": name, "uid": "u", "resourceVersion": version.to_string() });
        Object(serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap())
    }

    fn role(name: &str) -> serde_json::Value {
        json!({ "roleARN": format!("arn:aws:iam::111122223333:role/{name}"), "allowedNamespaces": ["*"] })
    }

    fn error(class: ErrorClass, code: &str) -> AwsError {
        let (code, region) = (code.to_owned(), "eu-west-1".to_owned());
        let service = Service("sts");
        AwsError {
            service,
            operation: "AssumeRole",
            region,
            class,
            code,
            message: String::new(),
            request_id: None,
            retry_after: None,
        }
    }

    fn reason(entry: &Entry) -> &'static str {
        entry.account.usable().map_or_else(|refusal| refusal.reason, |_| "")
    }

    #[test]
    fn what_aws_says_of_an_account() {
        use ErrorClass::{Credentials, Later, Terminal, Unanswered};
        let mut entry = Entry::of(object("team-a", 1, role("a")), None, "c");
        assert_eq!(reason(&entry), "AccountUnknown");
        for (said, expected) in [
            (Err(error(Unanswered, "Timeout")), "AccountUnknown"),
            (Err(error(Credentials, "AccessDenied")), "CredentialsError"),
            (Ok("111122223333".to_owned()), ""),
            // STS is away, and whoever has a session works on.
            (Err(error(Unanswered, "Timeout")), ""),
            (Err(error(Later(1), "TooManyCalls")), ""),
            (Err(error(Credentials, "AccessDenied")), "CredentialsError"),
            (Err(error(Unanswered, "Timeout")), "CredentialsError"),
            (Err(error(Terminal, "ValidationError")), "CredentialsError"),
            (Ok("111122223333".to_owned()), ""),
        ] {
            let case = format!("{said:?}");
            entry.learn(said);
            assert_eq!(reason(&entry), expected, "{case}");
        }
    }

    #[test]
    fn what_is_known_holds_until_the_role_changes() {
        let mut entry = Entry::of(object("team-a", 1, role("a")), None, "c");
        entry.learn(Ok("111122223333".into()));
        let mut wider = role("a");
        wider["allowedRegions"] = json!(["eu-*"]);
        let entry = Entry::of(object("team-a", 2, wider), Some(entry), "c");
        assert_eq!((entry.account.id.as_deref(), entry.asked), (Some("111122223333"), true));
        let entry = Entry::of(object("team-a", 3, role("b")), Some(entry), "c");
        assert_eq!((entry.account.id.as_deref(), entry.asked), (None, false));
    }

    #[test]
    fn what_can_not_be_understood_is_meant_for_everybody_and_allows_nothing() {
        for (name, spec) in [
            ("team-a", json!({ "allowedNamespaces": 5 })),
            ("team-a", json!({ "allowedNamespaces": ["*"] })),
            ("default", role("a")),
        ] {
            let entry = Entry::of(object(name, 1, spec), None, "c");
            assert!(entry.unreadable.is_some(), "{name}");
            assert_eq!(entry.default_for.is_empty(), name == DEFAULT);
        }
    }

    #[test]
    fn an_older_version_is_no_news() {
        let mut entry = Entry::of(object("team-a", 10, role("a")), None, "c");
        entry.update(object("team-a", 9, role("b")));
        assert_eq!(entry.object.version(), Some("10"));
        entry.update(object("team-a", 11, role("b")));
        assert_eq!(entry.object.version(), Some("11"));
    }
}
