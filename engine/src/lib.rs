//! Bellhop's engine: the domain and its actors.
//!
//! Absent, and held absent by `cargo xtask tidy`: sockets, clocks, wire and disk formats. Time comes from
//! [`ports::Clock`], durability from [`ports::Store`], and answers leave by [`ports::Answers`].

mod actors;
mod admission;
pub mod domain;
mod engine;
pub mod exchange;
pub mod ports;
pub mod sabotage;
pub use actors::tree::{Branch, Limb, TREE};
pub use engine::{Engine, Options, Ports};
