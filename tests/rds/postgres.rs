//! What is published is what a real PostgreSQL and a real client take.

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::postgres::Postgres;
use serde_json::json;

use crate::world::{Aws, World};

/// Every printable character that RDS takes.
fn nasty() -> String {
    (b'!'..=b'~').map(char::from).filter(|c| !r#"/"@"#.contains(*c)).collect()
}

#[tokio::test]
async fn a_published_url_opens_a_real_database() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let postgres = Postgres::start().await?;
    world.put_secret("own", &[("password", &nasty())]).await?;
    for (name, spec) in [
        ("generated", json!({ "masterUsername": "generated" })),
        (
            "nasty",
            json!({ "masterUsername": "nasty", "dbName": "nasty", "credentials": { "secretRef": { "name": "own" } } }),
        ),
    ] {
        world.create(name, spec).await?;
        world.in_sync(name).await?;
        let secret = world.secret(name).await?.context("the connection")?;
        let (user, password) = (&secret["DB_USER"], &secret["DB_PASSWORD"]);
        ensure!(world.password(name)? == *password, "AWS has another password");
        postgres.create_role(user, password).await?;
        let there = format!("{}:{}", secret["DB_HOST"], secret["DB_PORT"]);
        let url = secret["DATABASE_URL"].replace(&there, &format!("127.0.0.1:{}", postgres.port()));
        ensure!(url != secret["DATABASE_URL"], "{url} names another host than {there}");
        let database = &secret["DB_NAME"];
        let answer = postgres.query(&url, "select current_user, current_database()").await?;
        ensure!(answer == format!("{user}|{database}"), "{answer}");
        let wrong = url.replacen(&format!("{user}:"), &format!("{user}:x"), 1);
        ensure!(postgres.query(&wrong, "select 1").await.is_err(), "any password is taken");
    }
    Ok(())
}
