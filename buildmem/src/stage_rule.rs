//! A rule as it is written in a config and kept in a recording: of a stage, and in the same form of a process class.
//! What it does is the business of `stages` and `classes`.

use serde::{Deserialize, Serialize};

/// The name of a stage or of a class, and a regular expression over the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRule {
    /// The stage or the class.
    pub name: String,
    /// The expression.
    #[serde(rename = "match")]
    pub pattern: String,
}
