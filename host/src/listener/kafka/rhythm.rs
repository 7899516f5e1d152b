//! When a client's next telemetry request is due, so that at shutdown its connection closes when none is under way: an
//! older Java client whose push is cut off falls silent for good (KAFKA-19747).

use std::time::Duration;

use tokio::time::Instant;

use crate::kafka::api;

/// How long a connection on which something was just asked is looked at for what follows.
const LAST_LOOK: Duration = Duration::from_millis(100);
/// How long any other is looked at for what is there already. Brief: Java has several connections to a host, and when
/// the one it pushes through closes it takes another, which must be gone by then.
const BRIEF_LOOK: Duration = Duration::from_millis(20);
/// So long after an answer the client may well go on: ApiVersions, Metadata, then its first question.
const FRESH: Duration = Duration::from_secs(1);
/// Most time that is spent on a request that is due.
const LONGEST_LOOK: Duration = Duration::from_secs(2);
/// A request may be so much earlier or later than it is due: timers, the way, and a client that is kept busy.
const SLACK: Duration = Duration::from_secs(1);

/// What is known of one client's rhythm.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rhythm {
    interval: Duration,
    next: Option<Next>,
    /// When anything at all was answered.
    spoke: Option<Instant>,
}

/// The next request.
#[derive(Clone, Copy, Debug)]
struct Next {
    /// When the one before it was answered.
    answered: Instant,
    /// It follows on the heels of that answer.
    at_once: bool,
    earliest: Instant,
    latest: Instant,
}

impl Rhythm {
    /// A question for a subscription was answered: Java's first push comes after 0.5 to 1.5 intervals (KIP-714).
    pub(crate) fn asked(&mut self, now: Instant, interval: Duration) {
        self.interval = interval;
        let (earliest, latest) = (now + interval / 2, now + interval.saturating_mul(3) / 2);
        self.next = Some(Next { answered: now, at_once: false, earliest, latest });
    }

    /// A push was answered: the next request comes after an interval, or at once where the client has to ask again.
    pub(crate) fn pushed(&mut self, now: Instant, error: i16) {
        // Java pushes through one connection and may have asked through another.
        if let (Duration::ZERO, Some(last)) = (self.interval, self.next) {
            self.interval = now - last.answered;
        }
        let at_once = matches!(error, api::UNKNOWN_SUBSCRIPTION_ID | api::UNSUPPORTED_COMPRESSION_TYPE);
        let due = now + if at_once { Duration::ZERO } else { self.interval };
        self.next = Some(Next { answered: now, at_once, earliest: due, latest: due });
    }

    /// Any request was answered.
    pub(crate) fn spoke(&mut self, now: Instant) {
        self.spoke = Some(now);
    }

    /// How long to look for one more request before the connection is closed, in a shutdown that began at `since`.
    pub(crate) fn last_look(&self, now: Instant, since: Instant) -> Duration {
        // By then the client's other connections are closed, and it cannot turn to them when this one is.
        let calm = since + LAST_LOOK + BRIEF_LOOK;
        match self.next {
            // Nothing is under way now, and the longer we wait the sooner something is.
            Some(next) if next.answered >= since && !next.at_once && next.earliest > calm + BRIEF_LOOK => {
                calm.saturating_duration_since(now)
            }
            Some(next) if next.earliest <= now + LAST_LOOK + SLACK && now <= next.latest + SLACK => {
                (next.latest + SLACK).saturating_duration_since(now).clamp(LAST_LOOK, LONGEST_LOOK)
            }
            None if self.spoke.is_some_and(|spoke| now < spoke + FRESH) => LAST_LOOK,
            _ => BRIEF_LOOK,
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
        let (mut rhythm, start) = (Rhythm::default(), Instant::now());
        assert_eq!(rhythm.last_look(start, start), BRIEF_LOOK, "nothing is known");
        rhythm.spoke(start);
        assert_eq!(rhythm.last_look(start, start), LAST_LOOK, "it has just begun to speak");
        assert_eq!(rhythm.last_look(start + FRESH, start), BRIEF_LOOK, "it says no more");
        rhythm.asked(start, MINUTE);
        rhythm.pushed(start, api::NONE);
        let look = |at: Instant| rhythm.last_look(at, at);
        assert_eq!(look(start + MINUTE / 2), BRIEF_LOOK, "not due for long");
        let near = start + MINUTE - LAST_LOOK;
        assert!(near + look(near) > start + MINUTE, "due in a moment");
        assert_eq!(look(start + 2 * MINUTE), BRIEF_LOOK, "it will not come any more");
    }

    #[test]
    fn nobody_is_waited_for_without_end() {
        let (mut rhythm, start) = (Rhythm::default(), Instant::now());
        rhythm.asked(start, MINUTE);
        let later = start + MINUTE;
        assert_eq!(rhythm.last_look(later, later), LONGEST_LOOK, "half a minute of jitter is left");
        rhythm.asked(start, SHORT);
        let moment = start + SHORT / 10;
        assert!(rhythm.last_look(moment, moment) >= SHORT, "all of a short interval's jitter");
    }

    #[test]
    fn who_was_answered_during_the_shutdown_is_let_go_once_its_other_connections_are() {
        let (mut rhythm, start) = (Rhythm::default(), Instant::now());
        let calm = LAST_LOOK + BRIEF_LOOK;
        rhythm.asked(start, MINUTE);
        rhythm.pushed(start, api::NONE);
        assert_eq!(rhythm.last_look(start, start), calm);
        assert_eq!(rhythm.last_look(start + calm, start), Duration::ZERO);
        rhythm.pushed(start, api::UNKNOWN_SUBSCRIPTION_ID);
        assert!(rhythm.last_look(start, start) > calm, "it asks at once");
    }

    #[test]
    fn who_pushes_again_before_that_is_answered_once_more() {
        let (mut rhythm, start) = (Rhythm::default(), Instant::now());
        rhythm.asked(start, SHORT);
        rhythm.pushed(start, api::NONE);
        assert!(rhythm.last_look(start, start) > SHORT);
        rhythm.pushed(start + SHORT, api::NONE);
        assert!(rhythm.last_look(start + SHORT, start) < SHORT / 2, "the next is not under way by then");
    }

    #[test]
    fn a_connection_that_saw_no_question_learns_the_interval_from_the_pushes() {
        let (mut rhythm, start) = (Rhythm::default(), Instant::now());
        rhythm.pushed(start, api::NONE);
        rhythm.pushed(start + MINUTE, api::NONE);
        let look = |at: Instant| rhythm.last_look(at, at);
        assert_eq!(look(start + MINUTE * 3 / 2), BRIEF_LOOK);
        assert!(look(start + 2 * MINUTE) > LAST_LOOK, "due now");
    }
}
