//! Many alterations at once.

use super::super::alter_request::MAX_FORECASTS;
use super::super::bounds;
use super::*;

fn changes(count: usize) -> Vec<SubscriptionChange> {
    let change = |n| SubscriptionChange { name: format!("n{n}"), ops: vec![set("metrics", &format!("m{n}."))] };
    (0..count).map(change).collect()
}

/// What is said of each.
async fn messages(count: usize) -> Vec<String> {
    let (book, admission) = subscriptions();
    first_get(&admission);
    let done = book.alter_all("somebody".into(), changes(count), false).await;
    done.into_iter().map(|altered| altered.unwrap().message.unwrap()).collect()
}

#[tokio::test]
async fn limit_of_forecasts_obeyed() {
    let told = messages(MAX_FORECASTS).await;
    assert!(told.iter().all(|words| words.starts_with("1 of 1 connected client matches")), "{told:?}");
}

#[tokio::test]
async fn limit_of_forecasts_violated() {
    let told = messages(MAX_FORECASTS + 1).await;
    assert_eq!(told.len(), MAX_FORECASTS + 1);
    let said = "whom it reaches is told where at most 16 are altered at once";
    assert!(told.iter().all(|words| words == said), "{told:?}");
}

/// Whether each of so many changes with a heavy pattern can be done; nothing is kept of them.
async fn accepted(count: impl FnOnce(usize) -> usize) -> Vec<bool> {
    let (book, _) = subscriptions();
    let heavy = |name: String| SubscriptionChange { name, ops: vec![set("match", "client_id=[a-z]{9000}")] };
    let fit = {
        alter(&book, "heavy", &heavy(String::new()).ops);
        bounds::MAX_PATTERNS_BYTES / book.snapshot()["heavy"].patterns
    };
    alter(&book, "heavy", &[delete("match")]);
    let changes = (0..count(fit)).map(|n| heavy(n.to_string())).collect();
    book.alter_all("somebody".into(), changes, true).await.iter().map(Result::is_ok).collect()
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
async fn who_waits_too_long_for_a_turn_is_told_to_try_again() {
    let (book, _) = subscriptions();
    let turn = book.0.queue.clone().lock_owned().await;
    let done = book.alter_all("somebody".into(), changes(2), false).await;
    assert!(matches!(&done[..], [Err(AlterError::Busy(_)), Err(AlterError::Busy(_))]), "{done:?}");
    drop(turn);
    assert!(book.alter_all("somebody".into(), changes(1), false).await[0].is_ok());
}

#[test]
fn nothing_more_is_begun_once_nobody_waits() {
    let (book, _) = subscriptions();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // The first change cannot go on before the asker has left.
    let held = lock(&book.0.turn);
    let asking = book.alter_all("somebody".into(), changes(9), false);
    let left = runtime.block_on(async { tokio::time::timeout(Duration::from_millis(100), asking).await });
    assert!(left.is_err());
    drop(held);
    drop(runtime.block_on(book.0.queue.lock()));
    assert!(book.list().len() <= 1, "{:?}", book.list());
}
