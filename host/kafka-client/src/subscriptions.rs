//! Subscriptions in Kafka's admin protocol: configurations of resources of the type CLIENT_METRICS (KIP-714).
//!
//! Works with any broker: versions are chosen among those that it advertises, and its error messages are passed on.

use anyhow::{Result, bail};

use super::{ErrorCode, KafkaClient};
use barnabas_kafka_wire::wire::{Malformed, WireReader, WireWriter};

/// ConfigResource.Type.CLIENT_METRICS.
const CLIENT_METRICS: i8 = 16;
const DESCRIBE_CONFIGS: i16 = 32;
const INCREMENTAL_ALTER_CONFIGS: i16 = 44;
const LIST_CONFIG_RESOURCES: i16 = 74;

/// A subscription as its broker describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionDescription {
    /// Its name.
    pub name: String,
    /// `metrics`, `interval.ms` and `match`, in the broker's order.
    pub entries: Vec<SubscriptionSetting>,
}

/// One setting of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionSetting {
    /// Kafka's key.
    pub key: String,
    /// As text; `None` if the broker does not send it.
    pub value: Option<String>,
    /// The source of the value: 7 is an alteration by request, 4 a file of the broker, 5 the default.
    pub source: i8,
    /// The broker's documentation of the key.
    pub documentation: Option<String>,
}

/// One change of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// `metrics`, `interval.ms` or `match`.
    pub key: String,
    /// The operation.
    pub op: SettingOp,
    /// Lists are separated by commas; no value with [`SettingOp::Delete`].
    pub value: Option<String>,
}

/// The operations of IncrementalAlterConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum SettingOp {
    /// Replace the value.
    Set = 0,
    /// Remove the value, so that a file's value or the default applies.
    Delete = 1,
    /// Add to a list.
    Append = 2,
    /// Remove from a list.
    Subtract = 3,
}

/// A broker's result for one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceAnswer {
    /// The error code, if it refused.
    pub error: Option<ErrorCode>,
    /// The message beside the code. Barnabas describes here which clients an alteration affects.
    pub message: Option<String>,
}

impl KafkaClient {
    /// The names of all subscriptions (ListClientMetricsResources, later ListConfigResources).
    ///
    /// # Errors
    ///
    /// Outer error: as for every request, or if the broker does not support it. Inner error: the broker's error code.
    pub async fn list_subscriptions(&mut self) -> Result<Result<Vec<String>, ErrorCode>> {
        let version = self.version(LIST_CONFIG_RESOURCES, 0, 1)?;
        let body = self
            .request(LIST_CONFIG_RESOURCES, version, true, |out| {
                if version >= 1 {
                    out.count(true, 1);
                    out.i8(CLIENT_METRICS);
                }
                out.empty_tags(true);
            })
            .await?;
        self.check_decoded(read_list(&body, version))
    }

    /// Describes these subscriptions (DescribeConfigs), each with its result, in order.
    ///
    /// # Errors
    ///
    /// As for every request, or if the broker does not support it.
    pub async fn describe_subscriptions(
        &mut self,
        names: &[String],
    ) -> Result<Vec<(SubscriptionDescription, ResourceAnswer)>> {
        let version = self.version(DESCRIBE_CONFIGS, 1, 4)?;
        let flexible = version >= 4;
        let body = self
            .request(DESCRIBE_CONFIGS, version, flexible, |out| {
                out.count(flexible, names.len());
                for name in names {
                    resource(out, flexible, name);
                    null_array(out, flexible);
                    out.empty_tags(flexible);
                }
                out.bool(false);
                if version >= 3 {
                    out.bool(true);
                }
                out.empty_tags(flexible);
            })
            .await?;
        self.check_decoded(read_descriptions(&body, version))
    }

    /// Alters one subscription (IncrementalAlterConfigs), or with `validate_only` checks whether it could be altered.
    ///
    /// # Errors
    ///
    /// As for every request, or if the broker does not support it.
    pub async fn alter_subscription(
        &mut self,
        name: &str,
        changes: &[SettingChange],
        validate_only: bool,
    ) -> Result<ResourceAnswer> {
        let version = self.version(INCREMENTAL_ALTER_CONFIGS, 0, 1)?;
        let flexible = version >= 1;
        let body = self
            .request(INCREMENTAL_ALTER_CONFIGS, version, flexible, |out| {
                out.count(flexible, 1);
                resource(out, flexible, name);
                out.count(flexible, changes.len());
                for change in changes {
                    out.text(flexible, Some(change.key.as_bytes()));
                    out.i8(change.op as i8);
                    out.text(flexible, change.value.as_deref().map(str::as_bytes));
                    out.empty_tags(flexible);
                }
                out.empty_tags(flexible);
                out.bool(validate_only);
                out.empty_tags(flexible);
            })
            .await?;
        self.check_decoded(read_alteration(&body, flexible))
    }

