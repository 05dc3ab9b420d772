//! The engines: their versions, ports, licences, and what they ask of a master user.

use std::cmp::Ordering;

use super::form::{combination_refused, value_refused};
use crate::fake_aws::refusal::Refusal;

#[derive(Debug)]
pub(super) struct Engine {
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) license: &'static str,
    /// Major versions, each with the minor one that it stands for; a create that names none gets the last.
    versions: &'static [(&'static str, &'static str)],
    /// No master user may be called so.
    reserved: &'static [&'static str],
    longest_password: usize,
    pub(super) logs: &'static [&'static str],
    /// From this size on, in GiB, gp3 takes IOPS and throughput: 0 where it always does.
    pub(super) provisioned_from: u64,
}

const ENGINES: &[Engine] = &[
    Engine {
        name: "postgres",
        port: 5432,
        license: "postgresql-license",
        versions: &[("13", "13.20"), ("14", "14.17"), ("15", "15.12"), ("16", "16.4"), ("17", "17.4")],
        reserved: &["admin", "rdsadmin", "user"],
        longest_password: 128,
        logs: &["iam-db-auth-error", "postgresql", "upgrade"],
        provisioned_from: 400,
    },
    Engine {
        name: "mysql",
        port: 3306,
        license: "general-public-license",
        versions: &[("5.7", "5.7.44"), ("8.0", "8.0.40"), ("8.4", "8.4.3")],
        reserved: &["rdsadmin", "rdsrepladmin"],
        longest_password: 41,
        logs: &["audit", "error", "general", "iam-db-auth-error", "slowquery"],
        provisioned_from: 400,
    },
    Engine {
        name: "mariadb",
        port: 3306,
        license: "general-public-license",
        versions: &[("10.6", "10.6.20"), ("10.11", "10.11.10"), ("11.4", "11.4.4")],
        reserved: &["rdsadmin", "rdsrepladmin"],
        longest_password: 41,
        logs: &["audit", "error", "general", "iam-db-auth-error", "slowquery"],
        provisioned_from: 400,
    },
    Engine {
        name: "sqlserver-ex",
        port: 1433,
        license: "license-included",
        versions: &[("15.00", "15.00.4415.2.v1"), ("16.00", "16.00.4175.1.v1")],
        reserved: &["rdsadmin", "sa"],
        longest_password: 128,
        logs: &["agent", "error"],
        provisioned_from: 0,
    },
    Engine {
        name: "oracle-se2",
        port: 1521,
        license: "license-included",
        versions: &[("19", "19.0.0.0.ru-2024-10.rur-2024-10.r1"), ("21", "21.0.0.0.ru-2024-10.rur-2024-10.r1")],
        reserved: &["rdsadmin", "sys", "system"],
        longest_password: 30,
        logs: &["alert", "audit", "listener", "oemagent", "trace"],
        provisioned_from: 200,
    },
];

/// An engine by its name.
pub(super) fn find(name: &str) -> Result<&'static Engine, Refusal> {
    if name.starts_with("aurora") {
        return Err(combination_refused(format!("Engine {name} needs a DB cluster: set DBClusterIdentifier.")));
    }
    let engine = ENGINES.iter().find(|engine| engine.name == name);
    engine.ok_or_else(|| value_refused(format!("Invalid DB engine: Engine {name}")))
}

