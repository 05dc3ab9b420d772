//! Reading a request of the query protocol, and refusing what it says.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fake_aws::refusal::Refusal;

pub(super) type Tags = BTreeMap<String, String>;

/// A request's fields: an object of strings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form<'a>(pub(super) &'a Value);

impl<'a> Form<'a> {
    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Text that has to be there.
    pub(super) fn required(self, name: &str) -> Result<&'a str, Refusal> {
        let text = self.text(name).filter(|text| !text.is_empty());
        text.ok_or_else(|| Refusal::bad("MissingParameter", format!("The request must contain the parameter {name}.")))
    }

    pub(super) fn flag(self, name: &str) -> Result<Option<bool>, Refusal> {
        self.text(name).map(|text| flag(name, text)).transpose()
    }

    /// `Name.Member.1` and so on.
    pub(super) fn list(self, name: &str, member: &str) -> Vec<&'a str> {
        (1..).map_while(|n| self.text(&format!("{name}.{member}.{n}"))).collect()
    }

    /// Whether a list is there, be it empty.
    pub(super) fn has_list(self, name: &str, member: &str) -> bool {
        self.text(name).is_some() || self.text(&format!("{name}.{member}.1")).is_some()
    }

    /// `Tags.Tag.1.Key` and `Tags.Tag.1.Value`, from 1 on.
    pub(super) fn tags(self) -> Result<Tags, Refusal> {
        let pairs = (1..).map_while(|n| {
            let key = self.text(&format!("Tags.Tag.{n}.Key"))?;
            Some((key, self.text(&format!("Tags.Tag.{n}.Value")).unwrap_or_default()))
        });
        let pairs = pairs.map(|(key, value)| {
            if key.is_empty() || key.len() > 128 || value.len() > 256 || key.starts_with("aws:") {
                return Err(value_refused(format!("Invalid tag: Tags: {key}.")));
            }
            Ok((key.to_owned(), value.to_owned()))
        });
        pairs.collect()
    }

    /// `Filters.Filter.1.Name` and `Filters.Filter.1.Values.Value.1`, from 1 on.
    pub(super) fn filters(self) -> Vec<(&'a str, Vec<&'a str>)> {
        let filters = (1..).map_while(|n| {
            let name = self.text(&format!("Filters.Filter.{n}.Name"))?;
            Some((name, self.list(&format!("Filters.Filter.{n}.Values"), "Value")))
        });
        filters.collect()
    }

    /// How many records a page has.
    pub(super) fn page_size(self) -> Result<usize, Refusal> {
        let Some(text) = self.text("MaxRecords") else {
            return Ok(100);
        };
        let size = text.parse().ok().filter(|size| (20..=100).contains(size));
        size.ok_or_else(|| {
            value_refused(format!("Invalid value {text} for MaxRecords. Must be between 20 and 100, inclusive."))
        })
    }
}

pub(super) fn flag(name: &str, text: &str) -> Result<bool, Refusal> {
    text.parse().map_err(|_| value_refused(format!("Invalid value for the parameter {name}: {text}.")))
}

/// A DB instance's or DB snapshot's identifier, in lower case as AWS keeps it.
pub(super) fn identifier(parameter: &str, text: &str, longest: usize) -> Result<String, Refusal> {
    let allowed = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let shaped = text.starts_with(|first: char| first.is_ascii_alphabetic()) && !text.ends_with('-');
    if !allowed || !shaped || text.contains("--") || text.len() > longest {
        return Err(value_refused(format!(
            "The parameter {parameter} is not a valid identifier. Identifiers must begin with a letter; must contain \
             only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive \
             hyphens."
        )));
    }
    Ok(text.to_ascii_lowercase())
}

/// `InvalidParameterValue`.
pub(super) fn value_refused(message: impl Into<String>) -> Refusal {
    Refusal::bad("InvalidParameterValue", message)
}

/// `InvalidParameterCombination`.
pub(super) fn combination_refused(message: impl Into<String>) -> Refusal {
    Refusal::bad("InvalidParameterCombination", message)
}

/// `InvalidDBInstanceState`.
pub(super) fn state_refused(message: impl Into<String>) -> Refusal {
    Refusal::bad("InvalidDBInstanceState", message)
}

pub(super) fn instance_not_found(identifier: &str) -> Refusal {
    Refusal::new(404, "DBInstanceNotFound", format!("DBInstance {identifier} not found."))
}

pub(super) fn snapshot_not_found(identifier: &str) -> Refusal {
    Refusal::new(404, "DBSnapshotNotFound", format!("DBSnapshot not found: {identifier}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_read() -> Result<(), Refusal> {
        let fields = json!({
            "Filters.Filter.1.Name": "engine",
            "Filters.Filter.1.Values.Value.1": "postgres",
            "Filters.Filter.1.Values.Value.2": "mysql",
            "Tags.Tag.1.Key": "a",
            "Tags.Tag.1.Value": "1",
            "Tags.Tag.2.Key": "b",
            "TagKeys.member.1": "a",
            "VpcSecurityGroupIds": "",
        });
        let form = Form(&fields);
        assert_eq!(form.filters(), [("engine", vec!["postgres", "mysql"])]);
        let tags = [("a", "1"), ("b", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(form.tags()?, Tags::from(tags));
        assert_eq!(form.list("TagKeys", "member"), ["a"]);
        assert!(form.has_list("VpcSecurityGroupIds", "VpcSecurityGroupId"));
        assert!(!form.has_list("EnableCloudwatchLogsExports", "member"));
        Ok(())
    }

    #[test]
    fn identifiers_are_judged_and_folded() {
        let longest = "x".repeat(63);
        let cases = [
            ("orders", Some("orders")),
            ("Orders-2", Some("orders-2")),
            (&*longest, Some(&*longest)),
            ("", None),
            ("2orders", None),
            ("-orders", None),
            ("orders-", None),
            ("or--ders", None),
            ("or_ders", None),
            (&*"x".repeat(64), None),
        ];
        for (text, expected) in cases {
            assert_eq!(identifier("DBInstanceIdentifier", text, 63).ok().as_deref(), expected, "{text}");
        }
    }
}
