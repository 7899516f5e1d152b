//! Request bodies with a size limit.
//!
//! In: a body. Out: its bytes, or an error. Bounded in bytes, and each read in time. Never allocates memory for a
//! declared length.

use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, Uri};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::connections::LongRequest;
use super::response::ApiError;
use barnabas_base::messages;

/// Maximum size of a JSON body.
pub(super) const JSON_BYTES: usize = 1 << 20;

/// Reads the complete body.
pub(super) async fn read_body(
    headers: &HeaderMap,
    mut body: Body,
    most: usize,
    stay: &LongRequest,
) -> Result<Bytes, ApiError> {
    let too_large = || ApiError::too_large(format!("the body is larger than the limit of {most} bytes"));
    let problem = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if problem.is_some_and(|problem| problem > most as u64) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    loop {
        let frame = timeout(stay.idle, body.frame()).await;
        let frame =
            frame.map_err(|_| ApiError::timeout(format!("no data of the body arrived within {:?}", stay.idle)))?;
        let Some(frame) = frame else { return Ok(bytes.freeze()) };
        let frame = frame.map_err(|error| ApiError::bad_request(format!("the body is incomplete: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
}

/// Parses a JSON body; an empty one is `{}`. `uri` is used for error messages.
pub(super) async fn read_json<T: DeserializeOwned>(
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
    stay: &LongRequest,
) -> Result<T, ApiError> {
    let bytes = read_body(headers, body, JSON_BYTES, stay).await?;
    let text = if bytes.trim_ascii().is_empty() { b"{}" } else { &*bytes };
    serde_json::from_slice(text).map_err(|error| {
        let message = error.to_string();
        let hint =
            messages::suggestion_for(&message).map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
        ApiError::bad_request(format!("the body for {}: {message}{hint}", uri.path()))
    })
}
