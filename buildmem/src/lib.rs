//! build-mem: how much memory a whole build needed at its peak, which stage and which processes held it.
//!
//! A run is a sequence of [events](event::Event); everything that is said about a build is a fold over it.
//! `docs/architecture.md` has the map of the modules and the rules between them.

pub mod capability;
pub mod command_line;
pub mod config;
pub mod diagnosis;
pub mod event;
pub mod export;
pub mod ids;
pub mod observe;
pub mod problem;
pub mod reading;
pub mod report;
pub mod units;
