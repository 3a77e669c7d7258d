//! What every part of the CQL store works with.

use std::sync::Arc;

use super::database::Database;
use super::lease::Lease;
use super::standing::Standing;

pub(super) struct Core {
    pub(super) database: Arc<Database>,
    pub(super) lease: Arc<Lease>,
    pub(super) standing: Arc<Standing>,
}
