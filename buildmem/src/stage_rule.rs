//! A stage rule as it is written in a config and kept in a recording. What it does is `stages`'s business.

use serde::{Deserialize, Serialize};

/// A stage's name and a regular expression over the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRule {
    /// The stage.
    pub name: String,
    /// The expression.
    #[serde(rename = "match")]
    pub pattern: String,
}
