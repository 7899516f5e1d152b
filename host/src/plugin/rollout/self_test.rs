//! A candidate's first pushes: recent ones, or samples, with nothing leaving the host and nothing kept.

use std::sync::Arc;

use crate::admission::Admitted;
use crate::capability::egress::RequestCapture;
use crate::decode::{Decoded, Decoder, Payload};
use crate::dispatch::{Outcome, Slot};
use crate::messages::count_noun;
use crate::plugin::instance::Blueprint;
use crate::plugin::trial::TrialSession;
use crate::push::sample::SampleClient;

/// Most pushes that a candidate is tried on.
const MAX_PUSHES: usize = 16;

/// Recent pushes that the slot wants, else recorded ones; and in words which.
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

/// Starts an instance of its own, offers the pushes, stops it. On the guests' runtime.
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
        return Err(format!("it broke when it was stopped: {broken}"));
    }
    let (pushes, requests) = (count_noun(given, &format!("{which} push")), count_noun(requests, "request"));
    Ok(format!("{verdict} {pushes}, {requests} captured, {} µs of CPU", tried.export.cpu_us))
}

/// `excused`: a captured request was answered with a failure that a destination had given before. `denied`: a destination
/// was refused, and which one.
fn check_outcome(
    outcome: Result<Outcome, String>,
    replayed_failure: bool,
    denied: Option<&str>,
) -> Result<&'static str, String> {
    match outcome? {
        Outcome::Taken => Ok("took"),
        // Not wrong of it: the host halves a batch that is too large.
        Outcome::TooLarge => Ok("finds too large, as one batch,"),
        Outcome::Faulted(fault, message) => Err(format!("it broke ({}): {message}", fault.name())),
        Outcome::Partial { rejected, .. } if !rejected.is_empty() => {
            let reason = rejected.into_iter().next().map(|(_, reason)| reason).unwrap_or_default();
            Err(format!("it rejected a push that other receivers take: {reason}"))
        }
        _ if replayed_failure => Ok("was answered as its destination answered last, with a failure, for"),
        Outcome::Unavailable { reason, .. } | Outcome::Rejected(reason) | Outcome::Other(reason)
            if denied.is_some() =>
        {
            Err(format!("it did not take the pushes: {reason}"))
        }
        Outcome::Unavailable { reason, .. } | Outcome::Rejected(reason) | Outcome::Other(reason) => {
            Err(format!("it did not take the pushes although every request was answered well: {reason}"))
        }
        Outcome::Partial { .. } => Err(match denied {
            Some(denied) => format!("it asks for pushes again: {denied}"),
            None => "it asks for pushes again although every request was answered well".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Fault;

    #[test]
    fn outcomes_that_a_candidate_may_have() {
        let unavailable = || Outcome::Unavailable { retry_after: None, reason: "503".into() };
        assert!(check_outcome(Ok(Outcome::Taken), false, None).is_ok());
        assert!(check_outcome(Ok(Outcome::TooLarge), false, None).is_ok());
        assert!(check_outcome(Ok(unavailable()), true, None).is_ok(), "the destination's doing");
        assert!(check_outcome(Ok(unavailable()), false, None).unwrap_err().contains("503"));
        assert!(
            check_outcome(Ok(Outcome::Faulted(Fault::Trap, "unreachable".into())), true, None)
                .unwrap_err()
                .contains("(trap)")
        );
        let partial = |rejected: Vec<(u32, String)>| Outcome::Partial { rejected, retry: vec![], retry_after: None };
        assert!(check_outcome(Ok(partial(vec![(0, "no".into())])), true, None).unwrap_err().contains("no"));
        let denied = check_outcome(Ok(unavailable()), false, Some("it asked for a:1; granted are b:1")).unwrap_err();
        assert_eq!(denied, "it did not take the pushes: 503", "nothing was answered, and the reason names it");
        let retry = Outcome::Partial { rejected: vec![], retry: vec![0], retry_after: None };
        let denied = check_outcome(Ok(retry), false, Some("it asked for a:1; granted are b:1")).unwrap_err();
        assert_eq!(denied, "it asks for pushes again: it asked for a:1; granted are b:1");
        assert!(check_outcome(Err("it refused to start".into()), true, None).is_err());
    }
}
