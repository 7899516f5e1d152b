//! OpenTelemetry metrics v1 on the wire: messages as prost structs, a check that builds none of them, and the
//! concatenation of pushes into one request with labels added.

pub mod walk;
