//! Flags that select the host.

use std::path::PathBuf;

use anyhow::Result;
use barnabas::config::{Config, token_file};
use barnabas_admin::client::{AdminAddress, AdminClient};
use clap::Args;

use super::ConfigArgs;

/// Flags of every command that connects to a host.
#[derive(Args)]
pub(crate) struct HostArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// Print the responses of the host in JSON: one document, or for changes one JSON object per line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags that select the admin endpoint.
#[derive(Args)]
pub(crate) struct AdminArgs {
    /// Connect to this host instead of the configured one: `http://host:port`, or the path of its admin socket.
    #[arg(long, value_name = "URL|PATH")]
    pub(crate) admin: Option<String>,
    /// Token file for a connection over TCP. Default: `admin.token` in the configured data directory, which is not sent
    /// to any other host.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl HostArgs {
    /// A client for the selected host.
    pub(crate) fn client(&self) -> Result<AdminClient> {
        self.admin.client(&self.config)
    }
}

impl AdminArgs {
    /// A client for the selected host. It prefers the Unix socket to TCP.
    pub(crate) fn client(&self, config: &ConfigArgs) -> Result<AdminClient> {
        let token = self.token_file.as_deref().map(AdminAddress::read_token).transpose()?;
        if let Some(place) = &self.admin {
            return Ok(AdminClient::new(vec![AdminAddress::parse(place, token)?]));
        }
        let (written, config) = Config::load(config.config.as_deref())?;
        // Without a token, the error of the host still explains what is missing.
        let token = token.or_else(|| AdminAddress::read_token(&token_file(&written)).ok());
        let socket = config.admin.socket.map(AdminAddress::Socket);
        Ok(AdminClient::new(socket.into_iter().chain([AdminAddress::for_bound(config.admin.bind, token)]).collect()))
    }
}
