//! What an artifact is and what is wrong with it, in words, without running or compiling it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wit_parser::decoding::{DecodedWasm, decode};

use super::contract;
use super::imports::{ImportClass, is_http, is_state};
use super::wrapping::{ArtifactKind, to_component};
use crate::plugin::digest::Digest;

/// What `plugin check` prints.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Inspection {
    /// Of the bytes as they were given.
    pub digest: Digest,
    /// In bytes.
    pub size: usize,
    /// `None` where the bytes are neither.
    pub kind: Option<ArtifactKind>,
    /// The version of the contract that it was built against.
    pub contract: Option<String>,
    /// What it asks of the host.
    pub imports: Vec<ArtifactImport>,
    /// Why it cannot serve: one sentence each. None means that it can be loaded, grants allowing.
    pub problems: Vec<String>,
}

/// One import.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ArtifactImport {
    /// Full name, with version.
    pub name: String,
    /// Its class.
    pub class: ImportClass,
}

impl Inspection {
    /// What it asks for beside what every receiver has: `imports wasi:http/…`.
    pub fn grantable_imports(&self) -> Vec<String> {
        let granted = self.imports.iter().filter(|import| import.class == ImportClass::Granted);
        granted.map(|import| format!("imports {}", import.name)).collect()
    }

    /// What it imports without a grant and will be refused when it calls it, in words: `http` and `state` say whether any
    /// destination and any state is granted. No reason to refuse it, since language runtimes import both and always.
    pub fn missing_grants(&self, http: bool, state: bool) -> Vec<String> {
        let imports = |what: fn(&str) -> bool| self.imports.iter().any(|import| what(&import.name));
        let http = (!http && imports(is_http))
            .then_some("it imports `wasi:http`, and no destination is granted: each request is denied");
        let state = (!state && imports(is_state))
            .then_some("it imports `state`, which is not granted: its calls answer `unavailable`");
        http.into_iter().chain(state).map(str::to_owned).collect()
    }
}

/// Looks at `bytes`. The component is given only where there is one.
pub fn inspect(bytes: &[u8]) -> (Inspection, Option<Cow<'_, [u8]>>) {
    let mut inspection = Inspection {
        digest: Digest::compute(bytes),
        size: bytes.len(),
        kind: None,
        contract: None,
        imports: Vec::new(),
        problems: Vec::new(),
    };
    let component = to_component(bytes).and_then(|(kind, component)| {
        inspection.kind = Some(kind);
        read_world(&mut inspection, &component)?;
        Ok(component)
    });
    let component = component.map_err(|problem| inspection.problems.push(problem)).ok();
    (inspection, component)
}

fn read_world(inspection: &mut Inspection, component: &[u8]) -> Result<(), String> {
    let decoded = decode(component).map_err(|error| format!("it is not a valid component: {error:#}"))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err("it is a WIT package, not a component: there is no code in it".into());
    };
    let world = resolve.worlds.get(world).ok_or("its world is missing")?;
    inspection.imports = contract::full_names(&resolve, &world.imports)
        .map(|name| ArtifactImport { class: ImportClass::classify(&name), name })
        .collect();
    let findings = contract::compare(&resolve, world);
    inspection.contract = findings.version;
    inspection.problems = findings.problems;
    let unknown = inspection.imports.iter().filter(|import| import.class == ImportClass::Unknown);
    inspection.problems.extend(unknown.map(|import| {
        format!("it imports `{}`, which this host does not have: only the contract and WASI 0.2", import.name)
    }));
    Ok(())
}
