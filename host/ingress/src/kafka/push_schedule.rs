//! Estimates when a client's next telemetry request is due, so that at shutdown its connection closes while none is in
//! flight: an older Java client whose push is cut off stops sending telemetry for good (KAFKA-19747).

use std::time::Duration;

use tokio::time::Instant;

use barnabas_kafka_wire::api;

/// How long to wait for a further request if one was answered just before.
const FINAL_WAIT: Duration = Duration::from_millis(100);
/// How long to wait for a request that has already arrived on any other connection. Short: a Java client has several
/// connections to a host, and if the one it pushes through closes, it switches to another, which must be closed by
/// then.
const BRIEF_WAIT: Duration = Duration::from_millis(20);
/// For this long after an answer a new client may send the next request: ApiVersions, Metadata, then its first
/// subscription request.
const SETUP_WINDOW: Duration = Duration::from_secs(1);
/// The most time to wait for a request that is due.
const MAX_FINAL_WAIT: Duration = Duration::from_secs(2);
/// A request may be this much earlier or later than it is due, because of timers, the network and a busy client.
const SLACK: Duration = Duration::from_secs(1);

/// What is known about one client's schedule.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PushSchedule {
    interval: Duration,
    next: Option<ExpectedRequest>,
    /// When the last request of any kind was answered.
    last_answer: Option<Instant>,
}

/// The next request.
#[derive(Clone, Copy, Debug)]
struct ExpectedRequest {
    /// When the previous one was answered.
    answered: Instant,
    /// It follows that answer immediately.
    immediate: bool,
    earliest: Instant,
    latest: Instant,
}

impl PushSchedule {
    /// A subscription request was answered: Java's first push follows after 0.5 to 1.5 intervals (KIP-714).
    pub(crate) fn subscription_answered(&mut self, now: Instant, interval: Duration) {
        self.interval = interval;
        let (earliest, latest) = (now + interval / 2, now + interval.saturating_mul(3) / 2);
        self.next = Some(ExpectedRequest { answered: now, immediate: false, earliest, latest });
    }

    /// A push was answered: the next request follows after an interval, or immediately if the client needs a new
    /// subscription.
    pub(crate) fn push_answered(&mut self, now: Instant, error: i16) {
        // A Java client pushes through one connection and may have requested its subscription on another.
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

    /// How long to wait for a further request before the connection closes, in a shutdown that began at `since`.
    pub(crate) fn final_wait(&self, now: Instant, since: Instant) -> Duration {
        // By then the client's other connections are closed, so it cannot switch to them when this one closes.
        let calm = since + FINAL_WAIT + BRIEF_WAIT;
        match self.next {
            // No request is in flight now, and the longer the wait, the more likely one will be.
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
        assert_eq!(rhythm.final_wait(start, start), BRIEF_WAIT, "no request so far");
        rhythm.request_answered(start);
        assert_eq!(rhythm.final_wait(start, start), FINAL_WAIT, "a new client");
        assert_eq!(rhythm.final_wait(start + SETUP_WINDOW, start), BRIEF_WAIT, "no further request");
        rhythm.subscription_answered(start, MINUTE);
        rhythm.push_answered(start, api::NONE);
        let look = |at: Instant| rhythm.final_wait(at, at);
        assert_eq!(look(start + MINUTE / 2), BRIEF_WAIT, "not due yet");
        let near = start + MINUTE - FINAL_WAIT;
        assert!(near + look(near) > start + MINUTE, "due in a moment");
        assert_eq!(look(start + 2 * MINUTE), BRIEF_WAIT, "overdue for too long");
    }

    #[test]
    fn every_wait_is_bounded() {
        let (mut rhythm, start) = (PushSchedule::default(), Instant::now());
        rhythm.subscription_answered(start, MINUTE);
        let later = start + MINUTE;
        assert_eq!(rhythm.final_wait(later, later), MAX_FINAL_WAIT, "half a minute of jitter is left");
        rhythm.subscription_answered(start, SHORT);
        let moment = start + SHORT / 10;
        assert!(rhythm.final_wait(moment, moment) >= SHORT, "all of a short interval's jitter");
    }

    #[test]
    fn a_client_answered_during_shutdown_is_closed_once_its_other_connections_are() {
        let (mut rhythm, start) = (PushSchedule::default(), Instant::now());
        let calm = FINAL_WAIT + BRIEF_WAIT;
        rhythm.subscription_answered(start, MINUTE);
        rhythm.push_answered(start, api::NONE);
        assert_eq!(rhythm.final_wait(start, start), calm);
        assert_eq!(rhythm.final_wait(start + calm, start), Duration::ZERO);
        rhythm.push_answered(start, api::UNKNOWN_SUBSCRIPTION_ID);
        assert!(rhythm.final_wait(start, start) > calm, "it asks again immediately");
    }

    #[test]
    fn a_client_that_pushes_again_in_time_is_answered_once_more() {
        let (mut rhythm, start) = (PushSchedule::default(), Instant::now());
        rhythm.subscription_answered(start, SHORT);
        rhythm.push_answered(start, api::NONE);
        assert!(rhythm.final_wait(start, start) > SHORT);
        rhythm.push_answered(start + SHORT, api::NONE);
        assert!(rhythm.final_wait(start + SHORT, start) < SHORT / 2, "the next one is not due by then");
    }

    #[test]
    fn a_connection_without_a_subscription_request_learns_the_interval_from_the_pushes() {
        let (mut rhythm, start) = (PushSchedule::default(), Instant::now());
        rhythm.push_answered(start, api::NONE);
        rhythm.push_answered(start + MINUTE, api::NONE);
        let look = |at: Instant| rhythm.final_wait(at, at);
        assert_eq!(look(start + MINUTE * 3 / 2), BRIEF_WAIT);
        assert!(look(start + 2 * MINUTE) > FINAL_WAIT, "due now");
    }
}