impl Engine {
    /// The full version that a request means: a major one stands for a minor one of it. Of the majors that
    /// there are, every minor version is taken.
    pub(super) fn version(&self, asked: Option<&str>) -> Result<String, Refusal> {
        let Some(asked) = asked else {
            return Ok(self.versions.last().map(|(_, full)| *full).unwrap_or_default().to_owned());
        };
        if let Some((_, full)) = self.versions.iter().find(|(major, _)| *major == asked) {
            return Ok((*full).to_owned());
        }
        let known = self.versions.iter().any(|(major, _)| *major == self.major(asked));
        let minor = asked.get(self.major(asked).len() + 1..).unwrap_or_default();
        if !known || !minor.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(combination_refused(format!("Cannot find version {asked} for {}", self.name)));
        }
        Ok(asked.to_owned())
    }

    /// The major part of a version: its first number, of some engines its first two.
    pub(super) fn major<'a>(&self, version: &'a str) -> &'a str {
        let numbers = if matches!(self.name, "postgres" | "oracle-se2") { 1 } else { 2 };
        let end = version.match_indices('.').nth(numbers - 1).map_or(version.len(), |(end, _)| end);
        &version[..end]
    }

    /// `default.postgres16`
    pub(super) fn parameter_group(&self, version: &str) -> String {
        let separator = if matches!(self.name, "sqlserver-ex" | "oracle-se2") { "-" } else { "" };
        format!("default.{}{separator}{}", self.name, self.major(version))
    }

    /// `default:postgres-16`
    pub(super) fn option_group(&self, version: &str) -> String {
        format!("default:{}-{}", self.name, self.major(version).replace('.', "-"))
    }

    pub(super) fn check_username(&self, name: &str) -> Result<(), Refusal> {
        let allowed = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !allowed || !name.starts_with(|first: char| first.is_ascii_alphabetic()) || name.len() > 16 {
            let message = "The parameter MasterUsername is not a valid identifier: 1 to 16 letters, digits or \
                underscores, a letter first.";
            return Err(value_refused(message));
        }
        if self.reserved.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
            return Err(value_refused(format!(
                "MasterUsername {name} cannot be used as it is a reserved word used by the engine"
            )));
        }
        Ok(())
    }

    pub(super) fn check_password(&self, password: &str) -> Result<(), Refusal> {
        let refused = |why: String| Err(value_refused(format!("The parameter MasterUserPassword is not valid: {why}")));
        let forbidden: &[u8] = if self.name == "oracle-se2" { b"/@\"&' " } else { b"/@\" " };
        if password.bytes().any(|byte| !byte.is_ascii_graphic() || forbidden.contains(&byte)) {
            return refused("only printable ASCII characters besides '/', '@', '\"', ' ' may be used.".to_owned());
        }
        if password.len() < 8 {
            return refused("it is shorter than 8 characters.".to_owned());
        }
        if password.len() > self.longest_password {
            return refused(format!("it is longer than {} characters.", self.longest_password));
        }
        Ok(())
    }

    pub(super) fn check_logs(&self, logs: &[&str], version: &str) -> Result<(), Refusal> {
        let Some(unknown) = logs.iter().find(|log| !self.logs.contains(log)) else {
            return Ok(());
        };
        Err(combination_refused(format!(
            "You cannot use the log types '{unknown}' with engine version {} {version}.",
            self.name
        )))
    }
}

/// Which of two versions is newer, number by number.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let numbers = |version: &str| -> Vec<u64> {
        version.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
    };
    numbers(one).cmp(&numbers(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_completed_or_refused() -> Result<(), Refusal> {
        let cases = [
            ("postgres", None, Some("17.4")),
            ("postgres", Some("16"), Some("16.4")),
            ("postgres", Some("16.9"), Some("16.9")),
            ("postgres", Some("9.6"), None),
            ("postgres", Some("16."), None),
            ("mysql", Some("8.0"), Some("8.0.40")),
            ("mysql", Some("8.0.36"), Some("8.0.36")),
            ("mysql", Some("8"), None),
            ("sqlserver-ex", Some("16.00.4095.4.v1"), Some("16.00.4095.4.v1")),
            ("oracle-se2", Some("19"), Some("19.0.0.0.ru-2024-10.rur-2024-10.r1")),
        ];
        for (engine, asked, expected) in cases {
            assert_eq!(find(engine)?.version(asked).ok().as_deref(), expected, "{engine} {asked:?}");
        }
        Ok(())
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(compare("16.4", "16.10"), Ordering::Less);
        assert_eq!(compare("8.0.40", "8.0.40"), Ordering::Equal);
        assert_eq!(compare("17", "16.9"), Ordering::Greater);
    }

    #[test]
    fn master_users_are_judged() -> Result<(), Refusal> {
        let postgres = find("postgres")?;
        for (name, expected) in [("fairlead", true), ("admin", false), ("1st", false), ("a-b", false)] {
            assert_eq!(postgres.check_username(name).is_ok(), expected, "{name}");
        }
        let longest = "x".repeat(128);
        let cases = [("secret12", true), ("secret1", false), ("secret/12", false), ("secret 12", false)];
        for (password, expected) in cases.into_iter().chain([(&*longest, true), (&*"x".repeat(129), false)]) {
            assert_eq!(postgres.check_password(password).is_ok(), expected, "{password}");
        }
        assert!(find("mysql")?.check_password(&longest).is_err());
        assert!(find("aurora-postgresql").is_err());
        Ok(())
    }
}
