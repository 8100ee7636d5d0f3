//! The figures of a run as OpenMetrics text, for the textfile collector of Prometheus's node_exporter, a push gateway, or
//! whatever else reads that format. All are gauges of the last run, in base units, without timestamps: the collector takes no
//! others. What is not known is left out.

use std::io::{self, Write};

use super::layout::visible;
use super::measures::{build_name, name_of, unique};
use crate::report::{Composition, ProcessClass, Report, Stage, Verdict};

/// Each class is a time series of its own, so only the largest are told.
const CLASSES: usize = 20;

/// Writes the figures.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page {
        build: build_name(&report.command),
        out,
    };
    page.run(report)?;
    page.headline(report)?;
    page.at_peak(report)?;
    page.stages(report)?;
    page.processes(report)?;
    page.profiler(report)?;
    writeln!(page.out, "# EOF")
}

/// A unit, which ends the name of what has it.
#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Seconds,
    /// A number, or 1 for yes and 0 for no.
    None,
}

/// One figure and its labels, but for the build's.
type Sample = (Vec<(&'static str, String)>, f64);

struct Page<'out> {
    build: String,
    out: &'out mut dyn Write,
}

impl Page<'_> {
    fn run(&mut self, report: &Report) -> io::Result<()> {
        let labels = vec![
            ("label", report.label.clone()),
            ("verdict", report.verdict.word().to_owned()),
            (
                "peak_source",
                report.headline.source.clone().unwrap_or_default(),
            ),
            ("tracker", report.profiler.tracker.clone()),
            ("kernel", report.profiler.kernel.clone()),
            ("version", report.profiler.version.clone()),
        ];
        let about = "The run that the other figures are of.";
        self.family("run", Unit::None, about, [(labels, 1.0)])?;
        let started = report.started_at.parse::<jiff::Timestamp>().ok();
        self.one(
            "start_time",
            Unit::Seconds,
            "When the build started, since 1970.",
            started.map(|started| of(started.as_second())),
        )?;
        self.one(
            "duration",
            Unit::Seconds,
            "Wall time of the build.",
            Some(report.duration_s),
        )?;
        self.one(
            "success",
            Unit::None,
            "Whether the build succeeded, left what it had to, and kept its budget.",
            Some(yes(report.verdict == Verdict::Pass)),
        )
    }

    fn headline(&mut self, report: &Report) -> io::Result<()> {
        let headline = &report.headline;
        self.one(
            "peak",
            Unit::Bytes,
            "High-water mark of the build's cgroup, as the kernel keeps it.",
            headline.bytes.map(of),
        )?;
        self.one(
            "peak_without_cache",
            Unit::Bytes,
            "Highest sampled usage of the cgroup without page cache: what a limit has to hold.",
            headline.without_cache.as_ref().map(|it| of(it.bytes)),
        )?;
        self.one(
            "highest_sample",
            Unit::Bytes,
            "Highest sampled usage of the cgroup.",
            headline.highest_sampled_bytes.map(of),
        )?;
        self.one(
            "limit",
            Unit::Bytes,
            "Limit of the build's cgroup.",
            headline.limit_bytes.map(of),
        )?;
        self.one(
            "budget",
            Unit::Bytes,
            "What the build was to stay within.",
            report.budget.as_ref().map(|budget| of(budget.bytes)),
        )?;
        self.one(
            "saturated",
            Unit::None,
            "Whether the peak is only the limit speaking.",
            Some(yes(headline.saturated)),
        )?;
        self.one(
            "complete",
            Unit::None,
            "Whether everything that the build ran is known to be in the peak.",
            Some(yes(headline.complete)),
        )
    }

    fn at_peak(&mut self, report: &Report) -> io::Result<()> {
        let Some(composition) = report.peak.as_ref().and_then(|peak| peak.composition) else {
            return Ok(());
        };
        let Composition {
            anon,
            file_mapped,
            file_unmapped,
            shmem,
            kernel,
            // Not of memory.stat, but of comparing it with the processes.
            charged_elsewhere: _,
            unattributed: _,
        } = composition;
        let parts = [
            ("anon", Some(anon)),
            ("file_mapped", Some(file_mapped)),
            ("file_unmapped", Some(file_unmapped)),
            ("shmem", Some(shmem)),
            ("kernel", kernel),
        ];
        self.family(
            "at_peak",
            Unit::Bytes,
            "What the cgroup held in the highest sample, by its memory.stat.",
            parts
                .into_iter()
                .filter_map(|(part, bytes)| Some((vec![("part", part.to_owned())], of(bytes?)))),
        )
    }

    fn stages(&mut self, report: &Report) -> io::Result<()> {
        let stages = &report.stages;
        let names = unique(stages.iter().map(|stage| name_of(&stage.name)));
        let of_each = |figure: &dyn Fn(&Stage) -> Option<f64>| -> Vec<Sample> {
            let figures = stages.iter().zip(&names);
            figures
                .filter_map(|(stage, name)| Some((vec![("stage", name.clone())], figure(stage)?)))
                .collect()
        };
        self.family(
            "stage_peak_pss",
            Unit::Bytes,
            "Highest sampled sum of the PSS of a stage's processes.",
            of_each(&|stage| stage.peak_pss_bytes.map(of)),
        )?;
        self.family(
            "stage_peak_cgroup",
            Unit::Bytes,
            "High-water mark of the build's cgroup while a stage ran, as the kernel keeps it.",
            of_each(&|stage| stage.peak_cgroup_bytes.map(of)),
        )?;
        let at_peak = report.peak.as_ref().map(|peak| &peak.stages);
        self.family(
            "stage_at_peak_pss",
            Unit::Bytes,
            "Sum of the PSS of a stage's processes in the build's highest sample.",
            of_each(&|stage| {
                let held = at_peak?.iter().find(|held| held.name == stage.name);
                Some(held.map_or(0.0, |held| of(held.pss_bytes)))
            }),
        )?;
        self.family(
            "stage_wall",
            Unit::Seconds,
            "From the start of a stage's first process to the end of its last.",
            of_each(&|stage| Some(stage.wall_s)),
        )?;
        self.family(
            "stage_processes",
            Unit::None,
            "Processes that ever belonged to a stage.",
            of_each(&|stage| Some(of(stage.processes))),
        )
    }

    fn processes(&mut self, report: &Report) -> io::Result<()> {
        let processes = &report.processes;
        self.one(
            "processes",
            Unit::None,
            "Processes that the build made.",
            Some(of(processes.forks)),
        )?;
        self.one(
            "processes_live_at_most",
            Unit::None,
            "Most processes alive at once.",
            Some(of(processes.peak_live)),
        )?;
        let classes = || processes.classes.iter().take(CLASSES);
        let names = unique(classes().map(|class| name_of(&class.command_class)));
        let of_each = |figure: &dyn Fn(&ProcessClass) -> Option<f64>| {
            let figures = classes().zip(&names);
            figures
                .filter_map(|(class, name)| Some((vec![("class", name.clone())], figure(class)?)))
                .collect::<Vec<Sample>>()
        };
        self.family(
            "class_peak_rss",
            Unit::Bytes,
            "Highest peak RSS of a process of the class; only the largest classes.",
            of_each(&|class| class.peak_rss_max_bytes.map(of)),
        )?;
        self.family(
            "class_processes",
            Unit::None,
            "Processes of the class; only the largest classes.",
            of_each(&|class| Some(of(class.count))),
        )?;
        self.one(
            "oom_kills",
            Unit::None,
            "Out-of-memory kills that the cgroup counted.",
            report.oom.kills.map(of),
        )?;
        let pressure = &report.pressure;
        let stalled = [
            ("some", pressure.stalled_some_s),
            ("full", pressure.stalled_full_s),
        ];
        self.family(
            "stalled",
            Unit::Seconds,
            "Time in which tasks waited for memory: at least one, or all that were not idle.",
            stalled
                .into_iter()
                .filter_map(|(tasks, time)| Some((vec![("tasks", tasks.to_owned())], time?))),
        )?;
        self.one(
            "swap_peak",
            Unit::Bytes,
            "High-water mark of the cgroup's swap.",
            pressure.swap_peak_bytes.map(of),
        )
    }

    fn profiler(&mut self, report: &Report) -> io::Result<()> {
        let profiler = &report.profiler;
        self.one(
            "events_lost",
            Unit::None,
            "Events that could not be reported: processes may be missing.",
            Some(of(profiler.events_lost)),
        )?;
        self.one(
            "profiler_cpu",
            Unit::Seconds,
            "CPU time of build-mem itself while the build ran.",
            profiler.total_cpu_s,
        )?;
        self.one(
            "profiler_peak_rss",
            Unit::Bytes,
            "High-water resident set size of build-mem itself.",
            profiler.peak_rss_bytes.map(of),
        )
    }

    fn one(&mut self, name: &str, unit: Unit, help: &str, value: Option<f64>) -> io::Result<()> {
        self.family(name, unit, help, value.map(|value| (Vec::new(), value)))
    }

    /// A metric with its samples; nothing where there is none.
    fn family(
        &mut self,
        name: &str,
        unit: Unit,
        help: &str,
        samples: impl IntoIterator<Item = Sample>,
    ) -> io::Result<()> {
        let mut samples = samples
            .into_iter()
            .filter(|(_, value)| value.is_finite())
            .peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let unit = match unit {
            Unit::Bytes => Some("bytes"),
            Unit::Seconds => Some("seconds"),
            Unit::None => None,
        };
        let name = match unit {
            Some(unit) => format!("buildmem_{name}_{unit}"),
            None => format!("buildmem_{name}"),
        };
        writeln!(self.out, "# HELP {name} {help}")?;
        writeln!(self.out, "# TYPE {name} gauge")?;
        if let Some(unit) = unit {
            writeln!(self.out, "# UNIT {name} {unit}")?;
        }
        for (labels, value) in samples {
            write!(self.out, "{name}{{build=\"{}\"", escaped(&self.build))?;
            for (label, text) in labels {
                write!(self.out, ",{label}=\"{}\"", escaped(&text))?;
            }
            writeln!(self.out, "}} {value}")?;
        }
        Ok(())
    }
}

/// A text as the value of a label.
fn escaped(text: &str) -> String {
    visible(text).replace('\\', "\\\\").replace('"', "\\\"")
}

const fn yes(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "whoever reads the format keeps floats"
)]
fn of(number: impl Into<i128>) -> f64 {
    number.into() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;

    fn written(report: &Report) -> String {
        let mut bytes = Vec::new();
        write(report, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_monorepo() {
        insta::assert_snapshot!(written(&samples::monorepo()));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let text = written(&samples::interrupted());
        assert!(!text.contains("buildmem_peak"), "{text}");
        assert!(text.contains("buildmem_success{build=\"npm run build\"} 0\n"));
    }

    #[test]
    fn a_label_ends_where_its_value_ends() {
        let mut report = samples::tiny();
        report.command = vec!["a\"} 1\n\\".to_owned()];
        let text = written(&report);
        assert!(text.contains(r#"{build="'a\"} 1\\n\\'",label="#), "{text}");
    }
}
