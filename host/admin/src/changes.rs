//! Handlers that request changes and stream their steps.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::body;
use super::connections::LongRequest;
use super::pages::{AdminContext, Name};
use super::response::ApiError;
use super::steps::StepStream;
use barnabas_lifecycle::change::{
    Actor, ChangeRefused, ChangeRefusedCode, ManifestPatch, PluginChange, RolloutOverride,
};
use barnabas_lifecycle::manifest;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CandidateBody {
    wanted: ManifestPatch,
    plan: RolloutOverride,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RollbackBody {
    to: Option<u64>,
    force: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RetryBody {
    plan: RolloutOverride,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RemoveBody {
    forget_state: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmptyBody {}

pub(super) async fn load(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, CandidateBody { wanted, plan }) = asked.read_named(name, request).await?;
    asked.start(PluginChange::Load(name, wanted, validate_rollout(plan)?))
}

pub(super) async fn swap(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, CandidateBody { wanted, plan }) = asked.read_named(name, request).await?;
    asked.start(PluginChange::Swap(name, wanted, validate_rollout(plan)?))
}

pub(super) async fn rollback(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, RollbackBody { to, force }) = asked.read_named(name, request).await?;
    asked.start(PluginChange::Rollback(name, to, force))
}

pub(super) async fn keep(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, EmptyBody {}) = asked.read_named(name, request).await?;
    asked.start(PluginChange::Keep(name))
}

pub(super) async fn retry(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, RetryBody { plan }) = asked.read_named(name, request).await?;
    asked.start(PluginChange::Retry(name, validate_rollout(plan)?))
}

pub(super) async fn pause(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, EmptyBody {}) = asked.read_named(name, request).await?;
    asked.start(PluginChange::Pause(name))
}

pub(super) async fn resume(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, EmptyBody {}) = asked.read_named(name, request).await?;
    asked.start(PluginChange::Resume(name))
}

pub(super) async fn remove(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, RemoveBody { forget_state }) = asked.read_named(name, request).await?;
    asked.start(PluginChange::Remove(name, forget_state))
}

pub(super) async fn abort(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, EmptyBody {}) = asked.read_named(name, request).await?;
    asked.start(PluginChange::Abort(name))
}

pub(super) async fn reconcile(asked: ChangeRequest, request: Request) -> Result<Response, ApiError> {
    let EmptyBody {} = asked.read(request).await?;
    asked.start(PluginChange::Reconcile)
}

/// The actor of a change, and the handles to perform it.
pub(super) struct ChangeRequest {
    context: AdminContext,
    who: Actor,
    stay: LongRequest,
}

impl FromRequestParts<AdminContext> for ChangeRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, context: &AdminContext) -> Result<Self, ApiError> {
        let (who, stay) = (parts.extensions.get::<Actor>(), parts.extensions.get::<LongRequest>());
        let (Some(who), Some(stay)) = (who.cloned(), stay.cloned()) else {
            return Err(ApiError::internal("the request has no actor, so it was not performed"));
        };
        Ok(Self { context: context.clone(), who, stay })
    }
}

impl ChangeRequest {
    /// The plugin name in the path, and the parsed body.
    async fn read_named<T: DeserializeOwned>(&self, name: Name, request: Request) -> Result<(Arc<str>, T), ApiError> {
        Ok((validate_name(&name.0)?, self.read(request).await?))
    }

    async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<T, ApiError> {
        let (parts, body) = request.into_parts();
        body::read_json(&parts.uri, &parts.headers, body, &self.stay).await
    }

    fn start(self, change: PluginChange) -> Result<Response, ApiError> {
        let steps = self.context.ops.change(self.who, change)?;
        self.stay.allow();
        Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::new(StepStream::new(steps))).into_response())
    }
}

/// Validates a plugin name, because it becomes part of paths.
fn validate_name(name: &str) -> Result<Arc<str>, ApiError> {
    match manifest::plugin_name(Path::new(&format!("{name}.toml"))) {
        Ok(found) if *found == *name => Ok(found),
        _ => Err(invalid(format!(
            "`{name}` is not a valid plugin name: use lower-case letters, digits and dashes, beginning with a letter \
             or digit"
        ))),
    }
}

fn validate_rollout(plan: RolloutOverride) -> Result<RolloutOverride, ApiError> {
    match plan.canary {
        Some(share) if !(0.0..=100.0).contains(&share) => {
            Err(invalid(format!("`canary` is {share}: it must be a percentage from 0 to 100")))
        }
        _ => Ok(plan),
    }
}

fn invalid(message: String) -> ApiError {
    ChangeRefused { code: ChangeRefusedCode::Invalid, message }.into()
}
