//! Changes: what is asked, and the steps in which it is answered.

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
use crate::plugin::change::{Actor, Change, Plan, Refused, RefusedCode, Wanted};
use crate::plugin::manifest;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CandidateBody {
    wanted: Wanted,
    plan: Plan,
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
    plan: Plan,
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
    asked.start(Change::Load(name, wanted, validate_rollout(plan)?))
}

pub(super) async fn swap(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, CandidateBody { wanted, plan }) = asked.read_named(name, request).await?;
    asked.start(Change::Swap(name, wanted, validate_rollout(plan)?))
}

pub(super) async fn rollback(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, RollbackBody { to, force }) = asked.read_named(name, request).await?;
    asked.start(Change::Rollback(name, to, force))
}

pub(super) async fn keep(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, EmptyBody {}) = asked.read_named(name, request).await?;
    asked.start(Change::Keep(name))
}

pub(super) async fn retry(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, RetryBody { plan }) = asked.read_named(name, request).await?;
    asked.start(Change::Retry(name, validate_rollout(plan)?))
}

pub(super) async fn pause(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, EmptyBody {}) = asked.read_named(name, request).await?;
    asked.start(Change::Pause(name))
}

pub(super) async fn resume(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, EmptyBody {}) = asked.read_named(name, request).await?;
    asked.start(Change::Resume(name))
}

pub(super) async fn remove(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, RemoveBody { forget_state }) = asked.read_named(name, request).await?;
    asked.start(Change::Remove(name, forget_state))
}

pub(super) async fn abort(asked: ChangeRequest, name: Name, request: Request) -> Result<Response, ApiError> {
    let (name, EmptyBody {}) = asked.read_named(name, request).await?;
    asked.start(Change::Abort(name))
}

pub(super) async fn reconcile(asked: ChangeRequest, request: Request) -> Result<Response, ApiError> {
    let EmptyBody {} = asked.read(request).await?;
    asked.start(Change::Reconcile)
}

/// Who asks, and what it takes to answer.
pub(super) struct ChangeRequest {
    rooms: AdminContext,
    who: Actor,
    stay: LongRequest,
}

impl FromRequestParts<AdminContext> for ChangeRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, rooms: &AdminContext) -> Result<Self, ApiError> {
        let (who, stay) = (parts.extensions.get::<Actor>(), parts.extensions.get::<LongRequest>());
        let (Some(who), Some(stay)) = (who.cloned(), stay.cloned()) else {
            return Err(ApiError::internal("the host does not know who asks, so it does nothing"));
        };
        Ok(Self { rooms: rooms.clone(), who, stay })
    }
}

impl ChangeRequest {
    /// The plugin's name from the path, and what the body says of it.
    async fn read_named<T: DeserializeOwned>(&self, name: Name, request: Request) -> Result<(Arc<str>, T), ApiError> {
        Ok((validate_name(&name.0)?, self.read(request).await?))
    }

    async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<T, ApiError> {
        let (parts, body) = request.into_parts();
        body::read_json(&parts.uri, &parts.headers, body, &self.stay).await
    }

    fn start(self, change: Change) -> Result<Response, ApiError> {
        let steps = self.rooms.ops.change(self.who, change)?;
        self.stay.allow();
        Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::new(StepStream::new(steps))).into_response())
    }
}

/// A name that a file of the directory can have: it goes into paths.
fn validate_name(name: &str) -> Result<Arc<str>, ApiError> {
    match manifest::name(Path::new(&format!("{name}.toml"))) {
        Ok(found) if *found == *name => Ok(found),
        _ => Err(invalid(format!(
            "`{name}` cannot be a plugin's name: it is lower-case letters, digits and dashes, beginning with a letter \
             or digit"
        ))),
    }
}

fn validate_rollout(plan: Plan) -> Result<Plan, ApiError> {
    match plan.canary {
        Some(share) if !(0.0..=100.0).contains(&share) => {
            Err(invalid(format!("`canary` is {share}: it is a share of the lanes, from 0 to 100 percent")))
        }
        _ => Ok(plan),
    }
}

fn invalid(message: String) -> ApiError {
    Refused { code: RefusedCode::Invalid, message }.into()
}
