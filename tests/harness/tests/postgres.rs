//! A real PostgreSQL takes the passwords and the URLs that clients are given.

use std::time::Duration;

use anyhow::{Context as _, Result};
use fairlead_harness::postgres::Postgres;
use fairlead_harness::process::Signal;

/// All that RDS takes: printable ASCII but `/`, `'`, `"`, `@` and the space.
fn every_character_of_rds() -> String {
    ('!'..='~').filter(|character| !"/'\"@".contains(*character)).collect()
}

/// As RFC 3986 has it: all but the unreserved characters are encoded.
fn encoded(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if unreserved(byte) { char::from(byte).into() } else { format!("%{byte:02X}") }).collect()
}

fn url(postgres: &Postgres, role: &str, password: &str) -> String {
    let (role, port) = (encoded(role), postgres.port());
    format!("postgres://{role}:{}@127.0.0.1:{port}/{role}", encoded(password))
}

#[tokio::test]
async fn a_role_logs_in_by_an_encoded_url_and_by_no_other_password() -> Result<()> {
    let postgres = Postgres::start().await?;
    let every = every_character_of_rds();
    for (role, password) in [
        ("plain", "abcDEF123"),
        ("nasty", r"p%:?#[]&=+$,;'!~^(){}|<>\*"),
        ("quotes", r#"''"\'"#),
        ("percent", "%41%"),
        ("every", &every),
        (r#"Or"d'er; x\"#, "abcDEF123"),
    ] {
        let case = || format!("{role}, {password}");
        postgres.create_role(role, password).await?;
        let url = url(&postgres, role, password);
        let asked = "select current_user, session_user, current_database()";
        assert_eq!(postgres.query(&url, asked).await.with_context(case)?, format!("{role}|{role}|{role}"));
        // The database is its own.
        postgres.query(&url, "create table orders (id int)").await.with_context(case)?;

        let wrong = self::url(&postgres, role, &format!("{password}x"));
        let refusal = postgres.query(&wrong, "select 1").await.map_err(|error| error.to_string());
        assert!(refusal.is_err_and(|said| said.contains("password authentication failed")), "{}", case());
    }
    Ok(())
}

#[tokio::test]
async fn what_psql_complains_of_is_in_the_error() -> Result<()> {
    let postgres = Postgres::start().await?;
    postgres.create_role("orders", "abcDEF123").await?;
    let port = postgres.port();
    for (url, sql, complaint) in [
        (url(&postgres, "orders", "abcDEF123"), "select 1; selec", "syntax error"),
        (url(&postgres, "nobody", "abcDEF123"), "select 1", "password authentication failed"),
        (format!("postgres://orders:abc%ZZ@127.0.0.1:{port}/orders"), "select 1", "invalid percent-encoded token"),
        (format!("postgres://orders@127.0.0.1:{port}/orders"), "select 1", "no password supplied"),
        ("orders".to_owned(), "select 1", "postgres://"),
    ] {
        let error = postgres.query(&url, sql).await.map_err(|error| error.to_string());
        assert!(error.as_ref().is_err_and(|said| said.contains(complaint)), "{url}, {sql}: {error:?}");
    }
    let again = postgres.create_role("orders", "abcDEF123").await.map_err(|error| format!("{error:#}"));
    assert!(again.is_err_and(|said| said.contains("already exists")));
    Ok(())
}

#[tokio::test]
async fn it_ends_with_all_that_it_started() -> Result<()> {
    let postgres = Postgres::start().await?;
    postgres.create_role("orders", "abcDEF123").await?;
    let port = postgres.port();
    drop(postgres);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());

    let postgres = Postgres::start().await?;
    postgres.process().signal(Signal::KILL)?;
    postgres.process().wait_exit(Duration::from_secs(10)).await?;
    Ok(())
}
