//! Whether a component implements the receiver contract, read from the component itself.
//!
//! The linker matches versions loosely and reports little about differences, so the host compares the package, its
//! version, and the type of every function that the component imports from the contract or exports to it.

use std::fmt::Write as _;
use std::sync::LazyLock;

use wit_parser::{
    Function, Handle, Interface, PackageName, Resolve, SourceMap, Type, TypeDefKind, TypeId, World, WorldItem, WorldKey,
};

use crate::contract::{PACKAGE, VERSION};

/// Maximum number of differences that a message names.
const MAX_NAMED: usize = 3;
/// Interfaces that a component must export to be a receiver.
const REQUIRED_EXPORTS: [&str; 2] = ["lifecycle", "export-metrics"];

static HOST_CONTRACT: LazyLock<Resolve> = LazyLock::new(|| {
    let mut map = SourceMap::default();
    let files = [
        ("batches.wit", include_str!("../../../../wit/batches.wit")),
        ("export-metrics.wit", include_str!("../../../../wit/export-metrics.wit")),
        ("lifecycle.wit", include_str!("../../../../wit/lifecycle.wit")),
        ("log.wit", include_str!("../../../../wit/log.wit")),
        ("metrics-view.wit", include_str!("../../../../wit/metrics-view.wit")),
        ("report.wit", include_str!("../../../../wit/report.wit")),
        ("state.wit", include_str!("../../../../wit/state.wit")),
        ("world.wit", include_str!("../../../../wit/world.wit")),
    ];
    for (name, text) in files {
        map.push_str(name, text);
    }
    let mut resolve = Resolve::new();
    let group = map.parse().map_err(|(_, error)| error).expect("bindgen! parsed the same files");
    resolve.push_group(group).expect("bindgen! resolved the same files");
    resolve
});

/// The result of comparing a component with the contract.
pub(super) struct ContractFindings {
    /// Version of the contract that the component names, if it names one.
    pub(super) version: Option<String>,
    /// One sentence for each problem.
    pub(super) problems: Vec<String>,
}

/// Full names of a world's imports or exports.
pub(super) fn full_names<'a>(
    resolve: &'a Resolve,
    items: impl IntoIterator<Item = (&'a WorldKey, &'a WorldItem)>,
) -> impl Iterator<Item = String> {
    items.into_iter().map(|(key, _)| resolve.name_world_key(key))
}

/// Compares a component's world with the host's contract.
pub(super) fn compare(resolve: &Resolve, world: &World) -> ContractFindings {
    let exports: Vec<_> = contract_interfaces(resolve, &world.exports).collect();
    let imports: Vec<_> = contract_interfaces(resolve, &world.imports).collect();
    let exported = |wanted: &str| exports.iter().any(|(_, i)| i.name.as_deref() == Some(wanted));
    if let Some(missing) = REQUIRED_EXPORTS.into_iter().find(|wanted| !exported(wanted)) {
        return ContractFindings { version: None, problems: vec![not_a_receiver(resolve, world, missing)] };
    }
    let foreign = exports.iter().chain(&imports).find(|(package, _)| !is_supported_version(package));
    let version = foreign.or(exports.first()).and_then(|(package, _)| package.version.as_ref()).map(|v| v.to_string());
    let drift: Vec<_> = exports.iter().chain(&imports).flat_map(|(_, theirs)| differences(resolve, theirs)).collect();
    let problems = (foreign.is_some() || !drift.is_empty()).then(|| describe_mismatch(version.as_deref(), &drift));
    ContractFindings { version, problems: problems.into_iter().collect() }
}

fn contract_interfaces<'a>(
    resolve: &'a Resolve,
    items: impl IntoIterator<Item = (&'a WorldKey, &'a WorldItem)>,
) -> impl Iterator<Item = (&'a PackageName, &'a Interface)> {
    items.into_iter().filter_map(|(_, item)| {
        let WorldItem::Interface { id, .. } = item else { return None };
        let interface = resolve.interfaces.get(*id)?;
        let package = &resolve.packages.get(interface.package?)?.name;
        (format!("{}:{}", package.namespace, package.name) == PACKAGE).then_some((package, interface))
    })
}

/// Whether the version is `0.1.z` with any z up to the host's own.
fn is_supported_version(package: &PackageName) -> bool {
    let (major, minor, patch) = VERSION;
    package.version.as_ref().is_some_and(|v| {
        (v.major, v.minor) == (major, minor) && v.patch <= patch && v.pre.is_empty() && v.build.is_empty()
    })
}

fn not_a_receiver(resolve: &Resolve, world: &World, missing: &str) -> String {
    let exports: Vec<_> = full_names(resolve, &world.exports).take(MAX_NAMED).collect();
    let exports = if exports.is_empty() { "nothing".into() } else { exports.join(", ") };
    format!("it is not a receiver: it does not export `{PACKAGE}/{missing}` (it exports {exports})")
}

