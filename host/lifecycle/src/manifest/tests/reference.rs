//! Compares docs/manifest.md with the code, in both directions.

use std::collections::BTreeSet;

use super::super::raw::KEYS;
use super::*;
use barnabas_pipeline::dispatch::Wants;
use barnabas_runtime::capability::{egress, log};
use barnabas_runtime::{artifact, limits};

const PAGE: &str = include_str!("../../../../../docs/manifest.md");

/// One row of a table of keys.
#[derive(Debug)]
struct KeyRow {
    /// `""` is the top level.
    section: String,
    key: String,
    default: String,
    range: String,
    example: String,
}

impl KeyRow {
    fn name(&self) -> String {
        if self.section.is_empty() { self.key.clone() } else { format!("{}.{}", self.section, self.key) }
    }

    /// A manifest with this line, and the other keys that it requires.
    fn manifest(&self, line: &str) -> Result<Manifest, String> {
        let beside = match self.key.as_str() {
            "state-keys" => "state = \"1MiB\"\n",
            "own-listeners" => "http = [\"localhost:4318\"]\n",
            _ => "",
        };
        let artifact = if self.key == "artifact" { "" } else { "artifact = \"a.wasm\"\n" };
        if self.section.is_empty() {
            return parse(&format!("{artifact}{line}\n"));
        }
        parse(&format!("{artifact}[{}]\n{beside}{line}\n", self.section))
    }

    fn with(&self, value: &str) -> Result<Manifest, String> {
        self.manifest(&format!("{} = {value}", self.key))
    }
}

fn code_span(cell: &str) -> Option<&str> {
    cell.trim().strip_prefix('`')?.strip_suffix('`')
}

/// The rows of the tables under headings such as ``## `[grants]` ``.
fn rows() -> Vec<KeyRow> {
    let (mut rows, mut section) = (Vec::new(), None);
    for line in PAGE.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            let table = title.strip_prefix("`[").and_then(|rest| rest.strip_suffix("]`"));
            section = table.or((title == "The file itself").then_some(""));
            continue;
        }
        let Some(section) = section.filter(|_| line.starts_with("| `")) else { continue };
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [key, _meaning, _kind, default, range, example] = cells[..] else { panic!("six cells: {line}") };
        rows.push(KeyRow {
            section: section.to_owned(),
            key: code_span(key).unwrap().to_owned(),
            default: default.to_owned(),
            range: range.to_owned(),
            example: code_span(example).unwrap_or_else(|| panic!("an example as code: {line}")).to_owned(),
        });
    }
    rows
}

/// The validated values of a manifest, without its text.
fn resolved(manifest: &Manifest) -> String {
    let Manifest {
        paused,
        rollout: care,
        settings,
        grants,
        state_quota: state,
        limits,
        instances,
        requests,
        normalise,
        slot,
        ..
    } = manifest;
    format!(
        "{paused} {care:?} {settings} {grants:?} {state:?} {limits:?} {instances} {requests} {normalise:?} {slot:?}"
    )
}

#[test]
fn every_key_is_in_the_reference_and_every_row_of_it_is_a_key() {
    let facts = Wants::facts().map(|fact| format!("want.{fact}"));
    let keys = KEYS.iter().flat_map(|(section, keys)| {
        keys.iter().map(move |key| if section.is_empty() { (*key).to_owned() } else { format!("{section}.{key}") })
    });
    let known: BTreeSet<String> = keys.chain(facts).collect();
    let shown: BTreeSet<String> = rows().iter().map(KeyRow::name).collect();
    let missing: Vec<_> = known.difference(&shown).collect();
    assert!(
        missing.is_empty(),
        "docs/manifest.md has no row for {missing:?}: add to the table under the heading of its section a line such as\n\
         | `key` | What it means. | duration | `\"30s\"` | `\"1ms\"` to `\"1h\"` | `key = \"10s\"` |\n\
         with six cells (the default and the ends of the range as TOML); this test then tries all of them"
    );
    let unknown: Vec<_> = shown.difference(&known).collect();
    assert!(unknown.is_empty(), "docs/manifest.md has rows for {unknown:?}, which no manifest may have: take them out");
}

#[test]
fn every_example_is_accepted_and_makes_a_difference() {
    for row in rows() {
        let found = row.manifest(&row.example).unwrap_or_else(|error| panic!("{}: {error}", row.name()));
        // These two are not among the validated values, and one of them is required.
        if !matches!(row.name().as_str(), "artifact" | "digest") {
            let without = row.manifest("").unwrap();
            assert_ne!(resolved(&found), resolved(&without), "`{}` is the default: show something else", row.example);
        }
    }
}

