//! The tables `[rollout]` and `[self-test]`.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;

use super::{RawWithUnit, check_range, duration, in_key};
use crate::rollout::RolloutPolicy;
use barnabas_base::units::Percent;
use barnabas_runtime::capability::egress::RecordedResponse;

const BATCHES_RANGE: (u64, u64) = (5, 100_000);
/// Maximum size of the reply's body in bytes.
const MAX_REPLY_BYTES: usize = 64 << 10;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct RawRollout {
    self_test: Option<bool>,
    shadow: Option<RawWithUnit>,
    canary: Option<RawWithUnit>,
    step: Option<RawWithUnit>,
    batches: Option<u64>,
    budget: Option<RawWithUnit>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RawSelfTest {
    reply: Option<RawReply>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReply {
    #[serde(default = "default_status")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

fn default_status() -> u16 {
    200
}

pub(super) fn resolve(rollout: RawRollout, self_test: RawSelfTest) -> Result<RolloutPolicy, String> {
    let default = RolloutPolicy::default();
    let care = RolloutPolicy {
        self_test: rollout.self_test.unwrap_or(default.self_test),
        shadow: duration("rollout.shadow", rollout.shadow, default.shadow)?,
        canary: share("rollout.canary", rollout.canary, default.canary)?,
        step: duration("rollout.step", rollout.step, default.step)?,
        batches: check_range("rollout.batches", rollout.batches.unwrap_or(default.batches), BATCHES_RANGE)?,
        budget: share("rollout.budget", rollout.budget, default.budget)?,
        reply: self_test.reply.map_or(Ok(default.reply), reply).map_err(in_key("self-test.reply"))?,
    };
    if care.step.is_zero() {
        return Err("`rollout.step` is 0; it must be longer".into());
    }
    Ok(care)
}

fn share(key: &'static str, written: Option<RawWithUnit>, default: f64) -> Result<f64, String> {
    let Some(written) = written else { return Ok(default) };
    written.text().parse::<Percent>().map(Percent::share).map_err(in_key(key))
}

fn reply(written: RawReply) -> Result<RecordedResponse, String> {
    let status = StatusCode::from_u16(written.status).ok().filter(|status| status.as_u16() >= 200);
    let status = status.ok_or_else(|| format!("{} is not the status of an HTTP response", written.status))?;
    if written.body.len() > MAX_REPLY_BYTES {
        return Err(format!("its body has {} bytes; the limit is {MAX_REPLY_BYTES}", written.body.len()));
    }
    let headers: Result<HeaderMap, String> = written.headers.into_iter().map(header).collect();
    Ok(RecordedResponse { status, headers: headers?, body: Bytes::from(written.body) })
}

fn header((name, value): (String, String)) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = name.parse().ok().zip(value.parse().ok());
    parsed.ok_or_else(|| format!("`{name}: {value}` is not a valid HTTP header"))
}
