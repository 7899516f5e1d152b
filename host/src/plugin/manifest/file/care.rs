//! `[rollout]` and `[self-test]`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;

use super::{at, no_longer, within};
use crate::capability::egress::Reply;
use crate::plugin::rollout::{Care, percent};
use crate::units;

const BATCHES: (u64, u64) = (5, 100_000);
/// Most bytes of the reply's body.
const REPLY_BYTES: usize = 64 << 10;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct RolloutTable {
    self_test: Option<bool>,
    shadow: Option<String>,
    canary: Option<Share>,
    step: Option<String>,
    batches: Option<u64>,
    budget: Option<Share>,
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

/// In percent.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a share such as 5 or \"5%\"")]
enum Share {
    Number(f64),
    Text(String),
}

impl Share {
    fn read(self) -> Result<f64, String> {
        let share = match self {
            Self::Number(share) => share,
            Self::Text(text) => text
                .trim()
                .trim_end_matches('%')
                .trim_end()
                .parse()
                .map_err(|_| format!("`{text}` is not a share; write for example \"5%\""))?,
        };
        percent(share).map(|share| share / 100.0)
    }
}

pub(super) fn meant(rollout: RolloutTable, self_test: SelfTestTable) -> Result<Care, String> {
    let default = Care::default();
    let care = Care {
        self_test: rollout.self_test.unwrap_or(default.self_test),
        shadow: time("rollout.shadow", rollout.shadow, default.shadow)?,
        canary: rollout.canary.map_or(Ok(default.canary), Share::read).map_err(at("rollout.canary"))?,
        step: time("rollout.step", rollout.step, default.step)?,
        batches: within("rollout.batches", rollout.batches.unwrap_or(default.batches), BATCHES)?,
        budget: rollout.budget.map_or(Ok(default.budget), Share::read).map_err(at("rollout.budget"))?,
        reply: self_test.reply.map_or(Ok(default.reply), reply).map_err(at("self-test.reply"))?,
    };
    if care.step.is_zero() {
        return Err("`rollout.step` is 0; without any time nothing can be judged".into());
    }
    Ok(care)
}

fn time(key: &'static str, written: Option<String>, default: Duration) -> Result<Duration, String> {
    let Some(text) = written else { return Ok(default) };
    text.parse::<units::Span>().and_then(|span| no_longer(span.0)).map_err(at(key))
}

fn reply(written: ReplyTable) -> Result<Reply, String> {
    let status = StatusCode::from_u16(written.status).ok().filter(|status| status.as_u16() >= 200);
    let status = status.ok_or_else(|| format!("{} is not the status of an answer", written.status))?;
    if written.body.len() > REPLY_BYTES {
        return Err(format!("its body has {} bytes; it may have {REPLY_BYTES}", written.body.len()));
    }
    let headers: Result<HeaderMap, String> = written.headers.into_iter().map(header).collect();
    Ok(Reply { status, headers: headers?, body: Bytes::from(written.body) })
}

fn header((name, value): (String, String)) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = name.parse().ok().zip(value.parse().ok());
    parsed.ok_or_else(|| format!("`{name}: {value}` is not a header"))
}
