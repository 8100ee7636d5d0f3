//! One short file a command: resolves arguments, wires rooms together.

pub mod advise;
pub mod again;
pub mod budget;
pub mod color;
pub mod compare;
pub mod contain;
pub mod doctor;
pub mod fit;
pub mod generate;
pub mod init;
pub mod list;
pub mod output;
pub mod project;
pub mod recorded;
pub mod replay;
pub mod report;
pub mod run;
pub mod series;
pub mod stage;
