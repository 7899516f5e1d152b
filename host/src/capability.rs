//! What a guest may ask of the host. One file a capability, one shape: context, host traits, `add_to_linker`.

pub mod batch;
pub mod egress;
