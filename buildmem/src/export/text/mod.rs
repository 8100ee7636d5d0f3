//! The summary for people: in five seconds, what the peak was, of what it consisted, which stage and which
//! processes held it. And the one line that is shown while the build runs.

mod line;

use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::event::{Note, VerifyCheck};
use crate::report::{
    Composition, Exit, Headline, LeftRunning, OomVictim, Peak, ProcessAtPeak, Report, Stage,
    TopProcess, Verdict,
};
use crate::stages::OTHER;
use crate::units::ByteSize;

use line::{Align, Line, bar, write_table};

/// How many of the processes at the peak are shown.
const SHOWN_AT_PEAK: usize = 8;

/// How many of the largest processes are shown beside those.
const SHOWN_LARGEST: usize = 5;

/// What a process must have held, as a share of the build's peak, to be shown for its own peak.
const WORTH_SHOWING: f64 = 0.01;

/// Columns of a full bar.
const BAR: u32 = 24;

/// Notes that hold for every run, and are left to the result's file.
const NOT_NEWS: [&str; 1] = ["stages[].peak_cgroup_bytes"];

/// The styles of the summary.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    /// The one figure.
    headline: Style,
    /// What names a section.
    title: Style,
    /// Names of stages.
    stage: Style,
    /// What is there to be found, not to be read first.
    faint: Style,
    good: Style,
    bad: Style,
    /// What a reader must know.
    warning: Style,
    anon: Style,
    file: Style,
    cache: Style,
    shmem: Style,
    kernel: Style,
}

impl Palette {
    /// Without colours.
    pub const fn plain() -> Self {
        let none = Style::new();
        Self {
            headline: none,
            title: none,
            stage: none,
            faint: none,
            good: none,
            bad: none,
            warning: none,
            anon: none,
            file: none,
            cache: none,
            shmem: none,
            kernel: none,
        }
    }

    /// With the terminal's own 16 colours, which its owner chose to be readable.
    pub const fn colored() -> Self {
        Self {
            headline: AnsiColor::BrightWhite.on_default().bold(),
            title: Style::new().bold(),
            stage: AnsiColor::Cyan.on_default(),
            faint: Style::new().dimmed(),
            good: AnsiColor::Green.on_default(),
            bad: AnsiColor::Red.on_default().bold(),
            warning: AnsiColor::Yellow.on_default(),
            anon: AnsiColor::Magenta.on_default(),
            file: AnsiColor::Blue.on_default(),
            cache: AnsiColor::BrightBlack.on_default(),
            shmem: AnsiColor::Cyan.on_default(),
            kernel: AnsiColor::Yellow.on_default(),
        }
    }
}

/// What the live status line shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The stage of highest precedence that has a live process.
    pub stage: Option<String>,
    /// The cgroup's usage now; absent where it cannot be read.
    pub now: Option<ByteSize>,
    /// The highest so far.
    pub peak: Option<ByteSize>,
    /// Live processes.
    pub processes: u64,
    /// Time since the build's start.
    pub elapsed: Duration,
}

/// The live status line.
pub fn status(status: &Status) -> String {
    let Status {
        stage,
        now,
        peak,
        processes,
        elapsed,
    } = status;
    let mut parts = vec![format!("build-mem {}", clock(*elapsed))];
    parts.extend(stage.clone());
    parts.extend(now.map(|size| format!("now {size}")));
    parts.extend(peak.map(|size| format!("peak {size}")));
    parts.push(count(*processes, "process", "processes"));
    parts.join(" · ")
}

/// Writes the summary, at most `width` columns wide.
pub fn write(
    report: &Report,
    palette: &Palette,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let summary = Summary {
        report,
        palette,
        width,
    };
    summary.write_outcome(out)?;
    summary.write_headline(out)?;
    summary.write_peak(out)?;
    summary.write_stages(out)?;
    summary.write_processes_at_peak(out)?;
    summary.write_largest(out)?;
    summary.write_left_running(out)?;
    summary.write_verification(out)?;
    summary.write_notes(out)?;
    summary.write_completeness(out)
}

