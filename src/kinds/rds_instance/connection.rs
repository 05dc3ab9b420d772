//! What applications need to reach the database. Pure.
//!
//! `DATABASE_URL` has the engine's usual scheme: `postgresql`, `mysql` (MariaDB, too), `sqlserver`, `oracle`,
//! `db2`; user, password and database are percent-encoded.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    creation::MASTER_USERNAME,
    desired::{Credentials, Desired},
    fields::{Field, number, text},
    observed::Observed,
};
use crate::engine::password::Password;

/// All that has a meaning in a URL, of whatever parser.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What applications need to reach the database. `None`: it can't be reached yet.
pub fn connection(
    observed: &Observed,
    desired: &Desired,
    password: Option<&Password>,
) -> Option<BTreeMap<String, String>> {
    let engine = desired.engine();
    let host = observed.host.clone()?;
    let port = number(&observed.values, Field::Port)?;
    let known = |field| text(&observed.values, field).or_else(|| text(&desired.fields, field));
    let user = known(Field::MasterUsername).unwrap_or(MASTER_USERNAME);
    // PostgreSQL always has this one.
    let database = known(Field::DbName).or_else(|| (engine == "postgres").then_some("postgres"));
    let mut data =
        BTreeMap::from([("DB_HOST", host.clone()), ("DB_PORT", port.to_string()), ("DB_USER", user.to_owned())]);
    data.extend(database.map(|database| ("DB_NAME", database.to_owned())));
    match (&desired.credentials, &observed.secret, password) {
        (Credentials::Managed(_), Some(secret), _) => drop(data.insert("DB_SECRET_ARN", secret.arn.clone())),
        // As long as AWS shows a secret of its own, the password there is the one that counts.
        (Credentials::Secret, None, Some(password)) => {
            data.insert("DB_PASSWORD", password.expose().to_owned());
            data.insert("DATABASE_URL", url(engine, &host, port, user, password, database));
        }
        _ => return None,
    }
    Some(data.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn url(engine: &str, host: &str, port: i32, user: &str, password: &Password, database: Option<&str>) -> String {
    let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let (user, password) = (encode(user), encode(password.expose()));
    let path = database.map(|database| format!("/{}", encode(database))).unwrap_or_default();
    format!("{}://{user}:{password}@{host}:{port}{path}", scheme(engine))
}

fn scheme(engine: &str) -> &str {
    match engine {
        "postgres" => "postgresql",
        "mysql" | "mariadb" => "mysql",
        engine => engine.split('-').next().unwrap_or(engine),
    }
}