    /// The highest version that both sides support.
    fn version(&self, api_key: i16, least: i16, most: i16) -> Result<i16> {
        let Some((offered_least, offered_most)) = self.versions(api_key) else {
            bail!(
                "{} does not support client metrics subscriptions (it does not advertise request {api_key}); Apache Kafka \
                 does since 3.7, in KRaft mode",
                self.address()
            );
        };
        let version = offered_most.min(most);
        if version < offered_least.max(least) {
            bail!(
                "{} supports request {api_key} in versions {offered_least} to {offered_most}, and this command in {least} \
                 to {most}; use a command of the broker's release",
                self.address()
            );
        }
        Ok(version)
    }
}

fn resource(out: &mut WireWriter, flexible: bool, name: &str) {
    out.i8(CLIENT_METRICS);
    out.text(flexible, Some(name.as_bytes()));
}

/// Requests all keys.
fn null_array(out: &mut WireWriter, flexible: bool) {
    if flexible { out.uvarint(0) } else { out.i32(-1) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn read_list(body: &[u8], version: i16) -> Result<Result<Vec<String>, ErrorCode>, Malformed> {
    let mut reader = WireReader::new(body);
    reader.i32("the throttle time")?;
    if let Err(refused) = ErrorCode::check(reader.i16("the error code")?) {
        return Ok(Err(refused));
    }
    let mut names = Vec::new();
    for _ in 0..reader.count(true, 2, "the subscriptions")?.unwrap_or_default() {
        let name = text(reader.text(true, "a subscription's name")?);
        let kind = if version >= 1 { reader.i8("a resource's type")? } else { CLIENT_METRICS };
        reader.skip_tags(true)?;
        if kind == CLIENT_METRICS {
            names.push(name);
        }
    }
    Ok(Ok(names))
}

/// Code and message, at the beginning of every resource's result.
fn read_answer(reader: &mut WireReader<'_>, flexible: bool) -> Result<ResourceAnswer, Malformed> {
    let refused = ErrorCode::check(reader.i16("the error code")?).err();
    let message = reader.nullable_text(flexible, "the error message")?.map(text).filter(|text| !text.is_empty());
    Ok(ResourceAnswer { error: refused, message })
}

fn read_descriptions(body: &[u8], version: i16) -> Result<Vec<(SubscriptionDescription, ResourceAnswer)>, Malformed> {
    let flexible = version >= 4;
    let mut reader = WireReader::new(body);
    reader.i32("the throttle time")?;
    let mut all = Vec::new();
    for _ in 0..reader.count(flexible, 6, "the subscriptions")?.unwrap_or_default() {
        let answer = read_answer(&mut reader, flexible)?;
        reader.i8("a resource's type")?;
        let name = text(reader.text(flexible, "a subscription's name")?);
        let mut entries = Vec::new();
        for _ in 0..reader.count(flexible, 7, "the entries")?.unwrap_or_default() {
            entries.push(read_entry(&mut reader, version)?);
        }
        reader.skip_tags(flexible)?;
        all.push((SubscriptionDescription { name, entries }, answer));
    }
    Ok(all)
}

fn read_entry(reader: &mut WireReader<'_>, version: i16) -> Result<SubscriptionSetting, Malformed> {
    let flexible = version >= 4;
    let key = text(reader.text(flexible, "a key")?);
    let value = reader.nullable_text(flexible, "a value")?.map(text);
    reader.bool("whether it is read-only")?;
    let source = reader.i8("where a value comes from")?;
    reader.bool("whether it is a secret")?;
    for _ in 0..reader.count(flexible, 3, "the synonyms")?.unwrap_or_default() {
        reader.text(flexible, "a synonym")?;
        reader.nullable_text(flexible, "a synonym's value")?;
        reader.i8("where a synonym comes from")?;
        reader.skip_tags(flexible)?;
    }
    let mut documentation = None;
    if version >= 3 {
        reader.i8("a value's type")?;
        documentation = reader.nullable_text(flexible, "the documentation")?.map(text);
    }
    reader.skip_tags(flexible)?;
    Ok(SubscriptionSetting { key, value, source, documentation })
}

fn read_alteration(body: &[u8], flexible: bool) -> Result<ResourceAnswer, Malformed> {
    let mut reader = WireReader::new(body);
    reader.i32("the throttle time")?;
    match reader.count(flexible, 6, "the answers")? {
        Some(1..) => read_answer(&mut reader, flexible),
        _ => Err(Malformed::UnexpectedEnd("the answers")),
    }
}
