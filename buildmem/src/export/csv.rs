//! Memory over time as a table: one row a sample, one column a stage.

use std::io::{self, Write};

use crate::timeline::{TimelineRow, TimelineTable};

/// Writes the timeline. A cgroup that could not be read is an empty cell.
pub fn write(table: &TimelineTable, out: &mut dyn Write) -> io::Result<()> {
    let TimelineTable { stages, rows } = table;
    let mut csv = csv::Writer::from_writer(out);
    let fixed = [
        "t_s",
        "stage",
        "cgroup_bytes",
        "pss_bytes",
        "rss_bytes",
        "live_processes",
    ];
    let columns = stages.iter().map(|stage| format!("pss:{stage}"));
    csv.write_record(fixed.into_iter().map(str::to_owned).chain(columns))?;
    for TimelineRow {
        at_s,
        stage,
        cgroup,
        // Of the cgroup, the columns have no parts.
        composition: _,
        pss,
        rss,
        live,
        stage_pss,
    } in rows
    {
        csv.write_field(format!("{at_s:.3}"))?;
        csv.write_field(stage)?;
        csv.write_field(cgroup.map_or_else(String::new, |size| size.bytes().to_string()))?;
        for figure in [pss.bytes(), rss.bytes(), *live] {
            csv.write_field(figure.to_string())?;
        }
        for held in stage_pss {
            csv.write_field(held.bytes().to_string())?;
        }
        csv.write_record(None::<&[u8]>)?;
    }
    csv.flush()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::ByteSize;

    fn row(stage: &str, cgroup: Option<u64>, held: &[u64]) -> TimelineRow {
        TimelineRow {
            at_s: 1.23456,
            stage: stage.into(),
            cgroup: cgroup.map(ByteSize::from_bytes),
            composition: None,
            pss: held.iter().copied().map(ByteSize::from_bytes).sum(),
            rss: ByteSize::from_bytes(99),
            live: 3,
            stage_pss: held.iter().copied().map(ByteSize::from_bytes).collect(),
        }
    }

    fn written(table: &TimelineTable) -> String {
        let mut bytes = Vec::new();
        write(table, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_columns_are_those_of_the_specification() {
        let table = TimelineTable {
            stages: vec!["build".into(), "(other)".into()],
            rows: vec![
                row("build", Some(50), &[20, 10]),
                row("(other)", None, &[0, 10]),
            ],
        };
        insta::assert_snapshot!(written(&table), @r"
        t_s,stage,cgroup_bytes,pss_bytes,rss_bytes,live_processes,pss:build,pss:(other)
        1.235,build,50,30,99,3,20,10
        1.235,(other),,10,99,3,0,10
        ");
    }

    proptest! {
        #[test]
        fn any_stage_name_is_read_back(names in prop::collection::vec("[a,\"\n\r =;']{1,5}", 1..4)) {
            let held = vec![1; names.len()];
            let table =
                TimelineTable { rows: vec![row(&names[0], Some(1), &held)], stages: names.clone() };
            let text = written(&table);
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let columns: Vec<String> =
                reader.headers().unwrap().iter().skip(6).map(|name| name[4..].to_owned()).collect();
            prop_assert_eq!(&columns, &names);
            let record = reader.records().next().unwrap().unwrap();
            prop_assert_eq!(&record[1], names[0].as_str());
        }
    }
}
