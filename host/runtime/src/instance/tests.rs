use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::testing;
use crate::testing::{TestGuest, payload};
use barnabas_pipeline::dispatch::{Delivery, Fault};

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(30);

/// Limits that no test reaches by accident, even on a slow machine.
fn ample_limits() -> InstanceLimits {
    InstanceLimits { memory: 1 << 20, cpu: LONG, deadline: LONG, start: LONG, stop: LONG }
}

fn batch(pushes: usize) -> LentBatch {
    let delivery = |n: usize| Delivery { payload: Arc::new(payload(&format!("c{n}"), n + 1)), attempt: 1 };
    LentBatch { deliveries: (0..pushes).map(delivery).collect(), gone: Arc::default() }
}

async fn started(guest: TestGuest, limits: InstanceLimits) -> ReceiverInstance {
    ReceiverInstance::start(&guest.blueprint(limits)).await.unwrap_or_else(|error| panic!("{error}")).0
}

async fn start_error(guest: TestGuest, limits: InstanceLimits) -> InstanceStartError {
    match ReceiverInstance::start(&guest.blueprint(limits)).await {
        Err(error) => error,
        Ok(_) => panic!("it started"),
    }
}

async fn export_failure(export: &'static str, limits: InstanceLimits) -> (Fault, String) {
    let answer = started(TestGuest { export, ..TestGuest::default() }, limits).await.export(batch(1)).await;
    assert!(answer.instance.is_none(), "a failed instance is not called again");
    match answer.outcome {
        Outcome::Faulted(fault, message) => (fault, message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_instance_exports_many_batches() {
    let mut instance = started(TestGuest::default(), ample_limits()).await;
    // More calls than a Store may have handles: no call may leak one.
    for _ in 0..MAX_HANDLES + 10 {
        let answer = instance.export(batch(2)).await;
        assert_eq!(answer.outcome, Outcome::Taken);
        instance = answer.instance.expect("it did not fail");
    }
    instance.stop().await.unwrap();
}

#[tokio::test]
async fn errors_of_the_receiver_become_outcomes() {
    let other = started(TestGuest { export: testing::OTHER, ..TestGuest::default() }, ample_limits()).await;
    let answer = other.export(batch(1)).await;
    assert_eq!(answer.outcome, Outcome::Other(testing::MESSAGE.into()));
    assert!(answer.instance.is_some(), "an error result does not break the instance");
    let large = started(TestGuest { export: testing::TOO_LARGE, ..TestGuest::default() }, ample_limits()).await;
    assert_eq!(large.export(batch(1)).await.outcome, Outcome::TooLarge);
}

#[tokio::test]
async fn a_guest_sees_the_batch_and_nothing_beyond() {
    // Traps unless there are three pushes, of which the last has three points.
    let looks = "(if (i32.ne (call $len (local.get $batch)) (i32.const 3)) (then (unreachable)))
        (if (i32.ne (call $points (local.get $batch) (i32.const 2)) (i32.const 3)) (then (unreachable)))
        (local.set $answer (i32.const 192))";
    let instance = started(TestGuest { export: looks, ..TestGuest::default() }, ample_limits()).await;
    assert_eq!(instance.export(batch(3)).await.outcome, Outcome::Taken);
    let beyond = "(drop (call $points (local.get $batch) (i32.const 1)))";
    let (fault, message) = export_failure(beyond, ample_limits()).await;
    assert_eq!((fault, message.as_str()), (Fault::Trap, "the receiver used the index 1 in a batch of 1 pushes"));
}

#[tokio::test]
async fn a_trap_is_reported_with_its_cause() {
    let (fault, message) = export_failure(testing::TRAP, ample_limits()).await;
    assert_eq!(fault, Fault::Trap);
    assert!(message.contains("unreachable"), "{message}");
    let says_why = "(call $fault (i32.const 32) (i32.const 18)) (unreachable)";
    assert_eq!(export_failure(says_why, ample_limits()).await, (Fault::Trap, testing::MESSAGE.into()));
}

#[tokio::test]
async fn a_failure_is_appended_to_the_log_of_the_receiver() {
    let says_why = "(call $log (i32.const 2) (i32.const 32) (i32.const 5))
        (call $fault (i32.const 32) (i32.const 18)) (unreachable)";
    let blueprint = TestGuest { export: says_why, ..TestGuest::default() }.blueprint(ample_limits());
    let (instance, _) = ReceiverInstance::start(&blueprint).await.unwrap();
    assert!(instance.export(batch(1)).await.instance.is_none());
    let lines: Vec<_> = blueprint.log.recent().into_iter().map(|line| (line.level, line.text)).collect();
    let broke = format!("failed (trap): {}", testing::MESSAGE);
    assert_eq!(lines, [("info", "words".to_owned()), ("error", broke)]);

    let blueprint = TestGuest { start: testing::START_REFUSED, ..TestGuest::default() }.blueprint(ample_limits());
    assert!(ReceiverInstance::start(&blueprint).await.is_err());
    let lines: Vec<_> = blueprint.log.recent().into_iter().map(|line| line.text).collect();
    assert_eq!(lines, [format!("the receiver refused to start: {}", testing::MESSAGE)]);
}

#[test]
fn a_denied_destination_is_added_to_every_reason() {
    let denied = Some("it requested a:1; the grants are b:1");
    let both = "no (it requested a:1; the grants are b:1)";
    let unavailable = |reason: &str| {
        let said = crate::contract::wit::exports::kafka_telemetry::receiver::export_metrics::Unavailability {
            retry_after_ms: None,
            reason: reason.into(),
        };
        to_outcome(Err(ExportError::Unavailable(said)), denied)
    };
    assert_eq!(unavailable("no").reason(), Some(both));
    assert_eq!(unavailable("").reason(), denied, "the guest gave no reason");
    assert_eq!(to_outcome(Err(ExportError::Other("no".into())), denied), Outcome::Other(both.into()));
    assert_eq!(to_outcome(Err(ExportError::Rejected("no".into())), denied), Outcome::Rejected(both.into()));
    assert_eq!(to_outcome(Err(ExportError::Other("no\n\u{1b}[2J".into())), None).reason(), Some(r"no \u{1b}[2J"));
    let long = to_outcome(Err(ExportError::Other("x".repeat(9_999))), denied);
    assert!(long.reason().unwrap().ends_with("x… (it requested a:1; the grants are b:1)"));
}

#[tokio::test]
async fn a_batch_that_is_not_dropped_breaks_the_instance() {
    let instance = started(TestGuest { drops_batch: false, ..TestGuest::default() }, ample_limits()).await;
    let answer = instance.export(batch(1)).await;
    assert!(matches!(answer.outcome, Outcome::Faulted(Fault::Trap, _)), "{:?}", answer.outcome);
}

#[tokio::test]
async fn cpu_limit_obeyed() {
    let counts = "(local $i i32) (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const 100000)))) (local.set $answer (i32.const 192))";
    let instance = started(TestGuest { export: counts, ..TestGuest::default() }, ample_limits()).await;
    assert_eq!(instance.export(batch(1)).await.outcome, Outcome::Taken);
}

#[tokio::test]
async fn cpu_limit_violated() {
    let (fault, message) = export_failure(testing::SPIN, InstanceLimits { cpu: SHORT, ..ample_limits() }).await;
    assert_eq!((fault, message.as_str()), (Fault::CpuLimit, "used more CPU time than its limit"));
}

#[tokio::test]
async fn deadline_violated_by_a_guest_that_is_never_idle() {
    let (fault, _) = export_failure(testing::SPIN, InstanceLimits { deadline: SHORT, ..ample_limits() }).await;
    assert_eq!(fault, Fault::Deadline);
}

#[tokio::test]
async fn a_guest_that_spins_lets_others_run() {
    let spinning = started(TestGuest { export: testing::SPIN, ..TestGuest::default() }, ample_limits()).await;
    let spinning = tokio::spawn(spinning.export(batch(1)));
    // On this test's single thread, the second instance runs only because the first yields.
    let other = started(TestGuest::default(), ample_limits()).await;
    assert_eq!(other.export(batch(1)).await.outcome, Outcome::Taken);
    assert!(!spinning.is_finished());
    spinning.abort();
}

#[tokio::test]
async fn memory_limit_obeyed() {
    let grow = "(drop (memory.grow (i32.const 3))) (local.set $answer (i32.const 192))";
    let limits = InstanceLimits { memory: 5 * 65_536, ..ample_limits() };
    let answer = started(TestGuest { export: grow, ..TestGuest::default() }, limits).await.export(batch(1)).await;
    assert_eq!(answer.outcome, Outcome::Taken);
    assert!(answer.memory_peak >= 4 * 65_536, "{}", answer.memory_peak);
}

#[tokio::test]
async fn memory_limit_violated() {
    let (fault, message) = export_failure(testing::GROW, ample_limits()).await;
    assert_eq!(fault, Fault::MemoryLimit);
    assert!(message.contains("denied memory beyond its limit of 1048576 bytes"), "{message}");
    let none = start_error(TestGuest::default(), InstanceLimits { memory: 1, ..ample_limits() }).await;
    assert!(matches!(none, InstanceStartError::Failed(InstanceFailure { fault: Fault::MemoryLimit, .. })), "{none}");
}

#[tokio::test]
async fn a_start_can_fail_in_every_way() {
    let says_no =
        start_error(TestGuest { start: testing::START_REFUSED, ..TestGuest::default() }, ample_limits()).await;
    assert_eq!(says_no.to_string(), format!("the receiver refused to start: {}", testing::MESSAGE));
    let spins = TestGuest { start: "(loop $spin (br $spin)) (i32.const 128)", ..TestGuest::default() };
    let spins = start_error(spins, InstanceLimits { start: SHORT, ..ample_limits() }).await;
    assert!(
        matches!(spins, InstanceStartError::Failed(InstanceFailure { fault: Fault::CpuLimit | Fault::Deadline, .. })),
        "{spins}"
    );
    let traps = start_error(TestGuest { start: testing::TRAP, ..TestGuest::default() }, ample_limits()).await;
    assert!(matches!(traps, InstanceStartError::Failed(InstanceFailure { fault: Fault::Trap, .. })), "{traps}");
    let other = start_error(TestGuest { content_type: "JSON", ..TestGuest::default() }, ample_limits()).await;
    assert_eq!(other.to_string(), "the receiver accepts `JSON` and this host delivers `OTLP`");
}

#[tokio::test]
async fn reports_of_a_guest_come_with_the_result() {
    let reports = "(call $misconfigured (i32.const 32) (i32.const 5))
        (call $rejected (i64.const 3) (i32.const 32) (i32.const 18))
        (call $rejected (i64.const 4) (i32.const 32) (i32.const 8))
        (call $log (i32.const 1) (i32.const 32) (i32.const 18))
        (local.set $answer (i32.const 192))";
    let blueprint = TestGuest { export: reports, ..TestGuest::default() }.blueprint(ample_limits());
    let (instance, _) = ReceiverInstance::start(&blueprint).await.unwrap();
    let answer = instance.export(batch(1)).await;
    let said = GuestReport {
        last_line: None,
        fault: None,
        misconfigured: Some("words".into()),
        rejected_points: 7,
        rejected_reason: "words of".into(),
    };
    assert_eq!(answer.reported, said);
    let lines: Vec<_> = blueprint.log.recent().into_iter().map(|line| (line.level, line.text)).collect();
    assert_eq!(lines, [("warn", testing::MESSAGE.to_owned())]);
    let again = answer.instance.unwrap().export(batch(1)).await;
    assert_eq!(again.reported.rejected_points, 7, "counted for each call separately");
}

#[tokio::test]
async fn stop_has_its_own_limit() {
    let spins = started(
        TestGuest { stop: testing::SPIN, ..TestGuest::default() },
        InstanceLimits { stop: SHORT, ..ample_limits() },
    )
    .await;
    let broken = spins.stop().await.unwrap_err();
    assert!(matches!(broken.fault, Fault::CpuLimit | Fault::Deadline), "{broken}");
}

#[tokio::test]
async fn instances_beyond_the_pool_are_made_on_demand() {
    let blueprint = TestGuest::default().blueprint(ample_limits());
    let mut all = Vec::new();
    for _ in 0..300 {
        all.push(ReceiverInstance::start(&blueprint).await.unwrap_or_else(|error| panic!("{error}")).0);
    }
    for instance in all {
        assert_eq!(instance.export(batch(1)).await.outcome, Outcome::Taken);
    }
}
