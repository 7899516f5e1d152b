//! Builds receivers from source: the plugins, and the guests of the tests. For each installed Wasm target, the result is a
//! directory of `.wasm` files, named after their packages and examples.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::project::Project;
use crate::step;
use crate::wasm_target::{self, FetchPolicy, Toolchain, WasmTarget};

/// A selection of receivers.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum GuestSet {
    /// The receivers under `plugins/`.
    Plugins,
    /// The plugins and the guests of the tests.
    All,
}

/// Receivers built for one target.
pub(crate) struct Built {
    pub(crate) target: WasmTarget,
    pub(crate) folder: PathBuf,
    names: Vec<String>,
}

impl Built {
    /// Prints the receivers with their sizes.
    pub(crate) fn print(&self) -> Result<()> {
        println!("{} in {}", self.target.triple(), self.folder.display());
        for name in &self.names {
            let size = std::fs::metadata(self.folder.join(name))?.len();
            println!("  {name:<24} {:>7.1} kB", size as f64 / 1000.0);
        }
        Ok(())
    }
}

/// The names of the targets.
pub(crate) fn names(built: &[Built]) -> String {
    built.iter().map(|built| built.target.triple()).collect::<Vec<_>>().join(" and ")
}

/// Builds for every available target.
pub(crate) fn build(project: &Project, which: GuestSet, reach: FetchPolicy) -> Result<Vec<Built>> {
    let targets = wasm_target::available(project, reach)?;
    targets.into_iter().map(|(target, toolchain)| build_for(project, which, target, &toolchain)).collect()
}

fn build_for(project: &Project, which: GuestSet, target: WasmTarget, toolchain: &Toolchain) -> Result<Built> {
    let base = project.target.join("guests");
    // A directory per toolchain: in a shared one they would invalidate each other's artifacts.
    let build_dir = base.join("build").join(target.folder());
    let plugins = names_in(&project.root.join("plugins"), is_crate)?;
    let examples = match which {
        GuestSet::All => names_in(&project.root.join("tests/guests/examples"), is_source)?,
        GuestSet::Plugins => Vec::new(),
    };
    let mut cargo = cargo(project, target, toolchain);
    cargo.args(["build", "--profile=plugin", "--target", target.triple()]).env("CARGO_TARGET_DIR", &build_dir);
    cargo.args(plugins.iter().map(|name| format!("--package={name}")));
    if which == GuestSet::All {
        cargo.args(["--package=barnabas-test-guests", "--lib", "--examples"]);
    }
    step::run(&format!("build {} receivers for {}", plugins.len() + examples.len(), target.triple()), &mut cargo)?;
    let out = build_dir.join(target.triple()).join("plugin");
    let folder = base.join(target.folder());
    let mut names = Vec::new();
    for (built, from) in [(&plugins, out.clone()), (&examples, out.join("examples"))] {
        for name in built {
            publish(&from.join(format!("{}.wasm", name.replace('-', "_"))), &folder, name)?;
            names.push(format!("{name}.wasm"));
        }
    }
    Ok(Built { target, folder, names })
}

/// Copies and renames, so that a concurrent test never reads a partial file.
fn publish(from: &Path, folder: &Path, name: &str) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let fresh = folder.join(format!(".{name}.{}", std::process::id()));
    std::fs::copy(from, &fresh).with_context(|| format!("cannot copy {}", from.display()))?;
    std::fs::rename(&fresh, folder.join(format!("{name}.wasm")))
        .with_context(|| format!("cannot rename {}", fresh.display()))
}

/// Cargo without the environment of an outer cargo, which is meant for the host's target.
fn cargo(project: &Project, target: WasmTarget, toolchain: &Toolchain) -> Command {
    let mut cargo = match toolchain {
        Toolchain::Own => project.cargo(),
        Toolchain::Debian { linker } => {
            println!("building for {} with Debian's compiler, including the standard library", target.triple());
            let mut cargo = crate::command("/usr/bin/cargo", project);
            // Debian's compiler is a stable release, and building the standard library is a nightly feature.
            cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            cargo
        }
    };
    for outer in [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_TARGET",
        "RUSTC",
        "RUSTDOC",
    ] {
        cargo.env_remove(outer);
    }
    if matches!(toolchain, Toolchain::Debian { .. }) {
        cargo.env("RUSTC", "/usr/bin/rustc").env_remove("RUSTUP_TOOLCHAIN").arg("-Zbuild-std=std,panic_abort");
    }
    cargo
}

/// The names of the entries of a directory, sorted.
fn names_in(folder: &Path, name_of: fn(&Path) -> Option<String>) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names: Vec<_> = entries.flatten().filter_map(|entry| name_of(&entry.path())).collect();
    names.sort();
    Ok(names)
}

fn is_crate(path: &Path) -> Option<String> {
    path.join("Cargo.toml").exists().then(|| path.file_name()?.to_str().map(str::to_owned)).flatten()
}

fn is_source(path: &Path) -> Option<String> {
    (path.extension()? == "rs").then(|| path.file_stem()?.to_str().map(str::to_owned)).flatten()
}
