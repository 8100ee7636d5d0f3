//! Tables for a terminal and for Markdown.

/// Rows with their columns below each other, the first column to the left, the others to the right.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            let parts = if column == 0 {
                [cell, "", &padding]
            } else {
                ["  ", &padding, cell]
            };
            line.extend(parts);
        }
        text += line.trim_end();
        text += "\n";
    }
    text
}

/// Rows as a Markdown table, the first one its heading.
pub fn markdown(rows: &[Vec<String>]) -> String {
    let line = |row: &Vec<String>| format!("| {} |\n", row.join(" | "));
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        text += &line(row);
        if index == 0 {
            let rule = |column| if column == 0 { "---" } else { "---:" };
            text += &line(
                &(0..row.len())
                    .map(|column| rule(column).to_owned())
                    .collect(),
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let rows = [["a", "long"], ["bb", "1"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows), "a   long\nbb     1\n");
        assert_eq!(
            markdown(&rows),
            "| a | long |\n| --- | ---: |\n| bb | 1 |\n"
        );
    }
}
