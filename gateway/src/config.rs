//! The configuration: one TOML file, then `BELLHOP_<SECTION>__<KEY>` (`BELLHOP_STORE`) of the environment, then the command line; read
//! once, before any port is bound. Every key, with its default, unit, bounds and reason, is declared in one list.

mod keys;
mod read;
mod rules;
mod values;

pub use keys::{Config, KEYS, Key, Scylla};
pub use read::{BadConfig, Overrides, load, print};
pub use values::{Consistency, LogFormat, LogLevel, StoreKind};

/// The process's environment: its one reading. What is no UTF-8 is none of ours.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
