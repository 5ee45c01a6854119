//! Aligned columns for people.

/// Rows of text as columns, two spaces apart; the last column is not padded.
#[must_use]
pub(super) fn align(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads: Vec<String> = heads.iter().map(|&head| head.to_owned()).collect();
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            let cells = std::iter::once(&heads)
                .chain(rows)
                .filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&heads).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["1".into(), "long cell".into(), "x".into()],
            vec!["22".into(), "s".into(), "y".into()],
        ];
        let text = super::align(&["#", "what", "why"], &rows);
        assert_eq!(
            text,
            "#   what       why\n1   long cell  x\n22  s          y\n"
        );
    }
}
