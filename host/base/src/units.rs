//! Sizes, durations and percentages as people write them: `"64MiB"`, `"100ms"`, `"5%"`. A text needs a unit, because
//! `"5"` could be seconds or milliseconds, 5% or all of it.

pub mod cidr;

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SIZES: [(&str, u64); 8] = [
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

/// A number of bytes: an integer is in bytes, a text needs a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

/// A duration of whole milliseconds: a text with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanDuration(pub Duration);

/// A share above 0% and up to 100%: a text with the percent sign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percent(f64);

impl Percent {
    /// From a number of percent.
    pub fn new(percent: f64) -> Result<Self, String> {
        if percent > 0.0 && percent <= 100.0 {
            return Ok(Self(percent));
        }
        Err(format!("{percent}% is out of range; use more than 0% and at most 100%"))
    }

    /// The number of percent: 5 for `"5%"`.
    pub fn percent(self) -> f64 {
        self.0
    }

    /// The fraction: 0.05 for `"5%"`.
    pub fn share(self) -> f64 {
        self.0 / 100.0
    }
}

/// The number in `text` multiplied by its unit.
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

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = scaled(text, &SIZES).and_then(|n| usize::try_from(n).ok());
        bytes.map(Self).ok_or_else(|| match bare_number(text) {
            Some(number) => {
                format!("`{number}` has no unit; use for example \"{number}KiB\", \"{number}MiB\" or \"{number}B\"")
            }
            None => format!("`{text}` is not a size; use a number of bytes, or for example \"64MiB\""),
        })
    }
}

impl std::str::FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let millis = scaled(text, &TIMES);
        millis.map(|ms| Self(Duration::from_millis(ms))).ok_or_else(|| match bare_number(text) {
            Some(number) => format!("`{number}` has no unit; use for example \"{number}s\" or \"{number}ms\""),
            None => format!("`{text}` is not a duration; use for example \"100ms\", \"30s\" or \"10m\""),
        })
    }
}

impl std::str::FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || match bare_number(text) {
            // A fraction may have been intended.
            Some(number) if number.parse::<f64>().is_ok_and(|number| number < 1.0) => {
                let percent = (number.parse::<f64>().unwrap_or_default() * 1e6).round() / 1e4;
                format!("`{number}` has no `%`; did you mean \"{percent}%\" or \"{number}%\"?")
            }
            Some(number) => format!("`{number}` has no `%`; did you mean \"{number}%\"?"),
            None => format!("`{text}` is not a percentage; use for example \"5%\""),
        };
        let number = text.trim().strip_suffix('%').map(str::trim_end).and_then(bare_number);
        Self::new(number.and_then(|number| number.parse().ok()).ok_or_else(wrong)?)
    }
}

/// `text` if it is only a number.
fn bare_number(text: &str) -> Option<&str> {
    let text = text.trim();
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    (text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(digits)).then_some(text)
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as u64;
        let mut whole = SIZES.iter().rev().filter(|(unit, _)| unit.ends_with("iB"));
        match whole.find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", bytes / factor),
            None => write!(f, "{bytes}B"),
        }
    }
}

impl fmt::Display for HumanDuration {
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

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a size such as 65536 (bytes) or \"64MiB\"")]
enum RawByteSize {
    Bytes(usize),
    Text(String),
}

/// A text with its unit. A number is parsed only for the sake of its error message.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a string with its unit, such as \"30s\"")]
enum TextWithUnit {
    Number(serde_json::Number),
    Text(String),
}

impl TextWithUnit {
    fn parse<T: std::str::FromStr<Err = String>, E: serde::de::Error>(self) -> Result<T, E> {
        let text = match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        };
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match RawByteSize::deserialize(deserializer)? {
            RawByteSize::Bytes(bytes) => Ok(Self(bytes)),
            RawByteSize::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        TextWithUnit::deserialize(deserializer)?.parse()
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        TextWithUnit::deserialize(deserializer)?.parse()
    }
}

/// For `serialize_with`: a duration in seconds.
pub fn seconds<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_secs_f64())
}

/// For `with`: a duration in seconds, in both directions.
pub mod seconds_number {
    use super::{Deserialize as _, Deserializer, Duration, Serializer};

