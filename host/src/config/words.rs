//! Errors of TOML files in words: file, place, key, cause and the nearest known key.

use std::fmt::Write as _;
use std::path::Path;

use serde::de::DeserializeOwned;

/// Reads a TOML text; the error is one sentence that names the file, the line and what to write instead.
pub fn read<T: DeserializeOwned>(path: &Path, text: &str) -> anyhow::Result<T> {
    toml::from_str(text).map_err(|error| anyhow::anyhow!(explain(path, text, &error)))
}

/// `file:line: cause`, with the nearest known key where one was mistyped.
fn explain(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let mut words = path.display().to_string();
    if let Some(span) = error.span() {
        let line = text.get(..span.start).unwrap_or(text).matches('\n').count() + 1;
        let _ = write!(words, ":{line}");
    }
    let _ = write!(words, ": {}", error.message().trim_end().replace('\n', " "));
    if let Some(nearest) = nearest(error.message()) {
        let _ = write!(words, " (did you mean `{nearest}`?)");
    }
    words
}

/// serde names the unknown field first and the known ones after it, each in backticks.
pub(crate) fn nearest(message: &str) -> Option<&str> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let scored = names.map(|known| (strsim::jaro_winkler(unknown, known), known));
    let (score, best) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score > 0.7).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Example {
        #[allow(dead_code, reason = "only its name matters")]
        max_push_bytes: Option<u32>,
    }

    #[test]
    fn an_unknown_key_is_named_with_place_and_neighbour() {
        let words = read::<Example>(Path::new("b.toml"), "\nmax-push-byte = 1\n").unwrap_err().to_string();
        assert!(words.starts_with("b.toml:2: unknown field `max-push-byte`"), "{words}");
        assert!(words.ends_with("(did you mean `max-push-bytes`?)"), "{words}");
    }

    #[test]
    fn a_wrong_type_names_the_place() {
        let words = read::<Example>(Path::new("b.toml"), "max-push-bytes = \"x\"").unwrap_err().to_string();
        assert!(words.starts_with("b.toml:1: invalid type"), "{words}");
    }
}