#[test]
fn every_default_is_what_applies_without_the_key() {
    for row in rows() {
        let Some(default) = code_span(&row.default) else {
            assert_eq!(row.default, "none", "{}: write the default as code, or `none`", row.name());
            continue;
        };
        let with = row.with(default).unwrap_or_else(|error| panic!("{}: {error}", row.name()));
        let without = row.manifest("").unwrap();
        // The presence of a `[normalise]` table switches normalisation on.
        assert_eq!(resolved(&with), resolved(&without), "{}: the default is not {default}", row.name());
    }
}

/// The values just below and just above a TOML value; `None` if there is none.
fn adjacent_values(value: &str) -> (Option<String>, Option<String>) {
    let around = |number: usize, unit: &str| {
        let quoted = |number: usize| if unit.is_empty() { number.to_string() } else { format!("\"{number}{unit}\"") };
        (number.checked_sub(1).map(quoted), Some(quoted(number + 1)))
    };
    let text = value.trim_matches('"');
    if let Ok(size) = text.parse::<barnabas_base::units::ByteSize>() {
        return around(size.0, "");
    }
    if let Ok(span) = text.parse::<barnabas_base::units::HumanDuration>() {
        return around(usize::try_from(span.0.as_millis()).unwrap(), "ms");
    }
    around(text.parse().unwrap_or_else(|_| panic!("{value} is no number, size or duration")), "")
}

#[test]
fn every_range_is_obeyed_and_violated() {
    let mut tried = 0;
    for row in rows().iter().filter(|row| !row.range.is_empty()) {
        let name = row.name();
        let refused = |value: &str| assert!(row.with(value).is_err(), "{name}: {value} is out of its range");
        let accepted = |value: &str| {
            row.with(value).unwrap_or_else(|error| panic!("{name}: {value} is in its range: {error}"));
        };
        tried += 1;
        if let Some((least, most)) = row.range.split_once(" to ") {
            let (least, most) = (code_span(least).unwrap(), code_span(most).unwrap());
            [least, most].into_iter().for_each(accepted);
            adjacent_values(least).0.iter().for_each(|below| refused(below));
            adjacent_values(most).1.iter().for_each(|above| refused(above));
        } else if row.range == "above `\"0%\"`, at most `\"100%\"`" {
            ["\"0.1%\"", "\"100%\""].into_iter().for_each(accepted);
            ["\"0%\"", "\"100.1%\""].into_iter().for_each(refused);
        } else {
            let other = row.range.strip_suffix(" or more").and_then(code_span);
            let other = other.unwrap_or_else(|| panic!("{name}: no range that a test can try: {}", row.range));
            let least = rows().into_iter().find(|row| row.name() == other).unwrap().default;
            let least = code_span(&least).unwrap();
            accepted(least);
            refused(&adjacent_values(least).0.unwrap());
        }
    }
    assert!(tried > 15, "the ranges were found");
}

#[test]
fn the_text_about_delivery_and_fixed_limits_has_the_numbers_of_the_code() {
    let span = |time: Duration| barnabas_base::units::HumanDuration(time).to_string();
    let slot = barnabas_pipeline::dispatch::SlotConfig::default();
    let egress = egress::EgressLimits::default();
    let (kib, mib) = (|bytes: usize| format!("{} KiB", bytes >> 10), |bytes: usize| format!("{} MiB", bytes >> 20));
    for phrase in [
        format!("hashed into {} lanes", slot.lanes),
        format!("after {} such results", slot.max_unexplained_failures),
        format!("A push that is {} old", span(slot.max_age)),
        format!("a backoff of {} that doubles up to {}", span(slot.backoff.min), span(slot.backoff.max)),
        format!("| An artifact | {} |", mib(artifact::MAX_ARTIFACT_BYTES)),
        format!("| A manifest | {} |", mib(usize::try_from(super::super::MAX_MANIFEST_BYTES).unwrap())),
        format!("| {}; ", kib(log::LINE_BYTES)),
        format!("in one call | {} |", mib(limits::MAX_HOST_CALL_BYTES)),
        format!("streams, …) | {} |", limits::MAX_HANDLES),
        format!("a response | {} |", kib(limits::MAX_HEADER_BYTES)),
        format!("The body of a response | {} |", mib(egress.response_bytes)),
        format!("{} to connect", span(egress.timeouts.connect.unwrap())),
        format!("{} to the first byte", span(egress.timeouts.first_byte.unwrap())),
        format!("{} between two chunks", span(egress.timeouts.between_bytes.unwrap())),
        format!("body; at most {}", span(egress.max_timeout)),
    ] {
        assert!(PAGE.contains(&phrase), "docs/manifest.md should contain `{phrase}`");
    }
}