    /// As [`super::seconds`].
    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        super::seconds(span, serializer)
    }

    /// Seconds that are not a valid duration are refused.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// For `serialize_with`: an optional duration in seconds.
pub fn optional_seconds<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    span.map(|span| span.as_secs_f64()).serialize(serializer)
}

/// For `serialize_with`: a time in seconds since the Unix epoch.
pub fn unix_seconds<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64())
}

/// For `serialize_with`: an optional time in seconds since the Unix epoch.
pub fn optional_unix_seconds<S: Serializer>(at: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => unix_seconds(at, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_round_trip() {
        for (text, bytes) in [("64MiB", 64 << 20), ("1KiB", 1024), ("10B", 10), ("0B", 0)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
        for (text, ms) in [("100ms", 100), ("30s", 30_000), ("10m", 600_000), ("0ms", 0)] {
            assert_eq!(text.parse(), Ok(HumanDuration(Duration::from_millis(ms))));
            assert_eq!(HumanDuration(Duration::from_millis(ms)).to_string(), text);
        }
        assert_eq!("2 MB".parse(), Ok(ByteSize(2_000_000)));
    }

    #[test]
    fn a_value_without_a_unit_is_refused_with_a_suggestion() {
        assert_eq!(bytes("64").unwrap_err(), "`64` has no unit; use for example \"64KiB\", \"64MiB\" or \"64B\"");
        assert_eq!(time(" 5").unwrap_err(), "`5` has no unit; use for example \"5s\" or \"5ms\"");
        let percent = |text: &str| text.parse::<Percent>().map(Percent::percent);
        assert_eq!(percent("5").unwrap_err(), "`5` has no `%`; did you mean \"5%\"?");
        assert_eq!(percent("0.25").unwrap_err(), "`0.25` has no `%`; did you mean \"25%\" or \"0.25%\"?");
        assert!(percent("some").unwrap_err().contains("use for example \"5%\""));
        for bad in ["%", "-1%", "0%", "100.1%", "1e1%", "inf%", "5%%", "5 %x"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
        assert_eq!((percent("5%"), percent(" 0.5 % "), percent("100%")), (Ok(5.0), Ok(0.5), Ok(100.0)));
    }

    #[test]
    fn a_number_in_a_file_is_only_valid_as_bytes() {
        #[derive(Debug, Deserialize)]
        struct UnitsExample {
            size: Option<ByteSize>,
            span: Option<HumanDuration>,
            share: Option<Percent>,
        }
        let read = |text: &str| toml::from_str::<UnitsExample>(text).map_err(|error| error.message().to_owned());
        assert_eq!(read("size = 4096").unwrap().size, Some(ByteSize(4096)));
        assert_eq!(read("span = \"5s\"").unwrap().span, Some(HumanDuration(Duration::from_secs(5))));
        assert_eq!(read("share = \"5%\"").unwrap().share.map(Percent::share), Some(0.05));
        assert!(read("span = 5").unwrap_err().contains("\"5s\" or \"5ms\""));
        assert!(read("share = 5").unwrap_err().contains("did you mean \"5%\"?"));
        assert!(read("size = true").unwrap_err().contains("65536 (bytes) or \"64MiB\""));
        assert!(read("span = true").unwrap_err().contains("a string with its unit"));
    }

    #[test]
    fn an_invalid_value_is_refused_with_an_example() {
        assert!("64 elephants".parse::<ByteSize>().unwrap_err().contains("64MiB"));
        assert!("soon".parse::<HumanDuration>().unwrap_err().contains("100ms"));
        assert!("18446744073709551615GiB".parse::<ByteSize>().is_err(), "an overflow is not a size");
    }

    fn bytes(text: &str) -> Result<usize, String> {
        text.parse::<ByteSize>().map(|size| size.0)
    }

    fn time(text: &str) -> Result<Duration, String> {
        text.parse::<HumanDuration>().map(|span| span.0)
    }

    #[test]
    fn sizes_and_durations() {
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("1.5 kB"), Ok(1_500));
        assert_eq!(time("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(time("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(time("15 m"), Ok(Duration::from_secs(900)));
        for bad in ["", "MiB", "-1", "1 parsec", "1e9", "99999999999999999999", "18446744073709551615GiB", "1.2.3s"] {
            assert!(bytes(bad).is_err() && time(bad).is_err(), "{bad}");
        }
    }
}
