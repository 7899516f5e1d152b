use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

use super::super::testing::{ENGINES, TestGuest};
use super::*;

/// The contract's files as one text, to be changed by tests.
fn contract_text() -> String {
    let files = [
        include_str!("../../../../wit/batches.wit"),
        include_str!("../../../../wit/export-metrics.wit"),
        include_str!("../../../../wit/lifecycle.wit"),
        include_str!("../../../../wit/log.wit"),
        include_str!("../../../../wit/metrics-view.wit"),
        include_str!("../../../../wit/report.wit"),
        include_str!("../../../../wit/state.wit"),
        include_str!("../../../../wit/world.wit"),
    ];
    let package = "package kafka-telemetry:receiver@0.1.0;";
    let bodies: String = files.iter().map(|file| file.replace(package, "")).collect();
    format!("{package}\n{bodies}")
}

/// A component that names all of a world and does nothing.
fn dummy_component(wit: &str, world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// A world of our receiver and more, beside it in a text of several packages.
fn extended_receiver(more: &str, package: &str) -> Vec<u8> {
    let text = contract_text();
    let world = format!("world extended {{ include receiver; {more} }}");
    dummy_component(&format!("{text}\n{world}\n{package}"), "extended")
}

fn problem(bytes: &[u8]) -> String {
    let error = Artifact::from_bytes(&ENGINES, bytes).err().expect("it is refused");
    assert!(!error.contains('\n'), "one sentence: {error}");
    let (inspection, _) = inspect(bytes);
    let said = inspection.problems.join("; ");
    assert!(said == error || inspection.problems.is_empty(), "check and load say the same: {said} / {error}");
    error
}

#[test]
fn a_component_of_our_own_contract_is_accepted() {
    let component = dummy_component(&contract_text(), "receiver");
    let artifact = Artifact::from_bytes(&ENGINES, &component).unwrap();
    assert_eq!(artifact.inspection.contract.as_deref(), Some("0.1.0"));
    assert_eq!(artifact.inspection.kind, Some(ArtifactKind::Component));
    assert!(artifact.inspection.imports.iter().all(|import| {
        let wanted = if import.name.contains("/state@") { ImportClass::Granted } else { ImportClass::Contract };
        import.class == wanted
    }));
    assert!(artifact.pooled.is_some());
}

#[test]
fn a_core_module_with_metadata_is_wrapped() {
    let module = TestGuest::default().module();
    let artifact = Artifact::from_bytes(&ENGINES, &module).unwrap();
    assert_eq!(artifact.inspection.kind, Some(ArtifactKind::CoreModule));
    assert_eq!((artifact.inspection.size, artifact.inspection.contract.as_deref()), (module.len(), Some("0.1.0")));
}

#[test]
fn what_is_not_a_receiver_is_refused_with_a_remedy() {
    assert_eq!(problem(b"#!/bin/sh"), "it is not WebAssembly (it begins with `#!/b`)");
    let library = problem(b"!<arch>\nlib.rmeta");
    assert!(library.contains("it is a Rust library: set crate-type = [\"cdylib\"] under [lib]"), "{library}");
    assert!(problem(b"\x7fELF\x02").contains("`rustup target add wasm32-wasip2`"));
    assert_eq!(problem(b""), "it is not WebAssembly (it has 0 bytes)");
    assert!(problem(b"\0asm\x01\0\0\0").contains("a core module without WIT metadata; build it with the guest SDK"));
    assert!(problem(b"\0asm\x01\0\0\0\xff").contains("not valid WebAssembly"));
    assert!(problem(b"\0asm\x0d\0\x01\0\xff").contains("not a valid component"));
    let empty = problem(b"\0asm\x0d\0\x01\0");
    assert!(empty.contains("does not export `kafka-telemetry:receiver/lifecycle` (it exports nothing)"), "{empty}");
    let command =
        dummy_component("package a:b@1.0.0; interface run { run: func(); } world command { export run; }", "command");
    assert!(problem(&command).contains("it exports a:b/run@1.0.0"), "{}", problem(&command));
}

#[test]
fn other_versions_are_refused_by_name() {
    let of = |version: &str| problem(&dummy_component(&contract_text().replace("@0.1.0", version), "receiver"));
    for version in ["0.2.0", "0.1.1", "1.1.0"] {
        let said = of(&format!("@{version}"));
        let wanted = format!("built against kafka-telemetry:receiver {version}; this host supports 0.1.0");
        assert!(said.starts_with(&wanted), "{said}");
    }
    assert!(of("").starts_with("built against kafka-telemetry:receiver without a version; this host supports 0.1.0"));
}

#[test]
fn contract_differences_are_named_by_function() {
    let drifted = contract_text().replace("points: func(push: u32) -> u32;", "points: func(push: u32) -> u64;");
    let said = problem(&dummy_component(&drifted, "receiver"));
    assert!(said.contains("this host supports 0.1.0; function batches.batch.points differs"), "{said}");
    let drifted = contract_text().replace("too-large,", "too-large, too-hot,").replace("@0.1.0", "@0.2.0");
    let said = problem(&dummy_component(&drifted, "receiver"));
    assert!(said.contains("0.2.0; this host supports 0.1.0; function export-metrics.export-metrics differs"), "{said}");
    let grown = contract_text().replace("interface log {", "interface log { shout: func(message: string);");
    assert!(problem(&dummy_component(&grown, "receiver")).contains("function log.shout is unknown"));
    let shrunk = contract_text().replace("stop: func();", "");
    assert!(problem(&dummy_component(&shrunk, "receiver")).contains("function lifecycle.stop is missing"));
}

#[test]
fn unknown_imports_are_refused_by_name() {
    let foreign = extended_receiver(
        "import acme:disk/wipe@1.0.0;",
        "package acme:disk@1.0.0 { interface wipe { all: func(); } }",
    );
    assert!(problem(&foreign).contains("it imports `acme:disk/wipe@1.0.0`, which this host does not provide"));
    let bare = extended_receiver("import shell: func(command: string);", "");
    assert!(problem(&bare).contains("it imports `shell`, which this host does not provide"), "{}", problem(&bare));
}

#[test]
fn imports_without_a_grant_are_reported_and_are_not_problems() {
    let package = "package wasi:http@0.2.3 { interface types {} interface outgoing-handler { go: func(); } }";
    let component = extended_receiver("import wasi:http/outgoing-handler@0.2.3;", package);
    let (inspection, _) = inspect(&component);
    assert!(inspection.problems.is_empty(), "asking is no fault: {:?}", inspection.problems);
    let import = ArtifactImport { name: "wasi:http/outgoing-handler@0.2.3".into(), class: ImportClass::Granted };
    assert!(inspection.imports.contains(&import));
    let http = "it imports `wasi:http`, and no destination is granted: each request is denied";
    let state = "it imports `state`, which is not granted: its calls return `unavailable`";
    assert_eq!(inspection.missing_grants(false, false), [http, state]);
    assert_eq!(inspection.missing_grants(true, false), [state]);
    assert_eq!(inspection.missing_grants(false, true), [http]);
    assert_eq!(inspection.missing_grants(true, true), [""; 0]);
    let (inspection, _) = inspect(&TestGuest::default().module());
    assert_eq!(inspection.missing_grants(false, false), [""; 0], "it imports neither");
    // This one's `outgoing-handler` is not WASI's, so it does not fit.
    let unfit = Artifact::from_bytes(&ENGINES, &component).err().unwrap();
    assert!(unfit.starts_with("it does not fit this host: "), "{unfit}");
}