struct Summary<'r> {
    report: &'r Report,
    palette: &'r Palette,
    width: usize,
}

impl Summary<'_> {
    /// What was run, and how it ended.
    fn write_outcome(&self, out: &mut dyn Write) -> io::Result<()> {
        let Palette {
            title, good, bad, ..
        } = *self.palette;
        let Report {
            label,
            duration_s,
            command,
            verdict,
            exit,
            ..
        } = self.report;
        let (style, outcome) = match verdict {
            Verdict::Pass => (good, "passed"),
            Verdict::BuildFailed => (bad, "build failed"),
            Verdict::BuildKilled => (bad, "build killed"),
            Verdict::Interrupted => (bad, "interrupted"),
            Verdict::VerificationFailed => (bad, "verification failed"),
            Verdict::Incomplete => (bad, "the recording ends before the build"),
        };
        let how = match *exit {
            Exit {
                code: Some(code),
                signal: _,
            } if code != 0 => format!(" (exit code {code})"),
            Exit {
                code: None,
                signal: Some(signal),
            } => format!(" (signal {signal})"),
            Exit {
                code: Some(_) | None,
                signal: _,
            } => String::new(),
        };
        let end = Line::of(style, outcome)
            .with(style, how)
            .with(Style::new(), format!(" in {}", seconds(*duration_s)));
        let words = crate::command_line::CommandLine::from_args(command.iter().cloned());
        let room = self.width.saturating_sub(end.width() + label.len() + 6);
        Line::of(title, label)
            .with(Style::new(), "  ")
            .then(
                Line::of(Style::new(), words.display())
                    .cut(room.max(20))
                    .left(room),
            )
            .with(Style::new(), "  ")
            .then(end)
            .write(self.width, out)?;
        writeln!(out)
    }

    /// The one figure, and what must be known of it.
    fn write_headline(&self, out: &mut dyn Write) -> io::Result<()> {
        let Palette {
            headline: strong,
            title,
            faint,
            warning,
            bad,
            ..
        } = *self.palette;
        let Headline {
            bytes,
            source,
            highest_sampled_bytes,
            cgroup: _,
            complete,
            saturated,
            limit_bytes,
            escaped,
        } = &self.report.headline;
        let line = match (bytes, source, highest_sampled_bytes) {
            (Some(bytes), source, _) => Line::of(title, "Peak memory  ")
                .with(strong, size(*bytes))
                .with(
                    faint,
                    format!("  {}", source.as_deref().unwrap_or_default()),
                ),
            (None, _, Some(sampled)) => Line::of(title, "Peak memory  ")
                .with(warning, "not known")
                .with(
                    Style::new(),
                    format!(", at least {} (highest sample)", size(*sampled)),
                ),
            (None, _, None) => Line::of(title, "Peak memory  ").with(warning, "not known"),
        };
        line.write(self.width, out)?;
        let warn = |text: String, out: &mut dyn Write| {
            Line::of(Style::new(), "  ")
                .with(warning, "! ")
                .with(Style::new(), text)
                .write(self.width, out)
        };
        if *saturated {
            let limit = limit_bytes.map_or_else(String::new, size);
            warn(
                format!("it is the limit of {limit} that speaks: the build may need more"),
                out,
            )?;
        }
        for escaped in escaped {
            let peak = escaped.peak_bytes.map_or_else(
                || "an unknown peak".to_owned(),
                |bytes| format!("a peak of {}", size(bytes)),
            );
            let who = count(escaped.processes, "process", "processes");
            warn(
                format!("{who} went to {}, which had {peak}", escaped.cgroup),
                out,
            )?;
        }
        if bytes.is_some() && !complete && escaped.is_empty() {
            warn(
                "something was not seen: the true peak may be higher".to_owned(),
                out,
            )?;
        }
        let kills = self.report.oom.kills.unwrap_or_default();
        if kills > 0 || !self.report.oom.victims.is_empty() {
            Line::of(bad, "  ! out of memory: ")
                .with(Style::new(), count(kills, "kill", "kills"))
                .write(self.width, out)?;
        }
        for OomVictim {
            pid,
            command,
            stage,
        } in &self.report.oom.victims
        {
            Line::of(bad, format!("    {pid}  "))
                .with(self.palette.stage, stage)
                .with(Style::new(), format!("  {command}"))
                .write(self.width, out)?;
        }
        Ok(())
    }

    /// Of what the highest sample consisted, and that the processes explain it.
    fn write_peak(&self, out: &mut dyn Write) -> io::Result<()> {
        let Palette {
            faint,
            anon,
            file,
            cache,
            shmem,
            kernel,
            ..
        } = *self.palette;
        let Some(peak) = &self.report.peak else {
            return Ok(());
        };
        let Peak {
            at_s,
            cgroup_bytes,
            pss_bytes,
            composition,
            ..
        } = peak;
        let Some((usage, composition)) = cgroup_bytes.zip(composition.as_ref()) else {
            let what = format!(
                "{} held by processes (PSS) at {}",
                size(*pss_bytes),
                seconds(*at_s)
            );
            return Line::of(faint, format!("  {what}")).write(self.width, out);
        };
        let Composition {
            anon: anon_bytes,
            file_mapped,
            file_unmapped,
            shmem: shmem_bytes,
            kernel: kernel_bytes,
            unattributed,
        } = *composition;
        let parts = [
            ("anonymous memory", anon_bytes, anon, ""),
            ("mapped files", file_mapped, file, ""),
            (
                "page cache",
                file_unmapped,
                cache,
                "  reclaimable: a limit need not hold it",
            ),
            ("tmpfs, shared", shmem_bytes, shmem, ""),
            ("kernel", kernel_bytes.unwrap_or_default(), kernel, ""),
        ];
        let rows = parts
            .into_iter()
            .filter(|(_, bytes, _, _)| *bytes > 0)
            .map(|(name, bytes, style, remark)| {
                let share = part(bytes, usage);
                vec![
                    Line::of(Style::new(), name),
                    Line::of(Style::new(), size(bytes)),
                    Line::of(Style::new(), percent(share)),
                    Line::of(style, bar(share, BAR)).with(faint, remark),
                ]
            })
            .collect();
        let columns = [Align::Left, Align::Right, Align::Right, Align::Left];
        write_table(&columns, rows, 2, self.width, out)?;
        let unit = unit_of(usage);
        let mut sum = format!("PSS {}", unit.figure(pss_bytes.cast_signed()));
        for (name, bytes) in [
            ("page cache", file_unmapped),
            ("tmpfs, shared", shmem_bytes),
            ("kernel", kernel_bytes.unwrap_or_default()),
        ] {
            if bytes > 0 {
                sum += " + ";
                sum += name;
                sum += " ";
                sum += &unit.figure(bytes.cast_signed());
            }
        }
        let sign = if unattributed < 0 { '−' } else { '+' };
        let left_over = unit.figure(unattributed.saturating_abs());
        let total = unit.figure(usage.cast_signed());
        Line::of(
            faint,
            format!(
                "  at {}: {sum} {sign} unattributed {left_over} = {total} {}",
                seconds(*at_s),
                unit.name
            ),
        )
        .write(self.width, out)
    }

    fn write_stages(&self, out: &mut dyn Write) -> io::Result<()> {
        let Palette {
            faint,
            stage: named,
            ..
        } = *self.palette;
        let stages = &self.report.stages;
        if stages.iter().all(|stage| stage.name == OTHER) {
            return Ok(());
        }
        let heading = [
            "Stage",
            "start",
            "wall",
            "processes",
            "peak PSS",
            "of the peak",
        ];
        let mut rows = vec![self.heading(&heading)];
        for stage in stages {
            let Stage {
                name,
                started_s,
                wall_s,
                processes,
                peak_pss_bytes,
                peak_at_s: _,
                peak_cgroup_bytes: _,
                share_of_peak,
            } = stage;
            let style = if name == OTHER { faint } else { named };
            rows.push(vec![
                Line::of(style, name).cut(28),
                Line::of(Style::new(), seconds(*started_s)),
                Line::of(Style::new(), seconds(*wall_s)),
                Line::of(Style::new(), processes.to_string()),
                Line::of(Style::new(), size_or_unknown(*peak_pss_bytes)),
                Line::of(Style::new(), percent(*share_of_peak))
                    .right(5)
                    .with(style, format!("  {}", bar(*share_of_peak, BAR))),
            ]);
        }
        let figures = Align::Right;
        writeln!(out)?;
        write_table(
            &[Align::Left, figures, figures, figures, figures, Align::Left],
            rows,
            0,
            self.width,
            out,
        )
    }

    fn write_processes_at_peak(&self, out: &mut dyn Write) -> io::Result<()> {
        let Palette { faint, .. } = *self.palette;
        let Some(peak) = &self.report.peak else {
            return Ok(());
        };
        let with_stages = self.has_stages();
        let mut heading = vec!["At the peak", "PSS", "RSS", "age"];
        heading.extend(with_stages.then_some("stage"));
        heading.push("command");
        let mut rows = vec![self.heading(&heading)];
        for process in peak.processes.iter().take(SHOWN_AT_PEAK) {
            let ProcessAtPeak {
                pid,
                ppid: _,
                stage,
                command,
                command_lossy: _,
                pss_bytes,
                rss_bytes,
                age_s,
            } = process;
            let mut row = vec![
                Line::of(faint, pid.to_string()),
                Line::of(Style::new(), size_or_unknown(*pss_bytes)),
                Line::of(faint, size_or_unknown(*rss_bytes)),
                Line::of(faint, seconds(*age_s)),
            ];
            row.extend(with_stages.then(|| self.stage_name(stage)));
            row.push(Line::of(Style::new(), shortened(command)));
            rows.push(row);
        }
        let more = &peak.processes[SHOWN_AT_PEAK.min(peak.processes.len())..];
        writeln!(out)?;
        let mut columns = vec![Align::Left, Align::Right, Align::Right, Align::Right];
        columns.extend(with_stages.then_some(Align::Left));
        columns.push(Align::Left);
        write_table(&columns, rows, 0, self.width, out)?;
        if !more.is_empty() {
            let held: u64 = more.iter().filter_map(|process| process.pss_bytes).sum();
            Line::of(
                faint,
                format!("and {} more, holding {}", more.len(), size(held)),
            )
            .write(self.width, out)?;
        }
        Ok(())
    }

    /// The largest processes that are not among those at the peak.
    fn write_largest(&self, out: &mut dyn Write) -> io::Result<()> {
        let Palette { faint, bad, .. } = *self.palette;
        let shown: Vec<u32> = self
            .report
            .peak
            .iter()
            .flat_map(|peak| peak.processes.iter().take(SHOWN_AT_PEAK))
            .map(|process| process.pid)
            .collect();
        let whole = self
            .report
            .headline
            .bytes
            .or(self.report.headline.highest_sampled_bytes);
        let others: Vec<&TopProcess> = self
            .report
            .processes
            .top
            .iter()
            .filter(|top| !shown.contains(&top.pid))
            .filter(|top| part(top.peak_rss_bytes, whole.unwrap_or_default()) >= WORTH_SHOWING)
            .take(SHOWN_LARGEST)
            .collect();
        if others.is_empty() {
            return Ok(());
        }
        let with_stages = self.has_stages();
        let mut heading = vec!["At other times", "peak RSS", "start", "lived"];
        heading.extend(with_stages.then_some("stage"));
        heading.push("command");
        let mut rows = vec![self.heading(&heading)];
        for top in others {
            let TopProcess {
                pid,
                command,
                command_lossy: _,
                stage,
                peak_rss_bytes,
                started_s,
                ended_s,
                exit,
            } = top;
            let lived = ended_s.map_or_else(|| "-".to_owned(), |ended| seconds(ended - started_s));
            let failed = match exit {
                Exit { code: Some(0), .. }
                | Exit {
                    code: None,
                    signal: None,
                } => None,
                Exit {
                    code: Some(code), ..
                } => Some(format!("  exit code {code}")),
                Exit {
                    code: None,
                    signal: Some(signal),
                } => Some(format!("  signal {signal}")),
            };
            let mut row = vec![
                Line::of(faint, pid.to_string()),
                Line::of(Style::new(), size(*peak_rss_bytes)),
                Line::of(faint, seconds(*started_s)),
                Line::of(faint, lived),
            ];
            row.extend(with_stages.then(|| self.stage_name(stage)));
            row.push(
                Line::of(Style::new(), shortened(command)).with(bad, failed.unwrap_or_default()),
            );
            rows.push(row);
        }
        writeln!(out)?;
        let mut columns = vec![Align::Left, Align::Right, Align::Right, Align::Right];
        columns.extend(with_stages.then_some(Align::Left));
        columns.push(Align::Left);
        write_table(&columns, rows, 0, self.width, out)
    }

    fn write_left_running(&self, out: &mut dyn Write) -> io::Result<()> {
        let Palette { faint, warning, .. } = *self.palette;
        let left = &self.report.processes.left_running;
        if left.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        Line::of(warning, "Left running by the build").write(self.width, out)?;
        let rows = left
            .iter()
            .map(
                |LeftRunning {
                     pid,
                     command,
                     stage,
                     peak_rss_bytes,
                 }| {
                    vec![
                        Line::of(faint, pid.to_string()),
                        Line::of(Style::new(), size_or_unknown(*peak_rss_bytes)),
                        self.stage_name(stage),
                        Line::of(Style::new(), shortened(command)),
                    ]
                },
            )
            .collect();
        let columns = [Align::Left, Align::Right, Align::Left, Align::Left];
        write_table(&columns, rows, 2, self.width, out)
    }

    fn write_verification(&self, out: &mut dyn Write) -> io::Result<()> {
        let Palette {
            title,
            good,
            bad,
            faint,
            ..
        } = *self.palette;
        // The exit status alone stands in the first line already.
        if self.report.verify.len() < 2 {
            return Ok(());
        }
        writeln!(out)?;
        Line::of(title, "Verified").write(self.width, out)?;
        let rows = self
            .report
            .verify
            .iter()
            .map(|VerifyCheck { path, ok, detail }| {
                let (style, mark) = if *ok { (good, "✓") } else { (bad, "✗") };
                vec![
                    Line::of(style, mark),
                    Line::of(Style::new(), path).cut(48),
                    Line::of(if *ok { faint } else { bad }, detail),
                ]
            })
            .collect();
        write_table(
            &[Align::Left, Align::Left, Align::Left],
            rows,
            2,
            self.width,
            out,
        )
    }

    fn write_notes(&self, out: &mut dyn Write) -> io::Result<()> {
        let notes: Vec<&Note> = self
            .report
            .notes
            .iter()
            .filter(|note| !NOT_NEWS.contains(&note.what.as_str()))
            .collect();
        if notes.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        for Note { what, why } in notes {
            // The text is more important than its place: it is wrapped, not cut.
            let prefix = format!("note: {what}: ");
            for (index, words) in wrapped(&prefix, why, self.width).into_iter().enumerate() {
                let line = if index == 0 {
                    Line::of(self.palette.warning, &prefix).with(Style::new(), words)
                } else {
                    Line::of(Style::new(), format!("      {words}"))
                };
                line.write(self.width, out)?;
            }
        }
        Ok(())
    }

    /// What was seen, and at what cost.
    fn write_completeness(&self, out: &mut dyn Write) -> io::Result<()> {
        let Palette {
            faint, good, bad, ..
        } = *self.palette;
        let profiler = &self.report.profiler;
        let forks = self.report.processes.forks;
        let seen = if self.report.verdict == Verdict::Incomplete {
            Line::of(
                faint,
                format!("{} seen until then", count(forks, "process", "processes")),
            )
        } else if profiler.events_lost == 0 {
            Line::of(good, "✓ ").with(
                faint,
                format!(
                    "all {} seen, no event lost",
                    count(forks, "process", "processes")
                ),
            )
        } else {
            let lost = count(profiler.events_lost, "event", "events");
            Line::of(
                bad,
                format!(
                    "✗ {} seen, {lost} lost",
                    count(forks, "process", "processes")
                ),
            )
        };
        let mut rest = vec![format!(
            " · {}",
            count(profiler.samples, "sample", "samples")
        )];
        if let Some(cpu) = profiler.total_cpu_s
            && self.report.duration_s > 0.0
        {
            rest.push(format!(
                "build-mem used {} of a core",
                percent(cpu / self.report.duration_s)
            ));
        }
        rest.extend(profiler.peak_rss_bytes.map(size));
        writeln!(out)?;
        seen.with(faint, rest.join(" · ")).write(self.width, out)
    }

    fn heading(&self, names: &[&str]) -> Vec<Line> {
        let style = |index| {
            if index == 0 {
                self.palette.title
            } else {
                self.palette.faint
            }
        };
        names
            .iter()
            .enumerate()
            .map(|(index, name)| Line::of(style(index), name))
            .collect()
    }

    fn stage_name(&self, stage: &str) -> Line {
        let Palette {
            faint,
            stage: named,
            ..
        } = *self.palette;
        Line::of(if stage == OTHER { faint } else { named }, stage).cut(20)
    }

    fn has_stages(&self) -> bool {
        self.report.stages.iter().any(|stage| stage.name != OTHER)
    }
}

