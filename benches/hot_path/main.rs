//! Benchmarks of the way of a message, one file a stretch of it. README.md beside this folder tells how to run and
//! read them.

use criterion::{criterion_group, criterion_main};

mod append;
mod command;
mod data;
mod fan_out;
mod frames;
mod transition;

criterion_group!(hot_path, transition::bench, frames::bench, fan_out::bench, append::bench, command::bench);
criterion_main!(hot_path);
