//! One short file a command: resolves arguments, wires rooms together.

pub mod doctor;
pub mod generate;
pub mod init;
pub mod list;
pub mod replay;
pub mod report;
pub mod run;
pub mod stage;
