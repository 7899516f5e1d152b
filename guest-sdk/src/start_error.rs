//! The error of a receiver that does not start.

use std::fmt;

/// The error of [`Receiver::start`](crate::Receiver::start): a sentence for the operator. `?` converts any error into
/// it.
///
/// ```
/// # use barnabas_sdk::StartError;
/// fn tenant(name: &str) -> Result<u32, StartError> {
///     if name.is_empty() {
///         return Err(StartError::setting("tenant", "it is empty; set the number of a tenant"));
///     }
///     Ok(name.parse::<u32>()?)
/// }
/// let error = tenant("").unwrap_err();
/// assert_eq!(error.to_string(), "invalid setting `tenant`: it is empty; set the number of a tenant");
/// ```
// It does not implement `std::error::Error`, so that `From` can convert every type that does (as in `anyhow::Error`).
#[derive(PartialEq, Eq)]
pub struct StartError(String);

impl StartError {
    /// One sentence that says what is wrong and what would be right.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }

    /// The setting `key` (its path, with dots) is invalid for this reason.
    pub fn setting(key: &str, reason: impl fmt::Display) -> Self {
        Self(format!("invalid setting `{key}`: {reason}"))
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The same text as `Display`, so that a failed `unwrap` in a test is readable.
impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<E: std::error::Error> From<E> for StartError {
    fn from(error: E) -> Self {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(at) = cause {
            reason = format!("{reason}: {at}");
            cause = at.source();
        }
        Self(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::StartError;

    #[test]
    fn every_error_becomes_one_with_its_causes() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("not the number of a tenant")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let error: StartError = Outer("x".parse::<u32>().unwrap_err()).into();
        assert_eq!(error.to_string(), "not the number of a tenant: invalid digit found in string");
        assert_eq!(format!("{error:?}"), error.to_string());
    }
}
