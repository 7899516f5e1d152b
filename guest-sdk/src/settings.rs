//! Types for the settings of a receiver, in addition to those that serde supports.
//!
//! ```
//! use barnabas_sdk::{Fact, http, settings};
//!
//! #[derive(Debug, serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     /// `"https://sink.example/write"`; an invalid URL is refused with the name of the setting.
//!     endpoint: http::Url,
//!     /// Never displayed.
//!     token: settings::Secret,
//!     /// `"10s"`, `"1500ms"`, `"5m"`.
//!     timeout: settings::Duration,
//!     /// `["client_id", "node_id"]`.
//!     labels: Vec<Fact>,
//! }
//! ```

mod duration;
mod secret;

use serde::de::DeserializeOwned;

use crate::StartError;

pub use duration::Duration;
pub use secret::Secret;

/// Deserializes the settings of the operator. The host generated this JSON from the operator's TOML file, so an error
/// names the key; a line or column of the JSON would mean nothing to the operator.
pub(crate) fn parse<S: DeserializeOwned>(json: &str) -> Result<S, StartError> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let settings = serde_path_to_error::deserialize(&mut reader).map_err(settings_error)?;
    let trailing = |error| format!("invalid settings: not one JSON object: {}", without_position(&error));
    reader.end().map_err(|error| StartError::new(trailing(error)))?;
    Ok(settings)
}

fn settings_error(error: serde_path_to_error::Error<serde_json::Error>) -> StartError {
    let path = error.path().to_string();
    let cause = without_position(error.inner());
    match path.as_str() {
        "." | "?" => StartError::new(format!("invalid settings: {cause}")),
        key => StartError::setting(key, cause),
    }
}

fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::NoSettings;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ExampleSettings {
        endpoint: String,
        #[serde(default)]
        limits: ExampleLimits,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ExampleLimits {
        bytes: u32,
    }

    fn refusal(json: &str) -> String {
        parse::<ExampleSettings>(json).unwrap_err().to_string()
    }

    #[test]
    fn good_settings_are_read() {
        let example: ExampleSettings = parse(r#"{"endpoint": "here", "limits": {"bytes": 7}}"#).unwrap();
        assert_eq!((example.endpoint.as_str(), example.limits.bytes), ("here", 7));
        parse::<NoSettings>("{}").unwrap();
    }

    #[test]
    fn an_unknown_key_is_named_with_the_known_ones() {
        let refusal = refusal(r#"{"endpont": "x"}"#);
        assert_eq!(refusal, "invalid setting `endpont`: unknown field `endpont`, expected `endpoint` or `limits`");
    }

    #[test]
    fn a_wrong_type_is_named_with_its_whole_path() {
        let refusal = refusal(r#"{"endpoint": "x", "limits": {"bytes": "many"}}"#);
        assert_eq!(refusal, "invalid setting `limits.bytes`: invalid type: string \"many\", expected u32");
    }

    #[test]
    fn a_missing_key_is_named() {
        assert_eq!(refusal("{}"), "invalid settings: missing field `endpoint`");
    }

    #[test]
    fn settings_for_a_receiver_without_any_are_refused() {
        let refusal = parse::<NoSettings>(r#"{"level": 1}"#).unwrap_err().to_string();
        assert!(refusal.contains("`level`"), "{refusal}");
    }

    #[test]
    fn text_after_the_object_is_refused() {
        let refusal = parse::<NoSettings>("{} {}").unwrap_err().to_string();
        assert!(refusal.contains("not one JSON object"), "{refusal}");
    }
}
