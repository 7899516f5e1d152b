//! The conversion of a response, or of an error without a response, into the outcome for the host.

use std::time::{Duration, SystemTime};

use super::{Error, Response};
use crate::{ExportError, clock};

impl Response {
    /// Maps the status of the response to what the host should do with the batch:
    ///
    /// | status | outcome |
    /// |---|---|
    /// | 2xx | `Ok`: accepted |
    /// | 408, 425, 429, 5xx except 500 | [unavailable](ExportError::unavailable), with the delay of [`retry_after`](Self::retry_after) |
    /// | 500 | with `Retry-After` unavailable, otherwise [other](ExportError::other) |
    /// | 413 | [too large](ExportError::too_large): the host splits the batch |
    /// | 401, 403, 407 | [misconfigured](ExportError::misconfigured): check the credentials |
    /// | 404, 405, 410 | misconfigured: check the URL |
    /// | 406, 415 | misconfigured: check the format and the compression |
    /// | 3xx | misconfigured: redirects are not followed, because that would send credentials to another server |
    /// | other 4xx | [rejected](ExportError::rejected): the host finds the offending push by splitting the batch |
    /// | anything else | other |
    ///
    /// The status 500 only says that the sink failed. The cause may be one push of the batch: for example, Prometheus 3
    /// returns 500 for a metric without a name. OTLP requires clients to drop such a request, because only 429, 502,
    /// 503 and 504 are retryable. As `other`, the host retries the batch a few times, and then finds the offending push
    /// by splitting the batch.
    ///
    /// The reason of the outcome has the destination, the status and the [`reason`](Self::reason) that the sink gave.
    pub fn outcome(&self) -> Result<(), ExportError> {
        let remedy = match self.status {
            200..=299 => return Ok(()),
            413 => return Err(ExportError::too_large()),
            500 if self.retry_after().is_none() => return Err(ExportError::other(self.describe())),
            408 | 425 | 429 | 500..=599 => {
                return Err(ExportError::unavailable(self.describe()).retry_after(self.retry_after()));
            }
            401 | 403 | 407 => "check the credentials",
            404 | 405 | 410 => "check the path of the URL",
            406 | 415 => "check the format and the compression that the sink supports",
            300..=399 => "redirects are not followed; set the URL of the final destination",
            400..=499 => return Err(ExportError::rejected(self.describe())),
            _ => return Err(ExportError::other(self.describe())),
        };
        Err(ExportError::misconfigured(format!("{}; {remedy}", self.describe())))
    }

    /// The delay that the sink asks for in `Retry-After` (RFC 9110): a number of seconds, or a date in the future.
    pub fn retry_after(&self) -> Option<Duration> {
        parse_retry_after(self.header("retry-after")?.trim(), clock::now)
    }

    /// `sink.example:443 answered 400: metric name too long`.
    fn describe(&self) -> String {
        let who = if self.destination.is_empty() { "the sink" } else { &self.destination };
        match self.reason() {
            Some(reason) => format!("{who} answered {}: {reason}", self.status),
            None => format!("{who} answered {}", self.status),
        }
    }
}

fn parse_retry_after(value: &str, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now()).ok(),
    }
}

/// Only the operator can fix an invalid request, a missing grant or a TLS failure, so these become
/// [`ExportError::misconfigured`]. Every other error becomes [`ExportError::unavailable`].
impl From<Error> for ExportError {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidRequest(_) | Error::Denied(_) | Error::Tls(_) => Self::misconfigured(error),
            Error::Timeout(_) | Error::Connect(_) | Error::Protocol(_) => Self::unavailable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use crate::ExportError;
    use crate::http::{Error, Request};
    use crate::testing::http::{respond_with, response};

    fn outcome(status: u16, headers: &'static [(&str, &str)], body: &'static str) -> Result<(), ExportError> {
        respond_with(move |_| Ok(response(status, headers, body)));
        Request::post("https://sink.example/v1/metrics").send().unwrap().outcome()
    }

    #[test]
    fn every_status_is_one_outcome() {
        for status in [200, 202, 204, 299] {
            assert_eq!(outcome(status, &[], ""), Ok(()));
        }
        for status in [408, 425, 429, 501, 503, 599] {
            let reason = format!("sink.example:443 answered {status}");
            assert_eq!(outcome(status, &[], ""), Err(ExportError::unavailable(reason)));
        }
        for (status, remedy) in [
            (301, "redirects"),
            (308, "redirects"),
            (401, "credentials"),
            (403, "credentials"),
            (407, "credentials"),
            (404, "path"),
            (405, "path"),
            (410, "path"),
            (406, "compression"),
            (415, "compression"),
        ] {
            match outcome(status, &[], "no") {
                Err(ExportError::Misconfigured(reason)) => {
                    assert!(reason.starts_with(&format!("sink.example:443 answered {status}: no; ")), "{reason}");
                    assert!(reason.contains(remedy), "{reason}");
                }
                other => panic!("{status}: {other:?}"),
            }
        }
        assert_eq!(outcome(413, &[], "over 1 MB"), Err(ExportError::TooLarge));
        for status in [400, 402, 409, 422, 451, 499] {
            let reason = format!("sink.example:443 answered {status}: bad name");
            assert_eq!(outcome(status, &[], r#"{"error":"bad name"}"#), Err(ExportError::rejected(reason)));
        }
        for status in [500, 600] {
            assert_eq!(
                outcome(status, &[], ""),
                Err(ExportError::other(format!("sink.example:443 answered {status}")))
            );
        }
    }

    #[test]
    fn a_500_with_retry_after_is_unavailable() {
        let waiting = ExportError::unavailable("sink.example:443 answered 500").retry_after(Duration::from_secs(3));
        assert_eq!(outcome(500, &[("Retry-After", "3")], ""), Err(waiting));
    }

    #[test]
    fn retry_after_is_seconds_or_a_future_date() {
        let waiting =
            |value| super::parse_retry_after(value, || SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777));
        assert_eq!(waiting("7"), Some(Duration::from_secs(7)));
        assert_eq!(waiting("Sun, 06 Nov 1994 08:49:47 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(waiting("Sun, 06 Nov 1994 08:49:27 GMT"), None, "a date in the past means no delay");
        for rubbish in ["soon", "-1", "1.5", ""] {
            assert_eq!(waiting(rubbish), None, "{rubbish}");
        }
        let busy = ExportError::unavailable("sink.example:443 answered 429").retry_after(Duration::from_secs(7));
        assert_eq!(outcome(429, &[("Retry-After", " 7 ")], ""), Err(busy));
    }

    #[test]
    fn every_error_without_a_response_keeps_the_batch() {
        for (error, misconfigured) in [
            (Error::InvalidRequest("x".into()), true),
            (Error::Denied("x".into()), true),
            (Error::Tls("x".into()), true),
            (Error::Timeout("x".into()), false),
            (Error::Connect("x".into()), false),
            (Error::Protocol("x".into()), false),
        ] {
            let message = error.to_string();
            match ExportError::from(error) {
                ExportError::Misconfigured(reason) => assert!(misconfigured && reason == message, "{reason}"),
                ExportError::Unavailable { reason, .. } => assert!(!misconfigured && reason == message, "{reason}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
