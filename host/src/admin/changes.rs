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

use super::answer::Failure;
use super::body;
use super::pages::{Name, Rooms};
use super::steps::Steps;
use super::visits::Stay;
use crate::plugin::change::{Actor, Change, Plan, Refused, RefusedCode, Wanted};
use crate::plugin::manifest;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Candidate {
    wanted: Wanted,
    plan: Plan,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Back {
    to: Option<u64>,
    force: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Again {
    plan: Plan,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Removal {
    forget_state: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

pub(super) async fn load(asked: Asked, name: Name, request: Request) -> Result<Response, Failure> {
    let (name, Candidate { wanted, plan }) = asked.of(name, request).await?;
    asked.begin(Change::Load(name, wanted, sound(plan)?))
}

pub(super) async fn swap(asked: Asked, name: Name, request: Request) -> Result<Response, Failure> {
    let (name, Candidate { wanted, plan }) = asked.of(name, request).await?;
    asked.begin(Change::Swap(name, wanted, sound(plan)?))
}

pub(super) async fn rollback(asked: Asked, name: Name, request: Request) -> Result<Response, Failure> {
    let (name, Back { to, force }) = asked.of(name, request).await?;
    asked.begin(Change::Rollback(name, to, force))
}

pub(super) async fn keep(asked: Asked, name: Name, request: Request) -> Result<Response, Failure> {
    let (name, Nothing {}) = asked.of(name, request).await?;
    asked.begin(Change::Keep(name))
}

pub(super) async fn retry(asked: Asked, name: Name, request: Request) -> Result<Response, Failure> {
    let (name, Again { plan }) = asked.of(name, request).await?;
    asked.begin(Change::Retry(name, sound(plan)?))
}

pub(super) async fn pause(asked: Asked, name: Name, request: Request) -> Result<Response, Failure> {
    let (name, Nothing {}) = asked.of(name, request).await?;
    asked.begin(Change::Pause(name))
}

pub(super) async fn resume(asked: Asked, name: Name, request: Request) -> Result<Response, Failure> {
    let (name, Nothing {}) = asked.of(name, request).await?;
    asked.begin(Change::Resume(name))
}

pub(super) async fn remove(asked: Asked, name: Name, request: Request) -> Result<Response, Failure> {
    let (name, Removal { forget_state }) = asked.of(name, request).await?;
    asked.begin(Change::Remove(name, forget_state))
}

pub(super) async fn abort(asked: Asked, name: Name, request: Request) -> Result<Response, Failure> {
    let (name, Nothing {}) = asked.of(name, request).await?;
    asked.begin(Change::Abort(name))
}

pub(super) async fn reconcile(asked: Asked, request: Request) -> Result<Response, Failure> {
    let Nothing {} = asked.read(request).await?;
    asked.begin(Change::Reconcile)
}

/// Who asks, and what it takes to answer.
pub(super) struct Asked {
    rooms: Rooms,
    who: Actor,
    stay: Stay,
}

impl FromRequestParts<Rooms> for Asked {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, rooms: &Rooms) -> Result<Self, Failure> {
        let (who, stay) = (parts.extensions.get::<Actor>(), parts.extensions.get::<Stay>());
        let (Some(who), Some(stay)) = (who.cloned(), stay.cloned()) else {
            return Err(Failure::broken("the host does not know who asks, so it does nothing"));
        };
        Ok(Self { rooms: rooms.clone(), who, stay })
    }
}

impl Asked {
    /// The plugin's name from the path, and what the body says of it.
    async fn of<T: DeserializeOwned>(&self, name: Name, request: Request) -> Result<(Arc<str>, T), Failure> {
        Ok((possible(&name.0)?, self.read(request).await?))
    }

    async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<T, Failure> {
        let (parts, body) = request.into_parts();
        body::json(&parts.uri, &parts.headers, body, &self.stay).await
    }

    fn begin(self, change: Change) -> Result<Response, Failure> {
        let steps = self.rooms.office.change(self.who, change)?;
        self.stay.longer();
        Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::new(Steps::new(steps))).into_response())
    }
}

/// A name that a file of the directory can have: it goes into paths.
fn possible(name: &str) -> Result<Arc<str>, Failure> {
    match manifest::name(Path::new(&format!("{name}.toml"))) {
        Ok(found) if *found == *name => Ok(found),
        _ => Err(invalid(format!(
            "`{name}` cannot be a plugin's name: it is lower-case letters, digits and dashes, beginning with a letter \
             or digit"
        ))),
    }
}

fn sound(plan: Plan) -> Result<Plan, Failure> {
    match plan.canary {
        Some(share) if !(0.0..=100.0).contains(&share) => {
            Err(invalid(format!("`canary` is {share}: it is a share of the lanes, from 0 to 100 percent")))
        }
        _ => Ok(plan),
    }
}

fn invalid(message: String) -> Failure {
    Refused { code: RefusedCode::Invalid, message }.into()
}