fn describe_mismatch(version: Option<&str>, drift: &[String]) -> String {
    let (major, minor, patch) = VERSION;
    let mut message = format!(
        "built against {PACKAGE} {}; this host supports {major}.{minor}.{patch}",
        version.unwrap_or("without a version")
    );
    for difference in drift.iter().take(MAX_NAMED) {
        let _ = write!(message, "; {difference}");
    }
    if drift.len() > MAX_NAMED {
        let _ = write!(message, "; and {} more", drift.len() - MAX_NAMED);
    }
    message.push_str("; build it with the SDK of this host's release");
    message
}

/// How the component's interface differs from the contract's interface of the same name.
fn differences(resolve: &Resolve, theirs: &Interface) -> Vec<String> {
    let name = theirs.name.as_deref().unwrap_or_default();
    let Some((_, ours)) = HOST_CONTRACT.interfaces.iter().find(|(_, ours)| ours.name.as_deref() == Some(name)) else {
        return vec![format!("interface {name} is unknown")];
    };
    let differs = |function: &Function| {
        let function_name = strip_function_kind(&function.name);
        match ours.functions.get(&function.name) {
            None => Some(format!("function {name}.{function_name} is unknown")),
            Some(own) if signature(&HOST_CONTRACT, own) != signature(resolve, function) => {
                Some(format!("function {name}.{function_name} differs"))
            }
            Some(_) => None,
        }
    };
    theirs.functions.values().filter_map(differs).chain(missing_functions(theirs, ours, name)).collect()
}

/// Functions that the component lacks. It imports only the functions it uses, but must export an interface completely.
fn missing_functions(theirs: &Interface, ours: &Interface, name: &str) -> Vec<String> {
    if !REQUIRED_EXPORTS.contains(&name) {
        return Vec::new();
    }
    let absent = ours.functions.keys().filter(|function| !theirs.functions.contains_key(*function));
    absent.map(|function| format!("function {name}.{function} is missing")).collect()
}

/// `[method]batch.len` as `batch.len`.
fn strip_function_kind(name: &str) -> &str {
    name.rsplit_once(']').map_or(name, |(_, plain)| plain)
}

/// Everything about a function that both sides must agree on, with all type names resolved.
fn signature(resolve: &Resolve, function: &Function) -> String {
    let mut text = if function.kind.is_async() { "async (".to_owned() } else { "(".to_owned() };
    for param in &function.params {
        let _ = write!(text, "{}: ", param.name);
        write_type(resolve, &param.ty, &mut text);
        text.push(',');
    }
    text.push_str(") -> ");
    write_optional(resolve, function.result.as_ref(), &mut text);
    text
}

fn write_optional(resolve: &Resolve, ty: Option<&Type>, out: &mut String) {
    match ty {
        Some(ty) => write_type(resolve, ty, out),
        None => out.push('_'),
    }
}

fn write_type(resolve: &Resolve, ty: &Type, out: &mut String) {
    match ty {
        Type::Id(id) => write_defined(resolve, *id, out),
        // The debug form of a primitive type is its name.
        plain => _ = write!(out, "{plain:?}"),
    }
}

fn write_defined(resolve: &Resolve, id: TypeId, out: &mut String) {
    let Some(def) = resolve.types.get(id) else { return out.push('?') };
    let _ = write!(out, "{}<", def.kind.as_str());
    match &def.kind {
        TypeDefKind::Type(ty) => {
            // An alias is replaced by its target.
            out.truncate(out.len() - "type<".len());
            return write_type(resolve, ty, out);
        }
        TypeDefKind::Record(record) => {
            for field in &record.fields {
                let _ = write!(out, "{}: ", field.name);
                write_type(resolve, &field.ty, out);
                out.push(',');
            }
        }
        TypeDefKind::Variant(variant) => {
            for case in &variant.cases {
                let _ = write!(out, "{}: ", case.name);
                write_optional(resolve, case.ty.as_ref(), out);
                out.push(',');
            }
        }
        TypeDefKind::Enum(cases) => cases.cases.iter().for_each(|case| _ = write!(out, "{},", case.name)),
        TypeDefKind::Flags(flags) => flags.flags.iter().for_each(|flag| _ = write!(out, "{},", flag.name)),
        TypeDefKind::Tuple(tuple) => {
            for ty in &tuple.types {
                write_type(resolve, ty, out);
                out.push(',');
            }
        }
        TypeDefKind::Result(result) => {
            write_optional(resolve, result.ok.as_ref(), out);
            out.push(',');
            write_optional(resolve, result.err.as_ref(), out);
        }
        TypeDefKind::Option(ty) | TypeDefKind::List(ty) => write_type(resolve, ty, out),
        TypeDefKind::Handle(Handle::Own(to) | Handle::Borrow(to)) => out.push_str(&resource_name(resolve, *to)),
        TypeDefKind::Resource => out.push_str(def.name.as_deref().unwrap_or_default()),
        // The contract uses none of these types; the debug form distinguishes them.
        other => _ = write!(out, "{other:?}"),
    }
    out.push('>');
}

/// Returns the name of a resource, following aliases.
fn resource_name(resolve: &Resolve, mut id: TypeId) -> String {
    while let Some(def) = resolve.types.get(id) {
        match def.kind {
            TypeDefKind::Type(Type::Id(next)) => id = next,
            _ => return def.name.clone().unwrap_or_default(),
        }
    }
    String::new()
}
