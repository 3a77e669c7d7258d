//! What the engine needs from outside, with the guarantees it relies on.

mod answers;
mod clock;
mod directory;
mod store;

pub use answers::*;
pub use clock::*;
pub use directory::*;
pub use store::*;
