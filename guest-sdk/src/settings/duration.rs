//! A duration in settings, such as `10s`.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// The units, in milliseconds. The settings of the host have the same units.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// A duration in settings: an integer with a unit, such as `"1500ms"`, `"10s"`, `"5m"` or `"1h"`. It dereferences to a
/// [`std::time::Duration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

impl Duration {
    /// A duration in seconds, for a default value.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }
}

/// The error for a text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidDuration(String);

impl fmt::Display for InvalidDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.escape_debug();
        write!(f, "`{text}` is not a duration; use for example \"100ms\", \"30s\" or \"10m\"")
    }
}

impl std::error::Error for InvalidDuration {}

impl FromStr for Duration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let millis = trimmed.split_at_checked(end).and_then(|(number, unit)| {
            let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
            number.parse::<u64>().ok()?.checked_mul(*factor)
        });
        let millis = millis.ok_or_else(|| InvalidDuration(text.to_owned()))?;
        Ok(Self(std::time::Duration::from_millis(millis)))
    }
}

impl Deref for Duration {
    type Target = std::time::Duration;

    fn deref(&self) -> &std::time::Duration {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Duration;

    #[test]
    fn a_duration_is_a_number_with_a_unit() {
        let millis = |text: &str| text.parse::<Duration>().map(|found| found.as_millis()).ok();
        assert_eq!(
            ["1500ms", "10s", " 5 m ", "1h", "0s"].map(millis),
            [1_500, 10_000, 300_000, 3_600_000, 0].map(Some)
        );
        for wrong in ["", "10", "s", "-1s", "1.5s", "1d", "1 s s", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
        let refusal = serde_json::from_str::<Duration>("\"soon\"").unwrap_err().to_string();
        assert!(refusal.starts_with("`soon` is not a duration; use for example"), "{refusal}");
    }
}
