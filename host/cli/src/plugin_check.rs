//! `barnabas plugin check`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use barnabas_runtime::artifact::{ArtifactKind, ImportClass, Inspection, inspect};
use clap::Args;

use super::format::{format_size, table};
use super::receiver_file;

/// Flags of `plugin check`.
#[derive(Args)]
pub(crate) struct PluginCheckArgs {
    /// Receiver file: a component, or a core module built with the SDK.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Succeeds only if the file has no problem.
pub(crate) fn run(flags: &PluginCheckArgs) -> Result<ExitCode> {
    let bytes = receiver_file::read(&flags.file)?;
    let (inspection, _) = inspect(&bytes);
    if flags.json {
        outln!("{}", serde_json::to_string_pretty(&inspection)?);
    } else {
        print(flags, &inspection);
    }
    Ok(if inspection.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(flags: &PluginCheckArgs, inspection: &Inspection) {
    let contract = inspection.contract.as_ref().map(|v| format!("{}@{v}", barnabas_runtime::contract::PACKAGE));
    outln!("file      {}", flags.file.display());
    outln!("size      {}", format_size(inspection.size));
    outln!("digest    {}", inspection.digest);
    outln!("kind      {}", inspection.kind.map_or("not WebAssembly", ArtifactKind::as_str));
    outln!("contract  {}", contract.as_deref().unwrap_or("none"));
    let rows =
        [ImportClass::Contract, ImportClass::Always, ImportClass::Inert, ImportClass::Granted, ImportClass::Unknown]
            .into_iter();
    let rows = rows.flat_map(|class| {
        let imports = inspection.imports.iter().filter(move |import| import.class == class);
        imports.map(move |import| vec![import.name.clone(), class.as_str().to_owned(), class.describe().to_owned()])
    });
    outln!("\n{}", table(&["import", "class", "meaning"], rows));
    match inspection.problems.as_slice() {
        [] => outln!("no problem found"),
        problems => problems.iter().for_each(|problem| outln!("problem: {problem}")),
    }
}
