use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::dispatch::{Delivery, Fault};
use crate::plugin::testing::{self, Guest, payload};

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(30);

/// Limits that no test meets by accident, however slow the machine.
fn wide() -> Limits {
    Limits { memory: 1 << 20, cpu: LONG, deadline: LONG, start: LONG, stop: LONG }
}

fn batch(pushes: usize) -> LentBatch {
    let delivery = |n: usize| Delivery { payload: Arc::new(payload(&format!("c{n}"), n + 1)), attempt: 1 };
    LentBatch { deliveries: (0..pushes).map(delivery).collect(), gone: Arc::default() }
}

async fn started(guest: Guest, limits: Limits) -> Instance {
    Instance::start(&guest.blueprint(limits)).await.unwrap_or_else(|error| panic!("{error}")).0
}

async fn refused(guest: Guest, limits: Limits) -> StartError {
    match Instance::start(&guest.blueprint(limits)).await {
        Err(error) => error,
        Ok(_) => panic!("it started"),
    }
}

async fn broken(export: &'static str, limits: Limits) -> (Fault, String) {
    let answer = started(Guest { export, ..Guest::default() }, limits).await.export(batch(1)).await;
    assert!(answer.instance.is_none(), "what broke is not called again");
    match answer.outcome {
        Outcome::Faulted(fault, message) => (fault, message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_instance_takes_batch_after_batch() {
    let mut instance = started(Guest::default(), wide()).await;
    // More often than a Store may hold handles: each call leaves none behind.
    for _ in 0..HANDLES + 10 {
        let answer = instance.export(batch(2)).await;
        assert_eq!(answer.outcome, Outcome::Taken);
        instance = answer.instance.expect("it is well");
    }
    instance.stop().await.unwrap();
}

#[tokio::test]
async fn answers_are_outcomes() {
    let other = started(Guest { export: testing::OTHER, ..Guest::default() }, wide()).await;
    let answer = other.export(batch(1)).await;
    assert_eq!(answer.outcome, Outcome::Other(testing::WORDS.into()));
    assert!(answer.instance.is_some(), "a receiver that says no is well");
    let large = started(Guest { export: testing::TOO_LARGE, ..Guest::default() }, wide()).await;
    assert_eq!(large.export(batch(1)).await.outcome, Outcome::TooLarge);
}

#[tokio::test]
async fn a_guest_sees_the_batch_and_nothing_beyond() {
    // Traps unless there are three pushes, of which the last has three points.
    let looks = "(if (i32.ne (call $len (local.get $batch)) (i32.const 3)) (then (unreachable)))
        (if (i32.ne (call $points (local.get $batch) (i32.const 2)) (i32.const 3)) (then (unreachable)))
        (local.set $answer (i32.const 192))";
    let instance = started(Guest { export: looks, ..Guest::default() }, wide()).await;
    assert_eq!(instance.export(batch(3)).await.outcome, Outcome::Taken);
    let beyond = "(drop (call $points (local.get $batch) (i32.const 1)))";
    let (fault, message) = broken(beyond, wide()).await;
    assert_eq!((fault, message.as_str()), (Fault::Trap, "the receiver asked for push 1 of a batch of 1"));
}

#[tokio::test]
async fn a_trap_is_named() {
    let (fault, message) = broken(testing::TRAP, wide()).await;
    assert_eq!(fault, Fault::Trap);
    assert!(message.contains("unreachable"), "{message}");
    let says_why = "(call $fault (i32.const 32) (i32.const 18)) (unreachable)";
    assert_eq!(broken(says_why, wide()).await, (Fault::Trap, testing::WORDS.into()));
}

#[tokio::test]
async fn how_an_instance_broke_stands_behind_its_lines() {
    let says_why = "(call $log (i32.const 2) (i32.const 32) (i32.const 5))
        (call $fault (i32.const 32) (i32.const 18)) (unreachable)";
    let blueprint = Guest { export: says_why, ..Guest::default() }.blueprint(wide());
    let (instance, _) = Instance::start(&blueprint).await.unwrap();
    assert!(instance.export(batch(1)).await.instance.is_none());
    let lines: Vec<_> = blueprint.log.recent().into_iter().map(|line| (line.level, line.text)).collect();
    let broke = format!("broke (trap): {}", testing::WORDS);
    assert_eq!(lines, [("info", "words".to_owned()), ("error", broke)]);

    let blueprint = Guest { start: testing::START_REFUSED, ..Guest::default() }.blueprint(wide());
    assert!(Instance::start(&blueprint).await.is_err());
    let lines: Vec<_> = blueprint.log.recent().into_iter().map(|line| line.text).collect();
    assert_eq!(lines, [format!("the receiver refused to start: {}", testing::WORDS)]);
}

#[test]
fn a_refused_destination_goes_with_whatever_the_guest_says() {
    let denied = Some("it asked for a:1; granted are b:1");
    let both = "no (it asked for a:1; granted are b:1)";
    let unavailable = |reason: &str| {
        let said = crate::contract::wit::exports::kafka_telemetry::receiver::export_metrics::Unavailability {
            retry_after_ms: None,
            reason: reason.into(),
        };
        outcome(Err(ExportError::Unavailable(said)), denied)
    };
    assert_eq!(unavailable("no").reason(), Some(both));
    assert_eq!(unavailable("").reason(), denied, "a guest need not know why");
    assert_eq!(outcome(Err(ExportError::Other("no".into())), denied), Outcome::Other(both.into()));
    assert_eq!(outcome(Err(ExportError::Rejected("no".into())), denied), Outcome::Rejected(both.into()));
    assert_eq!(outcome(Err(ExportError::Other("no\n\u{1b}[2J".into())), None).reason(), Some(r"no \u{1b}[2J"));
    let long = outcome(Err(ExportError::Other("x".repeat(9_999))), denied);
    assert!(long.reason().unwrap().ends_with("x… (it asked for a:1; granted are b:1)"));
}

#[tokio::test]
async fn a_batch_that_is_kept_breaks_the_instance() {
    let instance = started(Guest { gives_back: false, ..Guest::default() }, wide()).await;
    let answer = instance.export(batch(1)).await;
    assert!(matches!(answer.outcome, Outcome::Faulted(Fault::Trap, _)), "{:?}", answer.outcome);
}

#[tokio::test]
async fn cpu_limit_obeyed() {
    let counts = "(local $i i32) (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const 100000)))) (local.set $answer (i32.const 192))";
    let instance = started(Guest { export: counts, ..Guest::default() }, wide()).await;
    assert_eq!(instance.export(batch(1)).await.outcome, Outcome::Taken);
}

#[tokio::test]
async fn cpu_limit_violated() {
    let (fault, message) = broken(testing::SPIN, Limits { cpu: SHORT, ..wide() }).await;
    assert_eq!((fault, message.as_str()), (Fault::CpuLimit, "used more CPU time than its limit"));
}

#[tokio::test]
async fn deadline_violated_by_a_guest_that_is_never_idle() {
    let (fault, _) = broken(testing::SPIN, Limits { deadline: SHORT, ..wide() }).await;
    assert_eq!(fault, Fault::Deadline);
}

#[tokio::test]
async fn a_guest_that_spins_lets_others_run() {
    let spinning = started(Guest { export: testing::SPIN, ..Guest::default() }, wide()).await;
    let spinning = tokio::spawn(spinning.export(batch(1)));
    // On this test's single thread, the second instance gets its turn only because the first yields.
    let other = started(Guest::default(), wide()).await;
    assert_eq!(other.export(batch(1)).await.outcome, Outcome::Taken);
    assert!(!spinning.is_finished());
    spinning.abort();
}

#[tokio::test]
async fn memory_limit_obeyed() {
    let grow = "(drop (memory.grow (i32.const 3))) (local.set $answer (i32.const 192))";
    let limits = Limits { memory: 5 * 65_536, ..wide() };
    let answer = started(Guest { export: grow, ..Guest::default() }, limits).await.export(batch(1)).await;
    assert_eq!(answer.outcome, Outcome::Taken);
    assert!(answer.memory_peak >= 4 * 65_536, "{}", answer.memory_peak);
}

#[tokio::test]
async fn memory_limit_violated() {
    let (fault, message) = broken(testing::GROW, wide()).await;
    assert_eq!(fault, Fault::MemoryLimit);
    assert!(message.contains("refused memory beyond its limit of 1048576 bytes"), "{message}");
    let none = refused(Guest::default(), Limits { memory: 1, ..wide() }).await;
    assert!(matches!(none, StartError::Broke(Broken { fault: Fault::MemoryLimit, .. })), "{none}");
}

#[tokio::test]
async fn a_start_can_fail_in_every_way() {
    let says_no = refused(Guest { start: testing::START_REFUSED, ..Guest::default() }, wide()).await;
    assert_eq!(says_no.to_string(), format!("the receiver refused to start: {}", testing::WORDS));
    let spins = Guest { start: "(loop $spin (br $spin)) (i32.const 128)", ..Guest::default() };
    let spins = refused(spins, Limits { start: SHORT, ..wide() }).await;
    assert!(matches!(spins, StartError::Broke(Broken { fault: Fault::CpuLimit | Fault::Deadline, .. })), "{spins}");
    let traps = refused(Guest { start: testing::TRAP, ..Guest::default() }, wide()).await;
    assert!(matches!(traps, StartError::Broke(Broken { fault: Fault::Trap, .. })), "{traps}");
    let other = refused(Guest { content_type: "JSON", ..Guest::default() }, wide()).await;
    assert_eq!(other.to_string(), "the receiver accepts `JSON` and this host delivers `OTLP`");
}

#[tokio::test]
async fn what_a_guest_reports_comes_with_its_answer() {
    let reports = "(call $misconfigured (i32.const 32) (i32.const 5))
        (call $rejected (i64.const 3) (i32.const 32) (i32.const 18))
        (call $rejected (i64.const 4) (i32.const 32) (i32.const 8))
        (call $log (i32.const 1) (i32.const 32) (i32.const 18))
        (local.set $answer (i32.const 192))";
    let blueprint = Guest { export: reports, ..Guest::default() }.blueprint(wide());
    let (instance, _) = Instance::start(&blueprint).await.unwrap();
    let answer = instance.export(batch(1)).await;
    let said = GuestReport {
        last_line: None,
        fault: None,
        misconfigured: Some("words".into()),
        rejected_points: 7,
        rejected_reason: "words of".into(),
    };
    assert_eq!(answer.said, said);
    let lines: Vec<_> = blueprint.log.recent().into_iter().map(|line| (line.level, line.text)).collect();
    assert_eq!(lines, [("warn", testing::WORDS.to_owned())]);
    let again = answer.instance.unwrap().export(batch(1)).await;
    assert_eq!(again.said.rejected_points, 7, "each call for itself");
}

#[tokio::test]
async fn stop_has_its_own_limit() {
    let spins = started(Guest { stop: testing::SPIN, ..Guest::default() }, Limits { stop: SHORT, ..wide() }).await;
    let broken = spins.stop().await.unwrap_err();
    assert!(matches!(broken.fault, Fault::CpuLimit | Fault::Deadline), "{broken}");
}

#[tokio::test]
async fn instances_beyond_the_pool_are_made_on_demand() {
    let blueprint = Guest::default().blueprint(wide());
    let mut all = Vec::new();
    for _ in 0..300 {
        all.push(Instance::start(&blueprint).await.unwrap_or_else(|error| panic!("{error}")).0);
    }
    for instance in all {
        assert_eq!(instance.export(batch(1)).await.outcome, Outcome::Taken);
    }
}
