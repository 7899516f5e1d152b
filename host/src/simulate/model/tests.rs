//! The models by themselves, against what was recorded of the real clients, and as a crowd against the real rooms.

mod behaviour;
mod firewall;
mod replay;
mod support;
