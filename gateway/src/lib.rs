//! Bellhop's gateway: the only room that talks to the world. HTTP, WebSocket, the admin port, configuration, and the
//! `bellhop` binary.
//!
//! Absent: rules about conversations (the engine has them) and disk formats (storage has them).

pub mod accounts;
pub mod admin;
mod assets;
pub mod authenticate;
pub mod cli;
pub mod config;
pub mod database;
mod demo;
mod doorway;
pub mod http;
pub mod serve;
pub mod site;
pub mod telemetry;
pub mod ws;
