//! Inspects an artifact and lists its problems, without compiling or running it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wit_parser::decoding::{DecodedWasm, decode};

use super::contract;
use super::imports::{ImportClass, is_http, is_state};
use super::wrapping::{ArtifactKind, to_component};
use barnabas_base::digest::Digest;

/// What was found in an artifact; `plugin check` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Inspection {
    /// The digest of the bytes as given.
    pub digest: Digest,
    /// Size in bytes.
    pub size: usize,
    /// `None` if the bytes are neither a component nor a core module with WIT metadata.
    pub kind: Option<ArtifactKind>,
    /// The version of the contract that it was built against.
    pub contract: Option<String>,
    /// What it imports from the host.
    pub imports: Vec<ArtifactImport>,
    /// Why it cannot serve, one sentence each. If there are none it can be loaded.
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
    /// Its imports that need a grant: `imports wasi:http/…`.
    pub fn grantable_imports(&self) -> Vec<String> {
        let granted = self.imports.iter().filter(|import| import.class == ImportClass::Granted);
        granted.map(|import| format!("imports {}", import.name)).collect()
    }

    /// Its imports without a grant, whose calls will be denied, one sentence each; `http` and `state` say whether any
    /// destination and any state is granted. This is not a problem, since language runtimes always import both.
    pub fn missing_grants(&self, http: bool, state: bool) -> Vec<String> {
        let imports = |what: fn(&str) -> bool| self.imports.iter().any(|import| what(&import.name));
        let http = (!http && imports(is_http))
            .then_some("it imports `wasi:http`, and no destination is granted: each request is denied");
        let state = (!state && imports(is_state))
            .then_some("it imports `state`, which is not granted: its calls return `unavailable`");
        http.into_iter().chain(state).map(str::to_owned).collect()
    }
}

/// Inspects `bytes`. The component is returned only if there is one.
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
        format!("it imports `{}`, which this host does not provide: only the contract and WASI 0.2", import.name)
    }));
    Ok(())
}
