//! Which host is asked.

use std::path::PathBuf;

use anyhow::Result;
use barnabas::admin::client::{Client, Place};
use barnabas::config::{Config, token_file};
use clap::Args;

use super::ConfigFile;

/// Flags of every command that asks a host.
#[derive(Args)]
pub(crate) struct HostFlags {
    #[command(flatten)]
    pub(crate) config: ConfigFile,
    #[command(flatten)]
    pub(crate) place: AdminFlags,
    /// Print what the host answers as it is: JSON documents, and for changes one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where its admin endpoint is.
#[derive(Args)]
pub(crate) struct AdminFlags {
    /// Ask this host, not the configured one: `http://host:port`, or the path of its admin socket.
    #[arg(long, value_name = "URL|PATH")]
    pub(crate) admin: Option<String>,
    /// The token for a host that is asked by TCP. Default: `admin.token` in the configured data directory, which is
    /// given to no other host.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl HostFlags {
    /// For the host that is meant.
    pub(crate) fn client(&self) -> Result<Client> {
        self.place.client(&self.config)
    }
}

impl AdminFlags {
    /// For the host that is meant: by its socket where one answers, else by TCP.
    pub(crate) fn client(&self, config: &ConfigFile) -> Result<Client> {
        let token = self.token_file.as_deref().map(Place::token).transpose()?;
        if let Some(place) = &self.admin {
            return Ok(Client::new(vec![Place::parse(place, token)?]));
        }
        let (written, config) = Config::load(config.config.as_deref())?;
        // Without its token the host still says in words what is missing.
        let token = token.or_else(|| Place::token(&token_file(&written)).ok());
        let socket = config.admin.socket.map(Place::Socket);
        Ok(Client::new(socket.into_iter().chain([Place::bound(config.admin.bind, token)]).collect()))
    }
}
