//! Tables a person can read.

/// Rows under a header, each column as wide as its widest cell.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(super) fn new<'a>(header: impl IntoIterator<Item = &'a str>) -> Self {
        Self { rows: vec![header.into_iter().map(str::to_owned).collect()] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as lines of text. Columns of numbers are flush right.
    pub(super) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let shapes: Vec<_> = (0..columns).map(|column| self.shape(column)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, (width, numbers)) in row.iter().zip(&shapes) {
                let cell = if *numbers { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
                line.push_str(&cell);
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn shape(&self, column: usize) -> (usize, bool) {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let width = cells.clone().map(|cell| cell.chars().count()).max().unwrap_or(0);
        let numbers = cells.skip(1).all(|cell| cell == "-" || cell.parse::<f64>().is_ok());
        (width, numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_flush_left_and_numbers_flush_right() {
        let mut table = Table::new(["node", "partitions"]);
        table.row(vec!["n1".to_owned(), "12".to_owned()]);
        table.row(vec!["longer".to_owned(), "-".to_owned()]);
        assert_eq!(table.render(), "node    partitions\nn1              12\nlonger           -\n");
    }
}
