//! Uploads of artifacts for a later change.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::body;
use super::connections::LongRequest;
use super::pages::AdminContext;
use super::response::{ApiError, json_response};
use barnabas_lifecycle::change::{ChangeRefused, ChangeRefusedCode};
use barnabas_runtime::artifact::MAX_ARTIFACT_BYTES;

/// Stores the body, and responds with its digest once it is on disk.
pub(super) async fn upload(
    State(context): State<AdminContext>,
    Extension(stay): Extension<LongRequest>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let _one_at_a_time = context
        .uploads
        .try_acquire()
        .map_err(|_| ApiError::busy("another artifact is being uploaded; retry when that upload has finished"))?;
    stay.allow();
    let artifact = body::read_body(&headers, body, MAX_ARTIFACT_BYTES, &stay).await?;
    if artifact.is_empty() {
        return Err(ApiError::bad_request("the body is empty; send the artifact as the request body"));
    }
    let digest = context.ops.store_artifact(artifact).await;
    let digest = digest.map_err(|message| ChangeRefused { code: ChangeRefusedCode::Disk, message })?;
    Ok(json_response(StatusCode::OK, &json!({ "digest": digest })))
}
