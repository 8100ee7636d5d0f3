//! The comparison for a pull request's comment or a step's summary.

use std::io::{self, Write};

use super::{
    amount, changed_classes, counts, judgement, named, remark, sentence, shown_command, signed,
    signed_percent, stage_sources,
};
use crate::compare::{
    ArtifactChange, Change, ClassChange, Comparison, FailAbove, Finding, Refusal, Run, Side,
    StageChange,
};
use crate::event::Note;
use crate::export::layout::{seconds, size, visible};

/// Of the classes that changed, so many are listed.
const CLASSES: usize = 20;

/// Writes the comparison as Markdown: GitHub's and GitLab's.
pub fn write(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let Comparison {
        schema: _,
        base,
        new,
        refusals,
        headline,
        without_cache,
        duration,
        processes,
        stages,
        classes,
        artifacts,
        fail_above,
        notes,
    } = comparison;
    conclusion(headline, fail_above.as_ref(), out)?;
    writeln!(
        out,
        "`{}`: {} → {}\n",
        code(&shown_command(&new.command)),
        text(&named(base)),
        text(&named(new))
    )?;
    for Refusal { what: _, why } in refusals {
        writeln!(out, "> **Not comparable**: {}  ", text(why))?;
    }
    if !refusals.is_empty() {
        writeln!(out)?;
    }
    table(
        "",
        [
            ("Peak memory", headline),
            ("Peak without page cache", without_cache),
            ("Duration", duration),
            ("Processes", processes),
        ],
        remark,
        out,
    )?;
    if stages.len() > 1 {
        let rows = stages
            .iter()
            .map(|StageChange { name, peak, .. }| (name.as_str(), peak));
        table("Stage", rows, remark, out)?;
        writeln!(out, "<sub>{}</sub>\n", text(&stage_sources(stages)))?;
    }
    let changed = changed_classes(classes);
    if !changed.is_empty() {
        let count = changed.len();
        writeln!(
            out,
            "<details><summary>Classes of processes that changed: {count}</summary>\n"
        )?;
        writeln!(
            out,
            "| Largest of class | base | new | change | | processes |"
        )?;
        writeln!(out, "| --- | ---: | ---: | ---: | ---: | --- |")?;
        for ClassChange {
            command_class,
            count,
            peak_rss,
        } in changed.into_iter().take(CLASSES)
        {
            row(command_class, peak_rss, &counts(count), out)?;
        }
        writeln!(out, "\n</details>\n")?;
    }
    if !artifacts.is_empty() {
        let rows = artifacts
            .iter()
            .map(|ArtifactChange { path, size }| (path.as_str(), size));
        table("Artifact", rows, remark, out)?;
    }
    runs(base, new, out)?;
    for Note { what, why } in notes {
        writeln!(out, "- **{}**: {}", text(what), text(why))?;
    }
    Ok(())
}

fn conclusion(
    headline: &Change,
    fail_above: Option<&FailAbove>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mark = match headline.finding {
        Finding::Grew => "🔺",
        Finding::Shrank => "🟢",
        Finding::WithinNoise | Finding::Same => "⚪",
        Finding::NoiseUnknown | Finding::Appeared | Finding::Gone | Finding::Unknown => "❔",
    };
    writeln!(out, "### {mark} {}\n", sentence(headline))?;
    if let Some(fail_above) = fail_above {
        writeln!(out, "**{}**\n", judgement(fail_above))?;
    }
    Ok(())
}

fn table<'a>(
    title: &str,
    rows: impl IntoIterator<Item = (&'a str, &'a Change)>,
    remark: fn(&Change) -> String,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "| {title} | base | new | change | | |")?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: | --- |")?;
    for (name, change) in rows {
        row(name, change, &remark(change), out)?;
    }
    writeln!(out)
}

fn row(name: &str, change: &Change, remark: &str, out: &mut dyn Write) -> io::Result<()> {
    let side = |figures: Option<crate::compare::Figures>| {
        figures.map_or_else(
            || "-".to_owned(),
            |figures| amount(change.unit, figures.median),
        )
    };
    let by = change
        .difference
        .map_or_else(String::new, |by| signed(change.unit, by));
    let share = change.share.map_or_else(String::new, signed_percent);
    let (base, new) = (side(change.base), side(change.new));
    writeln!(
        out,
        "| {} | {base} | {new} | {by} | {share} | {remark} |",
        text(name)
    )
}

/// All runs, where there are several.
fn runs(base: &Side, new: &Side, out: &mut dyn Write) -> io::Result<()> {
    if base.runs.len() + new.runs.len() < 3 {
        return Ok(());
    }
    writeln!(out, "<details><summary>All runs</summary>\n")?;
    writeln!(out, "| run | peak | without page cache | duration |")?;
    writeln!(out, "| --- | ---: | ---: | ---: |")?;
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), size);
    for Run {
        label,
        started_at: _,
        headline_bytes,
        without_cache_bytes,
        duration_s,
    } in base.runs.iter().chain(&new.runs)
    {
        let (peak, without_cache) = (bytes(*headline_bytes), bytes(*without_cache_bytes));
        let label = text(label);
        writeln!(
            out,
            "| {label} | {peak} | {without_cache} | {} |",
            seconds(*duration_s)
        )?;
    }
    writeln!(out, "\n</details>\n")
}

/// A text from outside as nothing but text.
fn text(outside: &str) -> String {
    let mut escaped = String::new();
    for c in visible(outside).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // Of these, some begin a link, a mention or the next cell.
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' | '$' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// The same between backticks, where nothing can be escaped.
fn code(outside: &str) -> String {
    visible(outside).replace('`', "'").replace('|', "¦")
}
