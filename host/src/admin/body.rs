//! Bodies of requests, read under a cap.
//!
//! In: a body. Out: all of its bytes, or why not. Bounded in bytes, and each of its reads in time. Nothing is allocated
//! because a length was declared.

use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, Uri};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::connections::LongRequest;
use super::response::ApiError;
use crate::messages;

/// Most bytes of a JSON body.
pub(super) const JSON_BYTES: usize = 1 << 20;

/// All of it.
pub(super) async fn read_body(
    headers: &HeaderMap,
    mut body: Body,
    most: usize,
    stay: &LongRequest,
) -> Result<Bytes, ApiError> {
    let too_large = || ApiError::too_large(format!("the body is larger than the {most} bytes it may have"));
    let told = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|told| told > most as u64) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    loop {
        let frame = timeout(stay.idle, body.frame()).await;
        let frame = frame.map_err(|_| ApiError::timeout(format!("nothing of the body came within {:?}", stay.idle)))?;
        let Some(frame) = frame else { return Ok(bytes.freeze()) };
        let frame = frame.map_err(|error| ApiError::bad_request(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
}

/// As JSON; an empty one is `{}`. `uri` is for the words only.
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
