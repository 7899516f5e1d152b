//! Machine code, and the one place that trusts it.
//!
//! In: a component, or bytes that were made of one by this host's own compiler. Out: [`Code`], which an engine runs.
//! Never made of anything else: to load machine code means to do what it says.

use bytes::Bytes;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Machine code that this process made, that a child of ours made for us, or that this host made and signed.
pub struct CompiledCode(Bytes);

impl CompiledCode {
    /// Compiles a component. Nothing bounds or cancels it, so untrusted ones belong in a process of their own: see
    /// [`Compiler`](super::compiler::Compiler).
    pub fn compile(engine: &Engine, component: &[u8]) -> wasmtime::Result<Self> {
        engine.precompile_component(component).map(|code| Self(code.into()))
    }

    /// Bytes that [`Code::compile`] made, here or in a child that runs our own program. Callers say how they know.
    pub(super) fn trusted(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// To be kept, or handed to the parent.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// For running in `engine`, which must be of the tunables it was compiled for.
    #[allow(
        unsafe_code,
        reason = "machine code is loaded only from a `Code`, whose makers compile it, start what compiles it, or \
                  authenticate it"
    )]
    pub fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` wants bytes that `precompile_component` made, unmodified. A `Code` is made by
        // `Code::compile`; by `compiler::answer::read`, of what a child that runs our own program said over a pipe
        // that nobody else holds; or by `Cache::get` after the MAC under this host's key was found right.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
