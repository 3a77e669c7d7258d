//! The configuration: one TOML file, then `BELLHOP_<SECTION>__<KEY>` of the environment, then the command line; read
//! once, before any port is bound. Every key, with its default, unit, bounds and reason, is declared in one list.

mod keys;
mod read;
mod values;

pub use keys::{Config, KEYS, Key};
pub use read::{BadConfig, Overrides, load, print};
pub use values::{LogFormat, LogLevel};
