//! Sizes and durations as people write them: `"64MiB"`, `"100ms"`, `"10m"`.

pub(crate) mod cidr;

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SIZES: [(&str, u64); 9] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];
/// In milliseconds.
const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// A number of bytes: an integer, or text with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub usize);

/// A duration of whole milliseconds: text with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// Number and factor of `text`.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(*scale);
    }
    let value = number.parse::<f64>().ok()? * *scale as f64;
    (value.is_finite() && value < 1e15).then_some(value.round() as u64)
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = scaled(text, &SIZES).and_then(|n| usize::try_from(n).ok());
        bytes
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a size: write bytes as a number, or for example \"64MiB\""))
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let millis = scaled(text, &TIMES);
        millis
            .map(|ms| Self(Duration::from_millis(ms)))
            .ok_or_else(|| format!("`{text}` is not a duration: write for example \"100ms\", \"30s\" or \"10m\""))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as u64;
        let mut whole = SIZES.iter().rev().filter(|(unit, _)| unit.ends_with("iB"));
        match whole.find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", bytes / factor),
            None => write!(f, "{bytes}B"),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, factor) = if ms == 0 || !ms.is_multiple_of(1_000) {
            ("ms", 1)
        } else if ms.is_multiple_of(60_000) {
            ("m", 60_000)
        } else {
            ("s", 1_000)
        };
        write!(f, "{}{unit}", ms / factor)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Raw {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Raw::deserialize(deserializer)? {
            Raw::Number(bytes) => bytes.to_string(),
            Raw::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// For `serialize_with`: a duration as seconds.
pub fn seconds<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_secs_f64())
}

/// For `with`: a duration as seconds, both ways.
pub mod seconds_number {
    use super::{Deserialize as _, Deserializer, Duration, Serializer};

    /// As [`super::seconds`].
    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        super::seconds(span, serializer)
    }

    /// Seconds that are no duration are refused.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// For `serialize_with`: likewise, where there may be none.
pub fn maybe_seconds<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    span.map(|span| span.as_secs_f64()).serialize(serializer)
}

/// For `serialize_with`: a moment as seconds since the Unix epoch.
pub fn unix_seconds<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_read_as_written_and_write_as_read() {
        for (text, bytes) in [("64MiB", 64 << 20), ("1KiB", 1024), ("10B", 10), ("0B", 0)] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        for (text, ms) in [("100ms", 100), ("30s", 30_000), ("10m", 600_000), ("0ms", 0)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(ms))));
            assert_eq!(Span(Duration::from_millis(ms)).to_string(), text);
        }
        assert_eq!("2 MB".parse(), Ok(Size(2_000_000)));
        assert_eq!("4096".parse(), Ok(Size(4096)));
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        assert!("64 elephants".parse::<Size>().unwrap_err().contains("64MiB"));
        assert!("soon".parse::<Span>().unwrap_err().contains("100ms"));
        assert!("18446744073709551615GiB".parse::<Size>().is_err(), "an overflow is no size");
    }

    fn bytes(text: &str) -> Result<usize, String> {
        text.parse::<Size>().map(|size| size.0)
    }

    fn time(text: &str) -> Result<Duration, String> {
        text.parse::<Span>().map(|span| span.0)
    }

    #[test]
    fn sizes_and_durations() {
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("1.5 kB"), Ok(1_500));
        assert_eq!(bytes("65536"), Ok(65_536));
        assert_eq!(time("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(time("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(time("15 m"), Ok(Duration::from_secs(900)));
        for bad in ["", "MiB", "-1", "1 parsec", "1e9", "99999999999999999999", "18446744073709551615GiB", "1.2.3s"] {
            assert!(bytes(bad).is_err() && time(bad).is_err(), "{bad}");
        }
        assert!(time("5").unwrap_err().contains("30s"), "a duration has a unit");
    }
}
