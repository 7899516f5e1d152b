//! Several alterations in one request.

use super::super::alter_request::MAX_FORECASTS;
use super::super::bounds;
use super::*;

fn changes(count: usize) -> Vec<SubscriptionChange> {
    let change = |n| SubscriptionChange { name: format!("n{n}"), ops: vec![set("metrics", &format!("m{n}."))] };
    (0..count).map(change).collect()
}

/// The message about each change.
async fn messages(count: usize) -> Vec<String> {
    let (book, admission) = subscriptions();
    first_get(&admission);
    let done = book.alter_all("User:test".into(), changes(count), false).await;
    done.into_iter().map(|altered| altered.unwrap().message.unwrap()).collect()
}

#[tokio::test]
async fn limit_of_forecasts_obeyed() {
    let outcome = messages(MAX_FORECASTS).await;
    assert!(outcome.iter().all(|words| words.starts_with("1 of 1 connected client matches")), "{outcome:?}");
}

#[tokio::test]
async fn limit_of_forecasts_violated() {
    let outcome = messages(MAX_FORECASTS + 1).await;
    assert_eq!(outcome.len(), MAX_FORECASTS + 1);
    let said = "the affected clients are counted only for at most 16 alterations in one request";
    assert!(outcome.iter().all(|words| words == said), "{outcome:?}");
}

/// Whether each of this many changes with a heavy pattern is accepted; none of them is stored.
async fn accepted(count: impl FnOnce(usize) -> usize) -> Vec<bool> {
    let (book, _) = subscriptions();
    let heavy = |name: String| SubscriptionChange { name, ops: vec![set("match", "client_id=[a-z]{9000}")] };
    let fit = {
        alter(&book, "heavy", &heavy(String::new()).ops);
        bounds::MAX_PATTERNS_BYTES / book.snapshot()["heavy"].patterns
    };
    alter(&book, "heavy", &[delete("match")]);
    let changes = (0..count(fit)).map(|n| heavy(n.to_string())).collect();
    book.alter_all("User:test".into(), changes, true).await.iter().map(Result::is_ok).collect()
}

#[tokio::test]
async fn limit_of_patterns_of_one_request_obeyed() {
    assert!(accepted(|fit| fit).await.iter().all(|done| *done));
}

#[tokio::test]
async fn limit_of_patterns_of_one_request_violated() {
    let done = accepted(|fit| fit + 2).await;
    assert_eq!((done.iter().filter(|done| !**done).count(), done.last()), (2, Some(&false)));
}

#[tokio::test(start_paused = true)]
async fn waiting_too_long_for_a_turn_is_answered_busy() {
    let (book, _) = subscriptions();
    let turn = book.0.queue.clone().lock_owned().await;
    let done = book.alter_all("User:test".into(), changes(2), false).await;
    assert!(matches!(&done[..], [Err(AlterError::Busy(_)), Err(AlterError::Busy(_))]), "{done:?}");
    drop(turn);
    assert!(book.alter_all("User:test".into(), changes(1), false).await[0].is_ok());
}

#[test]
fn no_further_change_starts_once_the_caller_is_gone() {
    let (book, _) = subscriptions();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // The first change cannot proceed before the caller is gone.
    let held = lock(&book.0.turn);
    let asking = book.alter_all("User:test".into(), changes(9), false);
    let left = runtime.block_on(async { tokio::time::timeout(Duration::from_millis(100), asking).await });
    assert!(left.is_err());
    drop(held);
    drop(runtime.block_on(book.0.queue.lock()));
    assert!(book.list().len() <= 1, "{:?}", book.list());
}
