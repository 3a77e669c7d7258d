//! The pure domain: no clock, no randomness, no I/O. Time comes in as an argument.

mod account;
mod conversation;
mod event;
mod ids;
mod lists;
mod names;
mod refusal;
mod routing;
mod row;
mod state;
mod text;

pub use account::*;
pub use conversation::*;
pub use event::*;
pub use ids::*;
pub use lists::*;
pub use names::*;
pub use refusal::*;
pub use routing::*;
pub use row::*;
pub use state::*;
pub use text::*;
