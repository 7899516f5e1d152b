//! The key or table `normalise`.

use std::sync::Arc;

use serde::Deserialize;

use super::in_key;
use barnabas_pipeline::decode::NormaliseConfig;

/// A boolean, or a table whose presence switches normalisation on.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "true, false or a table such as { admin-clients = [\"admin-.*\"] }")]
pub(super) enum RawNormalise {
    Switch(bool),
    #[serde(rename_all = "kebab-case")]
    Table {
        #[serde(default)]
        admin_clients: Vec<String>,
    },
}

pub(super) fn resolve(wish: Option<RawNormalise>) -> Result<Option<Arc<NormaliseConfig>>, String> {
    let patterns = match wish {
        None | Some(RawNormalise::Switch(false)) => return Ok(None),
        Some(RawNormalise::Switch(true)) => Vec::new(),
        Some(RawNormalise::Table { admin_clients }) => admin_clients,
    };
    NormaliseConfig::new(&patterns).map(|rules| Some(Arc::new(rules))).map_err(in_key("normalise.admin-clients"))
}
