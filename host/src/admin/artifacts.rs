//! Artifacts that are handed over for a later change.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::answer::{Failure, page};
use super::body;
use super::pages::Rooms;
use super::visits::Stay;
use crate::plugin::artifact::MAX_BYTES;
use crate::plugin::change::{Refused, RefusedCode};

/// Takes the bytes, and answers with their digest when they are on the disk.
pub(super) async fn keep(
    State(rooms): State<Rooms>,
    Extension(stay): Extension<Stay>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let _one_at_a_time = rooms
        .uploads
        .try_acquire()
        .map_err(|_| Failure::busy("another artifact is being handed over; try again when it is through"))?;
    stay.longer();
    let artifact = body::whole(&headers, body, MAX_BYTES, &stay).await?;
    if artifact.is_empty() {
        return Err(Failure::bad_request("the body is empty; send the bytes of the artifact"));
    }
    let digest = rooms.office.keep(artifact).await;
    let digest = digest.map_err(|message| Refused { code: RefusedCode::Disk, message })?;
    Ok(page(StatusCode::OK, &json!({ "digest": digest })))
}
