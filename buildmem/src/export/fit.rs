//! The search for the smallest limit, for people and for programs.

use std::fmt::Write as _;
use std::io::{self, Write};

use anstyle::Style;

use super::layout::{Cell, Column, Line, Table, percent, seconds, shorten_command, size};
use super::text::{Palette, wrapped};
use crate::command_line::CommandLine;
use crate::fit::{Conclusion, End, Fit, Found, Outcome, Plan, Price, Step, TOLERATED_SLOWDOWN};

/// Narrower than that it is cut.
const NARROWEST: usize = 40;

/// Columns of the longest bar.
const BAR: usize = 24;

/// Writes the search as it stands in its file.
pub fn write_json(fit: &Fit, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, fit)?;
    out.write_all(b"\n")
}

/// What is told before a build: which of at most how many it is, its limit, and why that.
pub fn before(number: u64, most: u64, limit: Option<u64>, reason: &str) -> String {
    let limit = limit.map_or_else(|| "no limit".to_owned(), size);
    format!("build {number} of at most {most}: {limit} ({reason})")
}

/// What is told after it.
pub fn after(step: &Step, base: &Step) -> String {
    let mut text = format!("  {}, {}", step.detail, seconds(step.duration_s));
    if step.limit_bytes.is_none() {
        if let Some(bytes) = step.headline_bytes {
            let _ = write!(text, ", peak {}", size(bytes));
        }
        if let Some(bytes) = step.without_cache_bytes {
            let _ = write!(text, ", {} without page cache", size(bytes));
        }
    } else if step.outcome == Outcome::Passed {
        let slowdown = step.duration_s / base.duration_s.max(0.001) - 1.0;
        let _ = write!(text, ", {}", slower(slowdown));
    }
    text
}

/// Writes the search for people, at most `width` columns wide.
pub fn write(fit: &Fit, palette: &Palette, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let Fit {
        schema: _,
        label,
        started_at: _,
        command,
        cwd: _,
        cgroup_version,
        plan,
        base,
        steps,
        conclusion,
    } = fit;
    let mut page = Page {
        palette: *palette,
        width: width.max(NARROWEST),
        lines: Vec::new(),
    };
    page.title(label, command);
    page.conclusion(conclusion, plan, base, steps);
    page.table(base, steps);
    page.chart(base, steps);
    page.reasons(steps);
    if *cgroup_version == Some(1) && !steps.is_empty() {
        page.lines.push(Line::default());
        page.prose(
            palette.faint,
            "·",
            "cgroup v1 does not tell how long the build waited for memory, and few kernels count there what was read \
             again: the time is what tells the price",
        );
    }
    for line in &page.lines {
        line.write(page.width, out)?;
    }
    Ok(())
}

fn slower(slowdown: f64) -> String {
    let percent = (slowdown * 100.0).round();
    match percent {
        p if p > 0.0 => format!("{p:.0} % slower than without a limit"),
        p if p < 0.0 => format!("{:.0} % faster than without a limit", -p),
        _ => "as fast as without a limit".to_owned(),
    }
}

struct Page {
    palette: Palette,
    width: usize,
    lines: Vec<Line>,
}

impl Page {
    fn title(&mut self, label: &str, command: &[String]) {
        let Palette { title, faint, .. } = self.palette;
        let command = CommandLine::from_args(command.iter().map(String::as_str)).display();
        let mut line = Line::default().text(title, &shorten_command(&command, self.width / 2));
        line.push(Style::new(), "   ");
        line.push(faint, &format!("fit {label}"));
        self.lines.push(line);
        self.lines.push(Line::default());
    }

