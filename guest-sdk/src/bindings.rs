//! Bindings of `wit/`, generated. (In the repository that is a link to the contract; in the package it is the contract.) In goes the contract, out come the calls to the host and the exports that
//! [`register!`](crate::register) makes. The only unsafe code of the SDK; no author ever sees it.

wit_bindgen::generate!({
    path: "wit",
    world: "receiver",
    pub_export_macro: true,
    default_bindings_module: "::barnabas_sdk::__private::bindings",
});
