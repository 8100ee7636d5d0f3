//! The build's side of a run: what is cleared before it, who it runs as, how it is started, where its output
//! goes, which signals reach it, and what it must leave. Nothing here measures.

pub mod again;
pub mod clear;
pub mod credentials;
pub mod elevate;
pub mod output;
pub mod privileges;
pub mod signals;
pub mod start;
pub mod terminal;
pub mod tui;
pub mod verify;
