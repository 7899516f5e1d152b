//! When a client's next telemetry request is due, so that at shutdown its connection closes when none is under way: an
//! older Java client whose push is cut off falls silent for good (KAFKA-19747).

use std::time::Duration;

use tokio::time::Instant;

use barnabas_kafka_wire::api;

/// How long a connection on which something was just asked is looked at for what follows.
const FINAL_WAIT: Duration = Duration::from_millis(100);
/// How long any other is looked at for what is there already. Brief: Java has several connections to a host, and when
/// the one it pushes through closes it takes another, which must be gone by then.
const BRIEF_WAIT: Duration = Duration::from_millis(20);
/// So long after an answer the client may well go on: ApiVersions, Metadata, then its first question.
const SETUP_WINDOW: Duration = Duration::from_secs(1);
/// Most time that is spent on a request that is due.
const MAX_FINAL_WAIT: Duration = Duration::from_secs(2);
/// A request may be so much earlier or later than it is due: timers, the way, and a client that is kept busy.
const SLACK: Duration = Duration::from_secs(1);

/// What is known of one client's rhythm.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PushSchedule {
    interval: Duration,
    next: Option<ExpectedRequest>,
    /// When anything at all was answered.
    last_answer: Option<Instant>,
}

/// The next request.
#[derive(Clone, Copy, Debug)]
struct ExpectedRequest {
    /// When the one before it was answered.
    answered: Instant,
    /// It follows on the heels of that answer.
    immediate: bool,
    earliest: Instant,
    latest: Instant,
}

impl PushSchedule {
    /// A question for a subscription was answered: Java's first push comes after 0.5 to 1.5 intervals (KIP-714).
    pub(crate) fn subscription_answered(&mut self, now: Instant, interval: Duration) {
        self.interval = interval;
        let (earliest, latest) = (now + interval / 2, now + interval.saturating_mul(3) / 2);
        self.next = Some(ExpectedRequest { answered: now, immediate: false, earliest, latest });
    }

    /// A push was answered: the next request comes after an interval, or at once where the client has to ask again.
    pub(crate) fn push_answered(&mut self, now: Instant, error: i16) {
        // Java pushes through one connection and may have asked through another.
        if let (Duration::ZERO, Some(last)) = (self.interval, self.next) {
            self.interval = now - last.answered;
        }
        let at_once = matches!(error, api::UNKNOWN_SUBSCRIPTION_ID | api::UNSUPPORTED_COMPRESSION_TYPE);
        let due = now + if at_once { Duration::ZERO } else { self.interval };
        self.next = Some(ExpectedRequest { answered: now, immediate: at_once, earliest: due, latest: due });
    }

    /// Any request was answered.
    pub(crate) fn request_answered(&mut self, now: Instant) {
        self.last_answer = Some(now);
    }

    /// How long to look for one more request before the connection is closed, in a shutdown that began at `since`.
    pub(crate) fn final_wait(&self, now: Instant, since: Instant) -> Duration {
        // By then the client's other connections are closed, and it cannot turn to them when this one is.
        let calm = since + FINAL_WAIT + BRIEF_WAIT;
        match self.next {
            // Nothing is under way now, and the longer we wait the sooner something is.
            Some(next) if next.answered >= since && !next.immediate && next.earliest > calm + BRIEF_WAIT => {
                calm.saturating_duration_since(now)
            }
            Some(next) if next.earliest <= now + FINAL_WAIT + SLACK && now <= next.latest + SLACK => {
                (next.latest + SLACK).saturating_duration_since(now).clamp(FINAL_WAIT, MAX_FINAL_WAIT)
            }
            None if self.last_answer.is_some_and(|spoke| now < spoke + SETUP_WINDOW) => FINAL_WAIT,
            _ => BRIEF_WAIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(100);

    #[test]
    fn a_push_that_is_due_is_waited_for_and_no_other() {
        let (mut rhythm, start) = (PushSchedule::default(), Instant::now());
        assert_eq!(rhythm.final_wait(start, start), BRIEF_WAIT, "nothing is known");
        rhythm.request_answered(start);
        assert_eq!(rhythm.final_wait(start, start), FINAL_WAIT, "it has just begun to speak");
        assert_eq!(rhythm.final_wait(start + SETUP_WINDOW, start), BRIEF_WAIT, "it says no more");
        rhythm.subscription_answered(start, MINUTE);
        rhythm.push_answered(start, api::NONE);
        let look = |at: Instant| rhythm.final_wait(at, at);
        assert_eq!(look(start + MINUTE / 2), BRIEF_WAIT, "not due for long");
        let near = start + MINUTE - FINAL_WAIT;
        assert!(near + look(near) > start + MINUTE, "due in a moment");
        assert_eq!(look(start + 2 * MINUTE), BRIEF_WAIT, "it will not come any more");
    }

    #[test]
    fn nobody_is_waited_for_without_end() {
        let (mut rhythm, start) = (PushSchedule::default(), Instant::now());
        rhythm.subscription_answered(start, MINUTE);
        let later = start + MINUTE;
        assert_eq!(rhythm.final_wait(later, later), MAX_FINAL_WAIT, "half a minute of jitter is left");
        rhythm.subscription_answered(start, SHORT);
        let moment = start + SHORT / 10;
        assert!(rhythm.final_wait(moment, moment) >= SHORT, "all of a short interval's jitter");
    }

    #[test]
    fn who_was_answered_during_the_shutdown_is_let_go_once_its_other_connections_are() {
        let (mut rhythm, start) = (PushSchedule::default(), Instant::now());
        let calm = FINAL_WAIT + BRIEF_WAIT;
        rhythm.subscription_answered(start, MINUTE);
        rhythm.push_answered(start, api::NONE);
        assert_eq!(rhythm.final_wait(start, start), calm);
        assert_eq!(rhythm.final_wait(start + calm, start), Duration::ZERO);
        rhythm.push_answered(start, api::UNKNOWN_SUBSCRIPTION_ID);
        assert!(rhythm.final_wait(start, start) > calm, "it asks at once");
    }

    #[test]
    fn who_pushes_again_before_that_is_answered_once_more() {
        let (mut rhythm, start) = (PushSchedule::default(), Instant::now());
        rhythm.subscription_answered(start, SHORT);
        rhythm.push_answered(start, api::NONE);
        assert!(rhythm.final_wait(start, start) > SHORT);
        rhythm.push_answered(start + SHORT, api::NONE);
        assert!(rhythm.final_wait(start + SHORT, start) < SHORT / 2, "the next is not under way by then");
    }

    #[test]
    fn a_connection_that_saw_no_question_learns_the_interval_from_the_pushes() {
        let (mut rhythm, start) = (PushSchedule::default(), Instant::now());
        rhythm.push_answered(start, api::NONE);
        rhythm.push_answered(start + MINUTE, api::NONE);
        let look = |at: Instant| rhythm.final_wait(at, at);
        assert_eq!(look(start + MINUTE * 3 / 2), BRIEF_WAIT);
        assert!(look(start + 2 * MINUTE) > FINAL_WAIT, "due now");
    }
}
