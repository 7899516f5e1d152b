//! What the admin endpoint asks of a host.

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc::Receiver;

use super::Host;
use crate::admin::{Keeping, Office};
use crate::audit;
use crate::capability::log::Line;
use crate::plugin::change::{Actor, Change, Refused, RefusedCode, Step};

/// Of everything that is not there.
const NOT_BUILT: &str = "not built yet";

impl Office for Host {
    fn change(&self, _: Actor, _: Change) -> Result<Receiver<Step>, Refused> {
        Err(Refused { code: RefusedCode::Invalid, message: NOT_BUILT.into() })
    }

    fn keep(&self, _: Bytes) -> Keeping<'_> {
        Box::pin(async { Err(NOT_BUILT.into()) })
    }

    fn describe(&self, name: &str) -> Option<Value> {
        let status = self.plugins.status().into_iter().find(|status| status.name == name)?;
        serde_json::to_value(status).ok()
    }

    fn logs(&self, name: &str) -> Option<Vec<Line>> {
        self.plugins.log(name)
    }

    fn audit(&self, _: usize) -> Result<Vec<audit::Entry>, String> {
        Err(NOT_BUILT.into())
    }
}
