//! The generated bindings of the contract in `wit/`. (In the repository, `guest-sdk/wit` is a link to the contract; in
//! the package it is a copy.)
//!
//! They contain the imports, which call the host, and the exports, which [`register!`](crate::register) implements.
//! This is the only unsafe code of the SDK, and no author calls it directly.

wit_bindgen::generate!({
    path: "wit",
    world: "receiver",
    pub_export_macro: true,
    default_bindings_module: "::barnabas_sdk::__private::bindings",
});
