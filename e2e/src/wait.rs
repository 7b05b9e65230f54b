//! Owns waiting: a condition is polled until it holds or a timeout expires.

use std::{future::Future, time::Duration};

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep, timeout_at};

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Polls `probe` until it yields a value.
///
/// `Ok(None)` and errors both mean "not yet". The message after the timeout contains the last error, so a probe that
/// knows the reason returns it with `bail!`.
pub async fn eventually<T, F, Fut>(condition: &str, within: Duration, mut probe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + within;
    let mut pause = SHORTEST_PAUSE;
    let mut last_seen = String::from("no answer yet");
    loop {
        match timeout_at(deadline, probe()).await {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => "not there yet".clone_into(&mut last_seen),
            Ok(Err(error)) => last_seen = format!("{error:#}"),
            Err(_) => {}
        }
        if Instant::now() + pause >= deadline {
            bail!("gave up waiting for {condition} after {within:?}; last seen: {last_seen}");
        }
        sleep(pause).await;
        pause = (pause + pause / 4).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn yields_the_value_when_it_appears() {
        let calls = Cell::new(0);
        let seen = eventually("three calls", Duration::from_secs(5), || async {
            calls.set(calls.get() + 1);
            Ok((calls.get() == 3).then_some(calls.get()))
        })
        .await
        .unwrap();
        assert_eq!(seen, 3);
    }

    #[tokio::test]
    async fn the_error_names_the_condition_and_the_last_state() {
        let error = eventually::<(), _, _>("the namespace", Duration::from_millis(120), || async {
            bail!("its phase is Terminating")
        })
        .await
        .unwrap_err()
        .to_string();
        assert!(error.contains("the namespace"), "{error}");
        assert!(error.contains("its phase is Terminating"), "{error}");
    }

    #[tokio::test]
    async fn a_probe_that_hangs_ends_with_the_timeout() {
        let hung = eventually::<(), _, _>("an answer", Duration::from_millis(120), || async {
            std::future::pending::<()>().await;
            Ok(None)
        });
        assert!(hung.await.is_err());
    }
}
