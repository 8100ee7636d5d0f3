//! Which stage has which colour. There are eight that are told apart whatever eyes one has; the stages that matter
//! most get them, and the rest share one.

use crate::report::Stage;
use crate::stages::OTHER;

/// Colours of stages in the style sheet: `s0` and so on.
const COLORS: usize = 8;

/// The class of stages that have no colour of their own.
pub(super) const MORE: &str = "sm";

/// The class of processes in no stage, where others are in one.
const NO_STAGE: &str = "so";

/// The colours of a build's stages.
pub(super) struct Colors {
    /// The stages with a colour of their own, in the order of their start.
    named: Vec<String>,
}

impl Colors {
    /// Gives colours to the stages with the highest peaks.
    pub(super) fn new(stages: &[Stage]) -> Self {
        let mut by_peak: Vec<&Stage> = stages.iter().filter(|stage| stage.name != OTHER).collect();
        by_peak.sort_by_key(|stage| std::cmp::Reverse(stage.peak_pss_bytes));
        by_peak.truncate(COLORS);
        let has_color = |name: &String| by_peak.iter().any(|stage| stage.name == *name);
        let names = stages.iter().map(|stage| stage.name.clone());
        Self {
            named: names.filter(has_color).collect(),
        }
    }

    /// The place of a stage among those with a colour of their own.
    pub(super) fn index(&self, stage: &str) -> Option<usize> {
        self.named.iter().position(|name| name == stage)
    }

    /// The stages with a colour of their own.
    pub(super) fn named(&self) -> &[String] {
        &self.named
    }

    /// The class in the style sheet.
    pub(super) fn class(&self, stage: &str) -> String {
        match self.index(stage) {
            Some(index) => format!("s{index}"),
            // Where there are no stages, nothing is beside them: a page all grey would tell less.
            None if stage == OTHER && self.named.is_empty() => "s0".to_owned(),
            None if stage == OTHER => NO_STAGE.to_owned(),
            None => MORE.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::html::STYLE;

    #[test]
    fn the_style_sheet_has_every_colour() {
        let stages = (0..COLORS).map(|index| format!("s{index}"));
        for class in stages.chain([MORE.to_owned(), NO_STAGE.to_owned()]) {
            assert!(STYLE.contains(&format!(".{class}{{--c:")), "{class}");
            assert!(STYLE.contains(&format!("--{class}:light-dark(")), "{class}");
        }
    }
}
