//! Machine code, and the only place that trusts it.
//!
//! In: a component, or bytes that this host's own compiler produced from one. Out: [`CompiledCode`], which an engine
//! runs. Never created from anything else: loading machine code means executing whatever it contains.

use bytes::Bytes;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Machine code that was compiled by this process or by its child process, or that this host compiled and authenticated
/// with a MAC.
pub struct CompiledCode(Bytes);

impl CompiledCode {
    /// Compiles a component. This cannot be limited or cancelled, so untrusted components are compiled in a child: see
    /// [`Compiler`](super::compiler::Compiler).
    pub fn compile(engine: &Engine, component: &[u8]) -> wasmtime::Result<Self> {
        engine.precompile_component(component).map(|code| Self(code.into()))
    }

    /// Wraps bytes that [`CompiledCode::compile`] produced, here or in a child that runs this program. Each caller
    /// states how it knows that.
    pub(super) fn trusted(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, to be cached or sent to the parent process.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Loads the code into `engine`, which must have the tunables that it was compiled for.
    #[allow(
        unsafe_code,
        reason = "machine code is loaded only from a `CompiledCode`, whose constructors compile it, start the process \
                  that compiles it, or authenticate it"
    )]
    pub fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` requires unmodified bytes from `precompile_component`. A `CompiledCode` comes from
        // `CompiledCode::compile`; from `compiler::response::read`, which reads the output of a child that runs this
        // program over a pipe that no other process has; or from `CodeCache::get` after verifying the MAC.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
