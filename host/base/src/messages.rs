//! Error messages and phrases: errors of TOML files with file, line, key and cause, suggestions for mistyped names, and
//! counts with their noun.

use std::fmt::{Display, Write as _};
use std::path::Path;

use serde::de::DeserializeOwned;

/// How similar two names must be (Jaro-Winkler, 0 to 1) for one to be suggested for the other: `artefact` and
/// `artifact` are, `foo` and `want` are not.
const SIMILAR: f64 = 0.8;

/// Parses a TOML text; the error is one sentence with the file, the line, the cause and a suggestion.
pub fn parse_toml<T: DeserializeOwned>(path: &Path, text: &str) -> anyhow::Result<T> {
    toml::from_str(text).map_err(|error| anyhow::anyhow!(explain(path, text, &error)))
}

/// `file:line: cause`, with the nearest known key if one was mistyped.
fn explain(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let mut message = path.display().to_string();
    if let Some(span) = error.span() {
        let line = text.get(..span.start).unwrap_or(text).matches('\n').count() + 1;
        let _ = write!(message, ":{line}");
    }
    let _ = write!(message, ": {}", error.message().trim_end().replace('\n', " "));
    if let Some(nearest) = suggestion_for(error.message()) {
        let _ = write!(message, " (did you mean `{nearest}`?)");
    }
    message
}

/// serde names the unknown field first and the known ones after it, each in backticks.
pub fn suggestion_for(message: &str) -> Option<&str> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut names = message.split('`').skip(1).step_by(2);
    closest_name(names.next()?, names)
}

/// The known name that was probably intended; `None` if none is similar enough.
pub fn closest_name<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(unknown, known), known));
    let (score, best) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score >= SIMILAR).then_some(best)
}

/// The end of a sentence about an unknown name: `` did you mean `a`? Known are `a`, `b` ``.
pub fn suggest(unknown: &str, known: &[&str]) -> String {
    let all = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match closest_name(unknown, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? Known are {all}"),
        None => format!("known are {all}"),
    }
}

/// A number with its noun, which is given in the singular: `1 request`, `2 requests`, `0 batches`, `3 entries`.
pub fn count_noun(number: impl Display, noun: &str) -> String {
    let number = number.to_string();
    if number == "1" {
        return format!("1 {noun}");
    }
    if let Some(stem) = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u'])) {
        return format!("{number} {stem}ies");
    }
    let hisses = ["s", "x", "z", "ch", "sh"].iter().any(|end| noun.ends_with(end));
    format!("{number} {noun}{}", if hisses { "es" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct TomlExample {
        #[allow(dead_code, reason = "only its name matters")]
        max_push_bytes: Option<u32>,
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_a_suggestion() {
        let error = parse_toml::<TomlExample>(Path::new("b.toml"), "\nmax-push-byte = 1\n").unwrap_err().to_string();
        assert!(error.starts_with("b.toml:2: unknown field `max-push-byte`"), "{error}");
        assert!(error.ends_with("(did you mean `max-push-bytes`?)"), "{error}");
    }

    #[test]
    fn only_a_similar_name_is_suggested() {
        let known = ["artifact", "digest", "paused", "settings", "want", "client_id", "node-id"];
        for (unknown, expected) in [
            ("artefact", Some("artifact")),
            ("setting", Some("settings")),
            ("pause", Some("paused")),
            ("clientid", Some("client_id")),
            ("node_id", Some("node-id")),
            ("foo", None),
            ("env", None),
            ("log-level", None),
            ("", None),
        ] {
            assert_eq!(closest_name(unknown, known), expected, "{unknown}");
        }
        assert_eq!(closest_name("foo", []), None);
        assert_eq!(suggest("wants", &["want", "queue"]), "did you mean `want`? Known are `want`, `queue`");
        assert_eq!(suggest("foo", &["want", "queue"]), "known are `want`, `queue`");
    }

    #[test]
    fn a_count_has_its_noun_in_singular_or_plural() {
        for (number, noun, expected) in [
            (1, "request", "1 request"),
            (0, "request", "0 requests"),
            (2, "push", "2 pushes"),
            (1, "batch", "1 batch"),
            (7, "batch", "7 batches"),
            (3, "entry", "3 entries"),
            (3, "day", "3 days"),
            (2, "recorded push", "2 recorded pushes"),
        ] {
            assert_eq!(count_noun(number, noun), expected);
        }
    }

    #[test]
    fn a_wrong_type_is_reported_with_its_line() {
        let error = parse_toml::<TomlExample>(Path::new("b.toml"), "max-push-bytes = \"x\"").unwrap_err().to_string();
        assert!(error.starts_with("b.toml:1: invalid type"), "{error}");
    }
}
