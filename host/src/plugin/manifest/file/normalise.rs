//! `normalise`.

use std::sync::Arc;

use serde::Deserialize;

use super::at;
use crate::decode::NormaliseConfig;

/// A switch, or a table that is one by being there.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "true, false or a table such as { admin-clients = [\"admin-.*\"] }")]
pub(super) enum Wish {
    Switch(bool),
    #[serde(rename_all = "kebab-case")]
    Table {
        #[serde(default)]
        admin_clients: Vec<String>,
    },
}

pub(super) fn meant(wish: Option<Wish>) -> Result<Option<Arc<NormaliseConfig>>, String> {
    let patterns = match wish {
        None | Some(Wish::Switch(false)) => return Ok(None),
        Some(Wish::Switch(true)) => Vec::new(),
        Some(Wish::Table { admin_clients }) => admin_clients,
    };
    NormaliseConfig::new(&patterns).map(|rules| Some(Arc::new(rules))).map_err(at("normalise.admin-clients"))
}
