//! Messages about alterations that succeeded: tools print them, and clients ignore them.

use super::alter_request::{AlterRequest, MAX_FORECASTS};
use super::effective::EffectiveSubscription;
use super::{Entries, EntryOp, EntryOpKind, SubscriptionKey};
use barnabas_base::units::HumanDuration;
use barnabas_pipeline::admission::Forecast;

/// The longest interval that has an effect unless long ones are enabled.
const CUSTOMARY_MAX_MS: u64 = 300_000;
/// The longest interval for librdkafka if they are enabled, since it computes in 32-bit microseconds.
const LIBRDKAFKA_MAX_MS: u64 = 1_700_000;

/// The message about an alteration without a change. The caller still wants to know which clients match.
pub(super) fn unchanged(held: &EffectiveSubscription, ops: &[EntryOp], forecast: Option<&Forecast>) -> String {
    let why = from_file(held, ops).unwrap_or_else(|| "nothing changed".into());
    let meets = forecast.filter(|_| held.rule.is_some()).map(describe_matches);
    [Some(why), meets].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn from_file(held: &EffectiveSubscription, ops: &[EntryOp]) -> Option<String> {
    let from_file: Vec<_> = deleted(ops).filter(|key| held.file.contains_key(key)).map(quoted).collect();
    if from_file.is_empty() {
        return None;
    }
    let (names, comes) = (from_file.join(" and "), if from_file.len() == 1 { "comes" } else { "come" });
    Some(format!(
        "nothing was changed: {names} {comes} from the configuration file; change it there and restart the host"
    ))
}

/// The message about a change that was made, or validated.
pub(super) fn changed(
    old: &EffectiveSubscription,
    new: &EffectiveSubscription,
    ops: &[EntryOp],
    forecast: Option<&Forecast>,
    request: &AlterRequest,
    long_intervals: bool,
) -> String {
    let unknown =
        || format!("the affected clients are counted only for at most {MAX_FORECASTS} alterations in one request");
    let mut sentences = vec![forecast.map_or_else(unknown, |forecast| describe_reach(forecast, new))];
    sentences.extend(describe_capped_interval(new, long_intervals));
    if request.validate_only {
        sentences.insert(0, "validated, and nothing was changed".into());
    }
    let back = deleted(ops).filter(|key| old.stored.contains_key(key) && new.file.contains_key(key));
    let back: Vec<_> = back.map(quoted).collect();
    if !back.is_empty() {
        sentences.push(format!("{} is the configuration file's value again", back.join(" and ")));
    }
    sentences.join("; ")
}

/// A long interval is accepted and may have no effect, in Kafka and here, so the message says so.
fn describe_capped_interval(new: &EffectiveSubscription, long_intervals: bool) -> Option<String> {
    let interval: u64 = new.effective(SubscriptionKey::Interval).first()?.parse().ok()?;
    let (most, whose) = if long_intervals { (LIBRDKAFKA_MAX_MS, " with librdkafka") } else { (CUSTOMARY_MAX_MS, "") };
    (interval > most).then(|| format!("an `interval.ms` above {most} counts as {most}{whose}"))
}

/// The difference of each key, for the audit log.
pub(super) fn difference(old: &EffectiveSubscription, new: &EffectiveSubscription) -> String {
    let value = |entries: &Entries, key: SubscriptionKey| entries.get(&key).map(|elements| super::key::text(elements));
    let damage = old.damaged.then(|| "the unreadable stored entries were discarded".to_owned());
    let of = |key: SubscriptionKey| match (value(&old.stored, key), value(&new.stored, key)) {
        (was, is) if was == is => None,
        (Some(was), None) => Some(format!("{} deleted (was `{}`)", key.as_str(), super::excerpt(&was))),
        (was, is) => {
            let was = was.map_or_else(|| "nothing".into(), |was| format!("`{}`", super::excerpt(&was)));
            Some(format!("{} is `{}` (was {was})", key.as_str(), super::excerpt(&is.unwrap_or_default())))
        }
    };
    damage.into_iter().chain(SubscriptionKey::ALL.into_iter().filter_map(of)).collect::<Vec<_>>().join("; ")
}

fn describe_reach(forecast: &Forecast, new: &EffectiveSubscription) -> String {
    let Forecast { clients, matching, changed, settled_within: by } = *forecast;
    let noun = if clients == 1 { "client" } else { "clients" };
    if matching == 0 && changed == 0 {
        let gone = clients > 0 && new.rule.is_none();
        return if gone {
            format!("none of {clients} connected {noun} is affected")
        } else {
            describe_matches(forecast)
        };
    }
    let whom = match (new.rule.is_some(), matching) {
        (false, _) => format!("none of {clients} connected {noun} gets it any more"),
        (true, 0) => format!("none of {clients} connected {noun} matches"),
        (true, _) => describe_matches(forecast),
    };
    match changed {
        0 => format!("{whom}, and none is affected"),
        1 => format!("{whom}; 1 gets the change within {}", HumanDuration(by)),
        many => format!("{whom}; {many} get the change within {}", HumanDuration(by)),
    }
}

/// Which clients match.
fn describe_matches(forecast: &Forecast) -> String {
    let Forecast { clients, matching, .. } = *forecast;
    let noun = if clients == 1 { "client" } else { "clients" };
    match (clients, matching) {
        (0, _) => "no client is connected".into(),
        (_, 0) => format!("none of {clients} connected {noun} matches"),
        (_, 1) => format!("1 of {clients} connected {noun} matches"),
        _ => format!("{matching} of {clients} connected {noun} match"),
    }
}

fn deleted(ops: &[EntryOp]) -> impl Iterator<Item = SubscriptionKey> {
    ops.iter().filter(|op| op.kind == EntryOpKind::Delete).filter_map(|op| SubscriptionKey::from_name(&op.key))
}

fn quoted(key: SubscriptionKey) -> String {
    format!("`{}`", key.as_str())
}
