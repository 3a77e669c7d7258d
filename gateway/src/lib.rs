//! Bellhop's gateway: the only room that talks to the world. HTTP, WebSocket, the admin port, configuration, and the
//! `bellhop` binary.
//!
//! Absent: rules about conversations (the engine has them) and disk formats (storage has them).

pub mod accounts;
pub mod authenticate;
pub mod config;
pub mod site;
pub mod ws;
