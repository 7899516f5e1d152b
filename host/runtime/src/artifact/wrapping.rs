//! Turns the output of a build into a component.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// What kind of WebAssembly the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// A component.
    Component,
    /// A core module with WIT metadata; the host wraps it into a component.
    CoreModule,
}

impl ArtifactKind {
    /// A description for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::CoreModule => "core module with WIT metadata, wrapped by the host",
        }
    }
}

/// Returns the component in `bytes`, wrapping a core module if necessary.
pub(super) fn to_component(bytes: &[u8]) -> Result<(ArtifactKind, Cow<'_, [u8]>), String> {
    if Parser::is_component(bytes) {
        return Ok((ArtifactKind::Component, bytes.into()));
    }
    if !Parser::is_core_wasm(bytes) {
        return Err(format!("it is not WebAssembly ({}){}", describe_first_bytes(bytes), build_hint(bytes)));
    }
    if !has_wit_metadata(bytes)? {
        return Err("it is a core module without WIT metadata; build it with the guest SDK (`barnabas-sdk`), or as a \
                    component for the target `wasm32-wasip2`"
            .into());
    }
    wrap(bytes).map(|wrapped| (ArtifactKind::CoreModule, wrapped.into()))
}

fn wrap(module: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = ComponentEncoder::default();
    let wrapped = encoder.validate(true).module(module).and_then(|encoder| encoder.encode());
    wrapped.map_err(|error| {
        let reason = format!("{error:#}").replace('\n', " ");
        if reason.contains("wasi_snapshot_preview1") {
            return "it is a core module for `wasm32-wasip1`; build it for `wasm32-wasip2` or \
                    `wasm32-unknown-unknown`"
                .into();
        }
        format!("it is a core module that cannot be wrapped into a component: {reason}")
    })
}

/// Whether the module has WIT metadata: `wit-bindgen` writes the world into custom sections that `wit-component` reads.
fn has_wit_metadata(module: &[u8]) -> Result<bool, String> {
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(|error| format!("it is not valid WebAssembly: {error}"))?;
        if let Payload::CustomSection(section) = payload
            && section.name().starts_with("component-type")
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How to build a receiver, for build outputs that are commonly mistaken for one.
fn build_hint(bytes: &[u8]) -> &'static str {
    if bytes.starts_with(b"!<arch>") {
        "; it is a Rust library: set crate-type = [\"cdylib\"] under [lib] in its Cargo.toml, and build it for \
         `wasm32-wasip2`"
    } else if bytes.starts_with(b"\x7fELF") {
        "; it is a program for this machine: build it for `wasm32-wasip2` (`rustup target add wasm32-wasip2`, then \
         `cargo build --release --target wasm32-wasip2`)"
    } else {
        ""
    }
}

fn describe_first_bytes(bytes: &[u8]) -> String {
    match bytes.get(..4) {
        Some(start) => format!("it begins with `{}`", start.escape_ascii()),
        None => format!("it has {} bytes", bytes.len()),
    }
}
