//! Which host is asked.

use std::path::PathBuf;

use anyhow::Result;
use barnabas::admin::client::{AdminAddress, AdminClient};
use barnabas::config::{Config, token_file};
use clap::Args;

use super::ConfigArgs;

/// Flags of every command that asks a host.
#[derive(Args)]
pub(crate) struct HostArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// Print what the host answers as it is: JSON documents, and for changes one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where its admin endpoint is.
#[derive(Args)]
pub(crate) struct AdminArgs {
    /// Ask this host, not the configured one: `http://host:port`, or the path of its admin socket.
    #[arg(long, value_name = "URL|PATH")]
    pub(crate) admin: Option<String>,
    /// The token for a host that is asked by TCP. Default: `admin.token` in the configured data directory, which is
    /// given to no other host.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl HostArgs {
    /// For the host that is meant.
    pub(crate) fn client(&self) -> Result<AdminClient> {
        self.admin.client(&self.config)
    }
}

impl AdminArgs {
    /// For the host that is meant: by its socket where one answers, else by TCP.
    pub(crate) fn client(&self, config: &ConfigArgs) -> Result<AdminClient> {
        let token = self.token_file.as_deref().map(AdminAddress::read_token).transpose()?;
        if let Some(place) = &self.admin {
            return Ok(AdminClient::new(vec![AdminAddress::parse(place, token)?]));
        }
        let (written, config) = Config::load(config.config.as_deref())?;
        // Without its token the host still says in words what is missing.
        let token = token.or_else(|| AdminAddress::read_token(&token_file(&written)).ok());
        let socket = config.admin.socket.map(AdminAddress::Socket);
        Ok(AdminClient::new(socket.into_iter().chain([AdminAddress::for_bound(config.admin.bind, token)]).collect()))
    }
}
