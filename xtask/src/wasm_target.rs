//! The two Wasm targets: finds the installed ones, and installs missing ones. Installs a target only on request, or if
//! none is installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::project::Project;
use crate::step;

/// When to install a missing target.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum FetchPolicy {
    /// Install one only if none is installed.
    InstalledOnly,
    /// Install both.
    Both,
}

/// A target of guests.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum WasmTarget {
    /// `wasm32-wasip2`: produces components.
    Wasip2,
    /// `wasm32-unknown-unknown`: produces core modules, which the host wraps.
    Unknown,
}

impl WasmTarget {
    pub(crate) const ALL: [Self; 2] = [Self::Wasip2, Self::Unknown];

    /// The target triple.
    pub(crate) fn triple(self) -> &'static str {
        match self {
            Self::Wasip2 => "wasm32-wasip2",
            Self::Unknown => "wasm32-unknown-unknown",
        }
    }

    /// The directory of its guests.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Wasip2 => "wasip2",
            Self::Unknown => "unknown",
        }
    }
}

/// A toolchain for a target.
pub(crate) enum Toolchain {
    /// The toolchain of the project, with an installed standard library of the target.
    Own,
    /// Debian's toolchain, which builds the standard library from source; with the linker of the project's toolchain.
    Debian { linker: PathBuf },
}

/// The available targets, at least one.
pub(crate) fn available(project: &Project, reach: FetchPolicy) -> Result<Vec<(WasmTarget, Toolchain)>> {
    let mut found = Vec::new();
    for target in WasmTarget::ALL {
        match present(project, target)? {
            Some(toolchain) => found.push((target, toolchain)),
            None if reach == FetchPolicy::Both => found.push((target, fetch(project, target)?)),
            None => println!("skipped: {} is not installed (install it with --both-targets)", target.triple()),
        }
    }
    if found.is_empty() {
        println!("no Wasm target is installed; installing one");
        let fetched = fetch(project, WasmTarget::Wasip2).map(|toolchain| (WasmTarget::Wasip2, toolchain));
        found.push(match fetched {
            Ok(fetched) => fetched,
            Err(_) => (WasmTarget::Unknown, fetch(project, WasmTarget::Unknown)?),
        });
    }
    Ok(found)
}

fn present(project: &Project, target: WasmTarget) -> Result<Option<Toolchain>> {
    let mut libraries = crate::command("rustc", project);
    let libraries = step::output(libraries.args(["--print=target-libdir", "--target", target.triple()]))?;
    if Path::new(libraries.trim()).is_dir() {
        return Ok(Some(Toolchain::Own));
    }
    Ok(match target {
        WasmTarget::Unknown => debian(project)?,
        WasmTarget::Wasip2 => None,
    })
}

const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Debian's compiler, if it and the source of its standard library are installed.
fn debian(project: &Project) -> Result<Option<Toolchain>> {
    if !Path::new("/usr/bin/cargo").exists() || !Path::new("/usr/bin/rustc").exists() {
        return Ok(None);
    }
    let sysroot = step::output(Command::new("/usr/bin/rustc").arg("--print=sysroot"))?;
    if !Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std").is_dir() {
        return Ok(None);
    }
    // Debian's compiler has no linker for Wasm.
    let own = step::output(crate::command("rustc", project).arg("--print=sysroot"))?;
    let linkers = Path::new(own.trim()).join("lib/rustlib");
    let hosts = std::fs::read_dir(&linkers).with_context(|| format!("cannot read {}", linkers.display()))?;
    let linker = hosts.flatten().map(|host| host.path().join("bin/rust-lld")).find(|linker| linker.exists());
    Ok(linker.map(|linker| Toolchain::Debian { linker }))
}

/// Installs a target with rustup, or from Debian's packages if Debian's compiler supports the target.
fn fetch(project: &Project, target: WasmTarget) -> Result<Toolchain> {
    println!("── rustup target add {}", target.triple());
    let mut rustup = crate::command("rustup", project);
    // Without a network, rustup waits for minutes.
    let added = step::run_at_most(Duration::from_secs(120), rustup.args(["target", "add", target.triple()]));
    if matches!(added, Ok(true))
        && let Some(toolchain) = present(project, target)?
    {
        return Ok(toolchain);
    }
    println!("── rustup failed");
    if target == WasmTarget::Unknown {
        install_debian()?;
        if let Some(toolchain) = debian(project)? {
            return Ok(toolchain);
        }
    }
    bail!("cannot install {0}; run `rustup target add {0}` and try again", target.triple())
}

fn install_debian() -> Result<()> {
    let packages = DEBIAN_PACKAGES.join(" ");
    let user = step::output(Command::new("id").arg("-u"))?;
    if user.trim() != "0" || !Path::new("/usr/bin/apt-get").exists() {
        bail!("on Debian, run `apt-get install {packages}` as root to get a compiler that can build receivers");
    }
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--no-install-recommends"]).args(DEBIAN_PACKAGES);
    step::run(&format!("apt-get install {packages}"), install.env("DEBIAN_FRONTEND", "noninteractive"))
}
