//! Time comes in from outside, so that a test can hold it.

use crate::domain::Millis;

/// Wall-clock time for display and for windows of minutes and days; never for order.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01 UTC. May fall when the machine's clock is set.
    fn now(&self) -> Millis;
}