    fn conclusion(&mut self, conclusion: &Conclusion, plan: &Plan, base: &Step, steps: &[Step]) {
        let Palette {
            good, bad, warning, ..
        } = self.palette;
        let Conclusion {
            end,
            smallest,
            too_little_bytes,
            recommended,
        } = conclusion;
        let last = steps.last().unwrap_or(base);
        match end {
            End::FailsWithoutLimit => {
                let text = format!("It does not pass without a limit: {}", base.detail);
                self.prose(bad, "✗", &text);
                return;
            }
            End::FailedOtherwise => {
                let limit = last.limit_bytes.map_or_else(String::new, size);
                let text = format!(
                    "At {limit} it failed for another reason than memory, which it did not use up: {}. A limit can bring \
                     that about only in programs that choose their heap by it, such as a JVM",
                    last.detail
                );
                self.prose(bad, "✗", &text);
            }
            End::NotWithinRange => {
                let to = plan.to_bytes.map_or_else(String::new, size);
                self.prose(
                    bad,
                    "✗",
                    &format!("It does not pass at {to}, the most that was to be tried"),
                );
            }
            End::UnderWay => self.prose(
                warning,
                "!",
                "The search was stopped: `--resume` goes on with it",
            ),
            End::OutOfBuilds => self.prose(
                warning,
                "!",
                "The builds are used up: `--resume` with a larger `--max-builds` goes on",
            ),
            End::Found => {}
        }
        if let Some(found) = smallest {
            self.smallest(found, *too_little_bytes, plan);
            self.recommended(recommended.as_ref(), found);
        } else if let Some(low) = too_little_bytes.filter(|_| *end != End::NotWithinRange) {
            let text = format!("{} is too little; nothing is known to pass", size(low));
            self.prose(warning, "!", &text);
        }
        if smallest.is_some_and(|found| found.is_confirmed()) && *end == End::Found {
            let text = "what was tried is below, with the price of each limit";
            self.prose(good, "·", text);
        }
    }

    fn smallest(&mut self, found: &Found, too_little: Option<u64>, plan: &Plan) {
        let Palette { good, warning, .. } = self.palette;
        let passed = match found.passes {
            1 => "once, which may be chance near the edge".to_owned(),
            passes => format!("{passes} times"),
        };
        let below = match too_little {
            Some(low) => format!("{} is too little", size(low)),
            None if plan.from_bytes == Some(found.limit_bytes) => {
                "nothing smaller was to be tried".to_owned()
            }
            None => "nothing smaller was tried".to_owned(),
        };
        let text = format!(
            "Passes at {}, {}: {passed}; {below}",
            size(found.limit_bytes),
            slower(found.slowdown)
        );
        let (style, mark) = if found.is_confirmed() {
            (good, "✓")
        } else {
            (warning, "!")
        };
        self.prose(style, mark, &text);
    }

    fn recommended(&mut self, recommended: Option<&Found>, smallest: &Found) {
        let Palette { good, faint, .. } = self.palette;
        let within = percent(TOLERATED_SLOWDOWN);
        let Some(recommended) = recommended else {
            let text = format!("No limit that was tried is within {within} of the time without");
            self.prose(faint, "·", &text);
            return;
        };
        if recommended.limit_bytes == smallest.limit_bytes {
            let text = format!(
                "Recommended: the same, for it is within {within} of the time without a limit"
            );
            self.prose(good, "✓", &text);
            return;
        }
        let how = match recommended.passes {
            0 => "the headline of the run without a limit".to_owned(),
            _ => format!("within {within} of the time without a limit"),
        };
        let text = format!(
            "Recommended: {}, {how}. At {} it passes, too, but {}",
            size(recommended.limit_bytes),
            size(smallest.limit_bytes),
            slower(smallest.slowdown)
        );
        self.prose(good, "✓", &text);
    }