/// A command without the folders of its words where they are deep: `node …/bin/next build`.
fn shortened(command: &str) -> String {
    let words = command.split(' ').map(|word| match word.rsplit_once('/') {
        Some((folder, name)) if word.starts_with('/') && folder.matches('/').count() > 2 => {
            let parent = folder.rsplit('/').next().unwrap_or_default();
            format!("…/{parent}/{name}")
        }
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A text in lines of at most `width` columns, the first behind `prefix`, the others indented by six.
fn wrapped(prefix: &str, text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut room = width.saturating_sub(prefix.chars().count());
    for word in text.split_whitespace() {
        let length = word.chars().count();
        let line = lines.len() - 1;
        if !lines[line].is_empty() && length + 1 > room {
            lines.push(word.to_owned());
            room = width.saturating_sub(6 + length);
            continue;
        }
        let gap = usize::from(!lines[line].is_empty());
        if gap == 1 {
            lines[line].push(' ');
        }
        lines[line].push_str(word);
        room = room.saturating_sub(length + gap);
    }
    lines
}

fn size(bytes: u64) -> String {
    ByteSize::from_bytes(bytes).to_string()
}

fn size_or_unknown(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), size)
}

/// A unit in which several figures of one sum are shown.
struct Unit {
    name: &'static str,
    bytes: f64,
}

impl Unit {
    #[expect(clippy::cast_precision_loss, reason = "two decimals for people")]
    fn figure(&self, bytes: i64) -> String {
        format!("{:.2}", bytes as f64 / self.bytes)
    }
}

/// The unit that a sum of this size is shown in.
fn unit_of(bytes: u64) -> Unit {
    match bytes {
        b if b < 1 << 20 => Unit {
            name: "KiB",
            bytes: 1024.0,
        },
        b if b < 1 << 30 => Unit {
            name: "MiB",
            bytes: 1024.0 * 1024.0,
        },
        _ => Unit {
            name: "GiB",
            bytes: 1024.0 * 1024.0 * 1024.0,
        },
    }
}

fn part(bytes: u64, whole: u64) -> f64 {
    ByteSize::from_bytes(bytes).share_of(ByteSize::from_bytes(whole))
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 10.0 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.0005 => "0 s".to_owned(),
        s if s < 0.0995 => format!("{:.0} ms", s * 1000.0),
        s if s < 99.95 => format!("{s:.1} s"),
        // Whole seconds from here on; a build lasts less than an age of the universe.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "see above"
        )]
        s => clock(Duration::from_secs(s.round() as u64)),
    }
}

/// `23 s`, `4 min 05 s`, `1 h 02 min`.
fn clock(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        s if s < 60 => format!("{s} s"),
        s if s < 3600 => format!("{} min {:02} s", s / 60, s % 60),
        s => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

fn count(number: u64, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}
