//! Sizes and durations as people write them.

use std::time::Duration;

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
const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// `64MiB`, `64 MB`, `65536`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let wrong = || format!("`{text}` is not a size; write for example \"64MiB\" or 65536");
    let bytes = scaled(text, &SIZES).ok_or_else(wrong)?;
    usize::try_from(bytes).map_err(|_| wrong())
}

/// `100ms`, `1s`, `1.5s`, `5m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let millis = scaled(text, &TIMES);
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is not a duration; write for example \"100ms\", \"30s\" or \"5m\""))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations() {
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("1.5 kB"), Ok(1_500));
        assert_eq!(size("65536"), Ok(65_536));
        assert_eq!(duration("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("15 m"), Ok(Duration::from_secs(900)));
        for bad in ["", "MiB", "-1", "1 parsec", "1e9", "99999999999999999999", "18446744073709551615GiB", "1.2.3s"] {
            assert!(size(bad).is_err() && duration(bad).is_err(), "{bad}");
        }
        assert!(duration("5").unwrap_err().contains("30s"), "a duration has a unit");
    }
}
