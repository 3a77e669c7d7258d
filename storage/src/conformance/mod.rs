//! One suite for every store: what `bellhop_engine::ports::Store` promises, as cases.
//!
//! A case is a name and a function that makes its own stores by a [`Factory`] and answers with what broke, if anything
//! did. `storage/tests/conformance.rs` runs them against each implementation.

mod log;
mod projections;
mod records;
mod scene;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bellhop_engine::ports::Store;

/// `Err` says in words what was promised and what came instead.
pub type Outcome = Result<(), String>;

/// A store on its way.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Arc<dyn Store>, String>> + Send + 'a>>;

/// A case on its way.
pub type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Makes stores of one implementation.
pub trait Factory: Send + Sync {
    /// An empty store, never used before.
    fn open(&self) -> Opening<'_>;

    /// Closes `store`, which came last from this factory, and opens it again under a new epoch.
    fn reopen(&self, store: Arc<dyn Store>) -> Opening<'_>;
}

/// One promise.
pub struct Case {
    /// What is promised, as a sentence with underscores.
    pub name: &'static str,
    pub run: for<'a> fn(&'a dyn Factory) -> Running<'a>,
}

macro_rules! cases {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$(Case { name: stringify!($name), run: |factory| Box::pin($module::$name(factory)) }),*]
    };
}

/// Every case.
pub const CASES: &[Case] = cases![
    log::a_new_store_is_empty,
    log::events_are_read_in_the_order_in_which_they_were_appended,
    log::several_events_of_one_append_are_all_there,
    log::a_conversation_without_events_is_none,
    log::a_load_is_the_snapshot_and_the_gapless_tail,
    log::repeating_an_append_is_harmless,
    log::five_hundred_conversations_append_at_once,
    log::an_append_is_read_as_soon_as_it_is_acknowledged,
    log::ranges_after_and_before_any_cursor_are_exact,
    log::texts_of_1_byte_16_kib_and_64_kib_come_back_whole,
    log::every_kind_of_event_comes_back_equal,
    log::a_higher_epoch_wins_and_leftovers_are_skipped,
    log::workspaces_with_equal_conversation_ids_are_apart,
    log::each_open_takes_a_higher_epoch_and_keeps_the_secret,
    log::everything_is_there_after_a_reopen,
    log::a_closed_store_answers_unavailable,
    log::closing_waits_for_what_was_handed_over,
    log::a_conversation_of_twenty_thousand_events_is_read_whole_from_either_end,
    log::every_conversation_is_named_once_page_by_page,
    log::an_audit_finds_a_log_whole_and_says_where_it_ends,
    projections::a_row_is_read_as_it_was_projected,
    projections::an_older_projection_never_overwrites_a_newer_one,
    projections::read_marks_only_move_forward,
    projections::a_dirty_mark_comes_with_the_append_and_goes_with_the_projection,
    projections::a_row_stands_in_the_lists_of_its_status_only,
    projections::resolved_rows_come_last_resolved_first,
    projections::a_visitors_rows_come_last_made_first,
    projections::pages_neither_skip_nor_repeat_while_rows_are_added,
    projections::lists_of_one_workspace_never_show_another,
    projections::a_cursor_that_the_store_did_not_give_shows_nothing_of_others,
    records::every_kind_of_record_comes_back_equal,
    records::a_record_is_written_only_if_its_expectation_holds,
    records::of_many_writers_of_one_version_one_wins,
    records::a_deleted_record_is_gone_and_can_be_made_anew,
    records::lists_of_records_are_whole_in_order_and_paged,
    records::a_key_of_another_record_is_refused,
];

/// Runs every case in turn; the names of those that broke, with what broke.
pub async fn run(factory: &dyn Factory) -> Vec<(&'static str, String)> {
    let mut broken = Vec::new();
    for case in CASES {
        if let Err(what) = (case.run)(factory).await {
            broken.push((case.name, what));
        }
    }
    broken
}
