//! What a build is to stay within, as it stands in its config and its recording.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::ByteSize;

/// Budgets of a build: each is for a figure of the result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Budgets {
    /// Of the headline.
    pub peak: Option<ByteSize>,
    /// Of a stage's highest sampled sum of PSS.
    pub stages: BTreeMap<String, ByteSize>,
    /// Of the peak RSS of the largest process of a class.
    pub classes: BTreeMap<String, ByteSize>,
}

impl Budgets {
    /// Of the peak alone.
    pub fn of_peak(peak: ByteSize) -> Self {
        Self {
            peak: Some(peak),
            ..Self::default()
        }
    }

    /// Whether nothing has a budget.
    pub fn is_empty(&self) -> bool {
        let Self {
            peak,
            stages,
            classes,
        } = self;
        peak.is_none() && stages.is_empty() && classes.is_empty()
    }
}

/// How they are recorded: as one number where there is but the one of the peak.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Peak(ByteSize),
    All {
        peak: Option<ByteSize>,
        #[serde(default)]
        stages: BTreeMap<String, ByteSize>,
        #[serde(default)]
        classes: BTreeMap<String, ByteSize>,
    },
}

impl From<Form> for Budgets {
    fn from(form: Form) -> Self {
        match form {
            Form::Peak(peak) => Self::of_peak(peak),
            Form::All {
                peak,
                stages,
                classes,
            } => Self {
                peak,
                stages,
                classes,
            },
        }
    }
}

impl From<Budgets> for Form {
    fn from(budgets: Budgets) -> Self {
        let Budgets {
            peak,
            stages,
            classes,
        } = budgets;
        match peak {
            Some(peak) if stages.is_empty() && classes.is_empty() => Self::Peak(peak),
            Some(_) | None => Self::All {
                peak,
                stages,
                classes,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_budget_is_recorded_as_ever_and_more_are_read_back() {
        let mut budgets = Budgets::of_peak(ByteSize::from_kib(4));
        let text = serde_json::to_string(&budgets).unwrap();
        assert_eq!(text, "4096");
        assert_eq!(serde_json::from_str::<Budgets>(&text).unwrap(), budgets);
        budgets
            .stages
            .insert("next-build".to_owned(), ByteSize::from_mib(1));
        budgets.peak = None;
        let text = serde_json::to_string(&budgets).unwrap();
        assert_eq!(serde_json::from_str::<Budgets>(&text).unwrap(), budgets);
    }
}
