//! The self-test stage: the candidate exports recent pushes, or samples, with its requests captured and its state
//! discarded.

use std::sync::Arc;

use barnabas_base::messages::count_noun;
use barnabas_pipeline::admission::Admitted;
use barnabas_pipeline::decode::{Decoded, Decoder, Payload};
use barnabas_pipeline::dispatch::{Outcome, Slot};
use barnabas_pipeline::push::sample::SampleClient;
use barnabas_runtime::capability::egress::RequestCapture;
use barnabas_runtime::instance::Blueprint;
use barnabas_runtime::trial::TrialSession;

/// Maximum number of pushes in a self-test.
const MAX_PUSHES: usize = 16;

/// Selects recent pushes that match the slot, or recorded samples if there are none; and says which.
pub(crate) fn select_pushes(slot: &Slot, recent: Vec<Arc<Payload>>) -> (Vec<Arc<Payload>>, &'static str) {
    let recent: Vec<_> = recent.into_iter().filter(|payload| slot.wants(payload)).take(MAX_PUSHES).collect();
    if !recent.is_empty() {
        return (recent, "recent");
    }
    let samples =
        [SampleClient::Java, SampleClient::Librdkafka].into_iter().filter_map(|sample| {
            match Decoder::default().decode(Admitted::declared(sample.push()).ok()?).ok()? {
                Decoded::Payload(payload) => Some(Arc::new(payload)),
                Decoded::Empty => None,
            }
        });
    (samples.collect(), "recorded")
}

/// Starts a separate instance, exports the pushes and stops it. Runs on the guests' runtime.
pub(crate) async fn run(
    blueprint: Blueprint,
    captured: Arc<RequestCapture>,
    (pushes, which): (Vec<Arc<Payload>>, &str),
) -> Result<String, String> {
    let given = pushes.len();
    let mut session = TrialSession::new(blueprint);
    let tried = session.offer(&pushes).await;
    let stop_failure = session.stop().await;
    let (requests, more) = captured.take();
    let requests = requests.len() + more;
    let excused = captured.failures() > 0;
    let verdict = check_outcome(tried.outcome, excused, tried.denied_destination.as_deref())?;
    if let Some(broken) = stop_failure {
        return Err(format!("it failed in `stop`: {broken}"));
    }
    let (pushes, requests) = (count_noun(given, &format!("{which} push")), count_noun(requests, "request"));
    Ok(format!("{verdict} {pushes}, {requests} captured, {} µs of CPU", tried.export.cpu_us))
}

/// Judges the outcome of the self-test. `replayed_failure`: a captured request was answered with a recorded failure of
/// its destination. `denied`: the destination that was denied, if any.
fn check_outcome(
    outcome: Result<Outcome, String>,
    replayed_failure: bool,
    denied: Option<&str>,
) -> Result<&'static str, String> {
    match outcome? {
        Outcome::Taken => Ok("accepted"),
        // Not an error: the host splits a batch that is too large.
        Outcome::TooLarge => Ok("found too large, as one batch,"),
        Outcome::Faulted(fault, message) => Err(format!("it failed ({}): {message}", fault.name())),
        Outcome::Partial { rejected, .. } if !rejected.is_empty() => {
            let reason = rejected.into_iter().next().map(|(_, reason)| reason).unwrap_or_default();
            Err(format!("it rejected a push that other receivers accept: {reason}"))
        }
        _ if replayed_failure => Ok("failed, as its destination's last response was a failure, on"),
        Outcome::Unavailable { reason, .. } | Outcome::Rejected(reason) | Outcome::Other(reason)
            if denied.is_some() =>
        {
            Err(format!("it did not accept the pushes: {reason}"))
        }
        Outcome::Unavailable { reason, .. } | Outcome::Rejected(reason) | Outcome::Other(reason) => {
            Err(format!("it did not accept the pushes although every request succeeded: {reason}"))
        }
        Outcome::Partial { .. } => Err(match denied {
            Some(denied) => format!("it asks for redelivery: {denied}"),
            None => "it asks for redelivery although every request succeeded".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use barnabas_pipeline::dispatch::Fault;

    #[test]
    fn outcomes_that_a_candidate_may_have() {
        let unavailable = || Outcome::Unavailable { retry_after: None, reason: "503".into() };
        assert!(check_outcome(Ok(Outcome::Taken), false, None).is_ok());
        assert!(check_outcome(Ok(Outcome::TooLarge), false, None).is_ok());
        assert!(check_outcome(Ok(unavailable()), true, None).is_ok(), "the failure is the destination's");
        assert!(check_outcome(Ok(unavailable()), false, None).unwrap_err().contains("503"));
        assert!(
            check_outcome(Ok(Outcome::Faulted(Fault::Trap, "unreachable".into())), true, None)
                .unwrap_err()
                .contains("(trap)")
        );
        let partial = |rejected: Vec<(u32, String)>| Outcome::Partial { rejected, retry: vec![], retry_after: None };
        assert!(check_outcome(Ok(partial(vec![(0, "no".into())])), true, None).unwrap_err().contains("no"));
        let denied = check_outcome(Ok(unavailable()), false, Some("it requested a:1; the grants are b:1")).unwrap_err();
        assert_eq!(
            denied, "it did not accept the pushes: 503",
            "no request was sent, and the reason names the destination"
        );
        let retry = Outcome::Partial { rejected: vec![], retry: vec![0], retry_after: None };
        let denied = check_outcome(Ok(retry), false, Some("it requested a:1; the grants are b:1")).unwrap_err();
        assert_eq!(denied, "it asks for redelivery: it requested a:1; the grants are b:1");
        assert!(check_outcome(Err("it refused to start".into()), true, None).is_err());
    }
}
