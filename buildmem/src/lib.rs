//! build-mem: how much memory a whole build needed at its peak, which stage and which processes held it.
//!
//! A run is a sequence of [events](event::Event); everything that is said about a build is a fold over it.
//! `docs/architecture.md` has the map of the modules and the rules between them.

pub mod advise;
pub mod attribution;
pub mod automatic_stages;
pub mod budget_figures;
pub mod budgets;
pub mod capability;
pub mod classes;
pub mod cli;
pub mod command_line;
pub mod commands;
pub mod compare;
pub mod config;
pub mod container;
pub mod diagnosis;
pub mod event;
pub mod exit_code;
pub mod export;
pub mod fit;
pub mod growth;
pub mod handed_over;
pub mod history;
pub mod ids;
pub mod jobs;
pub mod launch;
pub mod live;
pub mod observe;
pub mod out_dir;
pub mod problem;
pub mod reading;
pub mod recorder;
pub mod recording;
pub mod report;
pub mod sampling;
pub mod series;
pub mod session;
pub mod stage_peaks;
pub mod stage_rule;
pub mod stages;
pub mod statistics;
pub mod timeline;
pub mod tree;
pub mod units;
