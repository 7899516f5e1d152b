//! Formats tables and numbers.

pub(crate) use barnabas_base::text::escape;

/// A number of bytes with a binary unit.
pub(crate) fn format_size(bytes: usize) -> String {
    #[allow(clippy::cast_precision_loss, reason = "for reading")]
    let number = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", number / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", number / 1_048_576.0),
        _ => format!("{:.1} GiB", number / 1_073_741_824.0),
    }
}

/// A duration in its two largest units.
pub(crate) fn format_seconds(seconds: f64) -> String {
    let whole = seconds as u64;
    let of = |large: u64, unit: &str, small: u64, lesser: &str| {
        let rest = whole % large / small;
        let rest = if rest == 0 { String::new() } else { format!(" {rest} {lesser}") };
        format!("{} {unit}{rest}", whole / large)
    };
    match seconds {
        ..1e-3 => format!("{:.0} µs", seconds.max(0.0) * 1e6),
        ..1.0 => format!("{:.1} ms", seconds * 1e3),
        ..60.0 => format!("{seconds:.1} s"),
        ..3_600.0 => of(60, "min", 1, "s"),
        ..86_400.0 => of(3_600, "h", 60, "min"),
        _ => of(86_400, "d", 3_600, "h"),
    }
}

/// A table with headings and aligned columns, separated by two spaces.
pub(crate) fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head = headings.iter().map(|heading| heading.to_uppercase()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".into(), "long cell".into()], vec!["bcd".into(), "x".into()]];
        assert_eq!(table(&["n", "what"], rows.into_iter()), "N    WHAT\na    long cell\nbcd  x\n");
    }

    #[test]
    fn durations_have_units() {
        for (seconds, words) in [
            (0.0, "0 µs"),
            (0.000_042, "42 µs"),
            (0.042_225_333, "42.2 ms"),
            (3.21, "3.2 s"),
            (90.0, "1 min 30 s"),
            (7_200.0, "2 h"),
            (7_320.0, "2 h 2 min"),
            (200_000.0, "2 d 7 h"),
        ] {
            assert_eq!(format_seconds(seconds), words);
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(
            (format_size(12), format_size(2048), format_size(3 << 20)),
            ("12 B".into(), "2.0 KiB".into(), "3.0 MiB".into())
        );
    }
}