    fn table(&mut self, base: &Step, steps: &[Step]) {
        let mut ordered: Vec<&Step> = steps.iter().collect();
        ordered.sort_by_key(|step| std::cmp::Reverse(step.limit_bytes));
        let row = |step: &Step| {
            let Price {
                limit_hits,
                refaults_file,
                refaults_anon,
                major_faults,
                stalled_some_s,
                stalled_full_s: _,
                oom_kills: _,
            } = step.price;
            let number = |it: Option<u64>| it.map_or_else(|| "-".to_owned(), |it| it.to_string());
            let refaults = match (refaults_file, refaults_anon) {
                (None, None) => None,
                (file, anon) => Some(file.unwrap_or(0).saturating_add(anon.unwrap_or(0))),
            };
            let slowdown = step.duration_s / base.duration_s.max(0.001) - 1.0;
            let slowdown = match (step.limit_bytes, step.outcome) {
                (Some(_), Outcome::Passed) => format!("{:+.0} %", slowdown * 100.0),
                (_, _) => String::new(),
            };
            let (style, mark) = self.mark(step.outcome);
            let limit = step.limit_bytes.map_or_else(|| "none".to_owned(), size);
            vec![
                Cell::plain(limit),
                Cell::Text(style, mark.to_owned()),
                Cell::plain(seconds(step.duration_s)),
                Cell::plain(slowdown),
                Cell::plain(number(limit_hits)),
                Cell::plain(number(refaults)),
                Cell::plain(number(major_faults)),
                Cell::plain(stalled_some_s.map_or_else(|| "-".to_owned(), seconds)),
                Cell::Text(style, step.detail.clone()),
            ]
        };
        let rows = [base].into_iter().chain(ordered).map(row).collect();
        let columns = vec![
            Column::left("", 10),
            Column::left("", 1),
            Column::right("wall", 8),
            Column::right("", 6),
            Column::right("at limit", 8).sparing(2),
            Column::right("read again", 10).sparing(3),
            Column::right("major faults", 8).sparing(4),
            Column::right("waited", 8).sparing(1),
            Column::left("", 0),
        ];
        let table = Table {
            title: (self.palette.title, "Limit".to_owned()),
            heads: self.palette.faint,
            columns,
            rows,
        };
        self.lines.push(Line::default());
        self.lines.extend(table.lines(self.width));
    }

    const fn mark(&self, outcome: Outcome) -> (Style, &'static str) {
        match outcome {
            Outcome::Passed => (self.palette.good, "✓"),
            Outcome::TooLittle => (self.palette.bad, "✗"),
            Outcome::Failed => (self.palette.warning, "?"),
        }
    }

    /// Wall time by limit, of what passed.
    fn chart(&mut self, base: &Step, steps: &[Step]) {
        let mut passed: Vec<&Step> = (steps.iter())
            .filter(|step| step.outcome == Outcome::Passed)
            .collect();
        if passed.len() < 2 {
            return;
        }
        passed.sort_by_key(|step| std::cmp::Reverse(step.limit_bytes));
        let longest = (passed.iter())
            .map(|step| step.duration_s)
            .fold(base.duration_s, f64::max);
        let row = |step: &Step| {
            let limit = step.limit_bytes.map_or_else(|| "none".to_owned(), size);
            vec![
                Cell::plain(limit),
                Cell::Bar(
                    self.palette.stages[0],
                    step.duration_s / longest.max(f64::MIN_POSITIVE),
                ),
                Cell::plain(seconds(step.duration_s)),
            ]
        };
        let table = Table {
            title: (self.palette.title, "Wall time".to_owned()),
            heads: self.palette.faint,
            columns: vec![
                Column::left("", 10),
                Column::left("", BAR),
                Column::right("", 8),
            ],
            rows: [base].into_iter().chain(passed).map(row).collect(),
        };
        self.lines.push(Line::default());
        self.lines.extend(table.lines(self.width));
    }

    fn reasons(&mut self, steps: &[Step]) {
        if steps.is_empty() {
            return;
        }
        let row = |step: &Step| {
            let (style, mark) = self.mark(step.outcome);
            vec![
                Cell::plain(step.label.clone()),
                Cell::Text(style, mark.to_owned()),
                Cell::plain(step.limit_bytes.map_or_else(String::new, size)),
                Cell::Text(self.palette.faint, step.reason.clone()),
            ]
        };
        let table = Table {
            title: (self.palette.title, "In turn".to_owned()),
            heads: self.palette.faint,
            columns: vec![
                Column::left("", 10),
                Column::left("", 1),
                Column::right("", 10),
                Column::left("", 0),
            ],
            rows: steps.iter().map(row).collect(),
        };
        self.lines.push(Line::default());
        self.lines.extend(table.lines(self.width));
    }

