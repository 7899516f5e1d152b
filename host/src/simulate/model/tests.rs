//! The models by themselves, and against what was recorded of the real clients.

mod behaviour;
mod replay;
mod support;
