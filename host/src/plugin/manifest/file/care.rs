//! `[rollout]` and `[self-test]`.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;

use super::{WithUnit, at, span, within};
use crate::capability::egress::RecordedResponse;
use crate::plugin::rollout::Care;
use crate::units::Percent;

const BATCHES: (u64, u64) = (5, 100_000);
/// Most bytes of the reply's body.
const REPLY_BYTES: usize = 64 << 10;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct RolloutTable {
    self_test: Option<bool>,
    shadow: Option<WithUnit>,
    canary: Option<WithUnit>,
    step: Option<WithUnit>,
    batches: Option<u64>,
    budget: Option<WithUnit>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct SelfTestTable {
    reply: Option<ReplyTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyTable {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

fn ok() -> u16 {
    200
}

pub(super) fn meant(rollout: RolloutTable, self_test: SelfTestTable) -> Result<Care, String> {
    let default = Care::default();
    let care = Care {
        self_test: rollout.self_test.unwrap_or(default.self_test),
        shadow: span("rollout.shadow", rollout.shadow, default.shadow)?,
        canary: share("rollout.canary", rollout.canary, default.canary)?,
        step: span("rollout.step", rollout.step, default.step)?,
        batches: within("rollout.batches", rollout.batches.unwrap_or(default.batches), BATCHES)?,
        budget: share("rollout.budget", rollout.budget, default.budget)?,
        reply: self_test.reply.map_or(Ok(default.reply), reply).map_err(at("self-test.reply"))?,
    };
    if care.step.is_zero() {
        return Err("`rollout.step` is 0; without any time nothing can be judged".into());
    }
    Ok(care)
}

fn share(key: &'static str, written: Option<WithUnit>, default: f64) -> Result<f64, String> {
    let Some(written) = written else { return Ok(default) };
    written.text().parse::<Percent>().map(Percent::share).map_err(at(key))
}

fn reply(written: ReplyTable) -> Result<RecordedResponse, String> {
    let status = StatusCode::from_u16(written.status).ok().filter(|status| status.as_u16() >= 200);
    let status = status.ok_or_else(|| format!("{} is not the status of an answer", written.status))?;
    if written.body.len() > REPLY_BYTES {
        return Err(format!("its body has {} bytes; it may have {REPLY_BYTES}", written.body.len()));
    }
    let headers: Result<HeaderMap, String> = written.headers.into_iter().map(header).collect();
    Ok(RecordedResponse { status, headers: headers?, body: Bytes::from(written.body) })
}

fn header((name, value): (String, String)) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = name.parse().ok().zip(value.parse().ok());
    parsed.ok_or_else(|| format!("`{name}: {value}` is not a header"))
}
