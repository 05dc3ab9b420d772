//! Waiting for something to become true, with a deadline and a reason.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep, timeout_at};

/// How long to pause between two looks.
const PERIOD: Duration = Duration::from_millis(25);

/// Looks again and again until `check` answers `Ok`, at most for `deadline`.
///
/// `check` answers what it saw as `Err` while that is not yet what is awaited;
/// the last such answer is part of the error.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut check: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    let mut seen = String::from("nothing: the first look did not end");
    loop {
        match timeout_at(end, check()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(now)) => seen = now,
            Err(_) => bail!("waited {deadline:?} for {what}; last seen: {seen}"),
        }
        if Instant::now() + PERIOD >= end {
            bail!("waited {deadline:?} for {what}; last seen: {seen}");
        }
        sleep(PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_value_is_handed_back_once_it_is_there() -> Result<()> {
        let mut looks = 0;
        let value = eventually("a third look", Duration::from_secs(5), async || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(format!("look {looks}")) }
        })
        .await?;
        assert_eq!(value, 3);
        Ok(())
    }

    #[tokio::test]
    async fn a_timeout_names_what_was_awaited_and_what_was_seen() {
        let result: Result<()> = eventually("the moon", Duration::from_millis(60), async || Err("a star".into())).await;
        let text = result.map_or_else(|error| error.to_string(), |()| String::new());
        assert!(text.contains("the moon") && text.contains("a star"), "{text}");
    }

    #[tokio::test]
    async fn a_look_that_hangs_does_not_pass_the_deadline() {
        let result: Result<()> =
            eventually("nothing", Duration::from_millis(60), async || std::future::pending().await).await;
        assert!(result.is_err());
    }
}
