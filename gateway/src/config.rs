//! The configuration: one TOML file, then `BELLHOP_<SECTION>__<KEY>` of the environment, then the command line; read
//! once, before any port is bound. Every key, with its default, unit, bounds and reason, is declared in one list.

mod keys;
mod read;
mod values;

pub use keys::{Config, KEYS, Key};
pub use read::{BadConfig, Overrides, load, print};
pub use values::{LogFormat, LogLevel};

/// The process's environment: its one reading. What is no UTF-8 is none of ours.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