    /// A paragraph with a mark before it.
    fn prose(&mut self, style: Style, mark: &str, text: &str) {
        for (index, part) in wrapped(text, self.width - 2).into_iter().enumerate() {
            let mark = if index == 0 { mark } else { " " };
            self.lines
                .push(Line::default().text(style, &format!("{mark} {part}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fit::{SCHEMA, conclude};
    use crate::report::Verdict;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn step(number: usize, limit: Option<u64>, outcome: Outcome, duration_s: f64) -> Step {
        let passed = outcome == Outcome::Passed;
        Step {
            label: format!("next.{number}"),
            limit_bytes: limit.map(|mib| mib * MIB),
            reason: "between 1000.00 MiB, which is too little, and 1.02 GiB, which passes"
                .to_owned(),
            outcome,
            detail: if passed {
                "passed"
            } else {
                "out of memory: a process was killed"
            }
            .to_owned(),
            verdict: if passed {
                Verdict::Pass
            } else {
                Verdict::OutOfMemory
            },
            exit_code: if passed { 0 } else { 137 },
            duration_s,
            headline_bytes: Some(limit.unwrap_or(1800) * MIB),
            without_cache_bytes: Some(1000 * MIB),
            price: Price {
                limit_hits: Some(if limit.is_some() { 4_211 } else { 0 }),
                refaults_file: limit.and(Some(31_000)),
                refaults_anon: None,
                major_faults: Some(17),
                stalled_some_s: limit.and(Some(2.5)),
                stalled_full_s: limit.and(Some(1.0)),
                oom_kills: Some(u64::from(!passed)),
            },
        }
    }

    fn fit(steps: Vec<Step>) -> Fit {
        let base = step(0, None, Outcome::Passed, 40.0);
        let plan = Plan {
            from_bytes: None,
            to_bytes: None,
            resolution_bytes: None,
            swap_bytes: 0,
            max_builds: 8,
        };
        Fit {
            schema: SCHEMA.to_owned(),
            label: "next".to_owned(),
            started_at: "2026-01-01T00:00:00Z".to_owned(),
            command: vec![
                "npm".to_owned(),
                "run".to_owned(),
                "build\x1b[2J".to_owned(),
            ],
            cwd: "/app".to_owned(),
            cgroup_version: Some(2),
            conclusion: conclude(&plan, &base, &steps),
            plan,
            base,
            steps,
        }
    }

    fn searched() -> Fit {
        fit(vec![
            step(1, Some(1000), Outcome::TooLittle, 30.0),
            step(2, Some(1040), Outcome::Passed, 52.0),
            step(3, Some(1020), Outcome::TooLittle, 31.0),
            step(4, Some(1040), Outcome::Passed, 53.0),
            step(5, Some(1420), Outcome::Passed, 40.5),
            step(6, Some(1230), Outcome::Passed, 45.0),
            step(7, Some(1325), Outcome::Passed, 40.8),
        ])
    }

    fn text(fit: &Fit, width: usize) -> String {
        let mut text = Vec::new();
        write(fit, &Palette::plain(), width, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_search_for_people() {
        insta::assert_snapshot!(text(&searched(), 110));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_none_has_control_codes() {
        for width in [40, 60, 110] {
            for line in text(&searched(), width).lines() {
                assert!(
                    crate::export::layout::width(line) <= width,
                    "{width}: {line}"
                );
                assert!(!line.contains('\x1b'), "{line:?}");
            }
        }
    }

    #[test]
    fn a_search_is_read_back_as_it_was() {
        let fit = searched();
        let mut file = Vec::new();
        write_json(&fit, &mut file).unwrap();
        assert_eq!(serde_json::from_slice::<Fit>(&file).unwrap(), fit);
    }

    #[test]
    fn what_is_not_sure_is_not_told_as_if_it_were() {
        let once = fit(vec![
            step(1, Some(1000), Outcome::TooLittle, 30.0),
            step(2, Some(1040), Outcome::Passed, 52.0),
        ]);
        assert!(text(&once, 110).contains("once, which may be chance"));
        assert!(text(&once, 110).contains("--resume"));
        let never = fit(vec![step(1, Some(1000), Outcome::TooLittle, 30.0)]);
        assert!(text(&never, 110).contains("nothing is known to pass"));
    }

    #[test]
    fn a_build_is_announced_with_its_reason_and_told_with_its_price() {
        let fit = searched();
        let told = before(3, 8, Some(1040 * MIB), "higher");
        assert_eq!(told, "build 3 of at most 8: 1.02 GiB (higher)");
        let told = after(&fit.steps[1], &fit.base);
        assert_eq!(told, "  passed, 52.00 s, 30 % slower than without a limit");
        let told = after(&fit.steps[0], &fit.base);
        assert_eq!(told, "  out of memory: a process was killed, 30.00 s");
    }
}
