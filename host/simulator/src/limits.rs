//! Checks the limits of the system before a run.

use anyhow::{Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::SimulationOptions;
use barnabas_base::messages::count_noun;

/// Open files of the process in addition to its connections.
const OTHER_FILES: u64 = 64;

/// Raises the limit of open files of this process as far as allowed, and returns the new limit. Child processes that are
/// started later inherit it.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // On failure the limit stays, and `check` reports it if it is too low.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    open_files()
}

fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Checks that the system allows the number of connections.
pub(super) fn check(options: &SimulationOptions) -> Result<()> {
    let connections = options.connections as u64;
    enough_files(connections, open_files())?;
    enough_ports(connections, options.sources.0.len().max(1) as u64, ports())
}

fn enough_files(connections: u64, files: u64) -> Result<()> {
    if connections.saturating_add(OTHER_FILES) > files {
        bail!(
            "{connections} connections need {} open files, but the system allows {files}; raise the limit with \
             `ulimit -n`, or use fewer with `--connections`",
            connections + OTHER_FILES
        );
    }
    Ok(())
}

fn enough_ports(connections: u64, sources: u64, ports: u64) -> Result<()> {
    let room = sources.saturating_mul(ports);
    if connections > room {
        bail!(
            "{connections} connections need more than {} with {ports} ports each; use at least {} with `--sources`, or \
             use fewer connections with `--connections`",
            count_noun(sources, "source address"),
            connections.div_ceil(ports.max(1))
        );
    }
    Ok(())
}

/// The number of ephemeral ports of one address; the default of Linux if the system does not report it.
fn ports() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut range = text.split_whitespace().map(str::parse::<u64>);
    match (range.next(), range.next()) {
        (Some(Ok(first)), Some(Ok(last))) if last >= first => last - first + 1,
        _ => 28_232,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_obeyed() {
        assert!(enough_files(1000, 1000 + OTHER_FILES).is_ok());
        assert!(raise_open_files() >= OTHER_FILES);
    }

    #[test]
    fn files_violated() {
        let said = enough_files(1000, 1000).unwrap_err().to_string();
        assert!(said.contains("allows 1000") && said.contains("ulimit -n"), "{said}");
    }

    #[test]
    fn ports_obeyed() {
        assert!(enough_ports(50, 2, 25).is_ok());
        assert!(ports() > 0);
    }

    #[test]
    fn ports_violated() {
        let said = enough_ports(51, 2, 25).unwrap_err().to_string();
        assert!(said.contains("at least 3") && said.contains("--sources"), "{said}");
    }
}
