//! Shows that the checker can fail.
use crate::args::Faults;
pub(super) async fn rounds(_options: &Faults, _seed: u64) -> Result<bool, String> {
    Err("not yet".into())
}
