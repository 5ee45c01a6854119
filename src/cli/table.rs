//! Aligned columns for people, made to fit a width.
//!
//! Where a table is too wide, columns that can be done without go first, then the widest of those
//! that may be cut is cut, until it fits or nothing more can give. The last column is not padded.
//! Cells hold text that is safe for a terminal already.

use super::screen::{Look, paint};
use super::text;

/// Between two columns.
const GAP: usize = 2;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// What stands above it.
    pub(super) head: &'static str,
    /// It may be cut to so many characters; 0: never.
    pub(super) least: usize,
    /// Columns with a rank go before anything is cut, the highest first; 0 stays.
    pub(super) rank: u8,
    /// Numbers end at the right.
    pub(super) right: bool,
}

impl Column {
    pub(super) const fn fixed(head: &'static str) -> Self {
        Self {
            head,
            least: 0,
            rank: 0,
            right: false,
        }
    }

    pub(super) const fn elastic(head: &'static str, least: usize) -> Self {
        Self {
            least,
            ..Self::fixed(head)
        }
    }

    pub(super) const fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    pub(super) const fn right(self) -> Self {
        Self {
            right: true,
            ..self
        }
    }
}

/// A piece of a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    look: Look,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>, look: Look) -> Self {
        Self {
            text: text.into(),
            look,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Look::Plain)
    }
}

/// Which columns are shown, and how wide.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    shown: Vec<(usize, Column, usize)>,
}

impl Layout {
    /// Fits the columns to `rows` and to `width`; `None`: as wide as they are.
    pub(super) fn of(columns: &[Column], rows: &[Vec<Cell>], width: Option<usize>) -> Self {
        let natural = |(index, column): (usize, &Column)| {
            let cells = rows.iter().filter_map(|row| row.get(index));
            let widest = cells.map(|cell| text::columns(&cell.text)).max();
            let head = text::columns(column.head);
            (index, *column, widest.unwrap_or(0).max(head))
        };
        let mut layout = Self {
            shown: columns.iter().enumerate().map(natural).collect(),
        };
        if let Some(width) = width {
            layout.squeeze(width);
        }
        layout
    }

    fn squeeze(&mut self, width: usize) {
        let least = |(_, column, natural): &(usize, Column, usize)| match column.least {
            0 => *natural,
            least => least.min(*natural),
        };
        let total = |shown: &[(usize, Column, usize)],
                     of: &dyn Fn(&(usize, Column, usize)) -> usize| {
            shown.iter().map(of).sum::<usize>() + GAP * shown.len().saturating_sub(1)
        };
        while total(&self.shown, &least) > width {
            let places = self.shown.iter().enumerate();
            let ranked = places.filter(|(_, (_, column, _))| column.rank > 0);
            let Some((index, _)) = ranked.max_by_key(|(_, (_, column, _))| column.rank) else {
                break;
            };
            self.shown.remove(index);
        }
        while total(&self.shown, &|one| one.2) > width {
            let elastic = self.shown.iter_mut().filter(|one| one.2 > least(one));
            let Some(widest) = elastic.max_by_key(|one| one.2) else {
                break;
            };
            widest.2 -= 1;
        }
    }

    /// The line of the heads.
    pub(super) fn head(&self, colours: bool) -> String {
        let cells = self.shown.iter().map(|(_, column, width)| {
            let cell = Cell::new(column.head, Look::Dim);
            (cell, *column, *width)
        });
        line(cells, colours)
    }

    /// The line of one row.
    pub(super) fn row(&self, row: &[Cell], colours: bool) -> String {
        let cells = self.shown.iter().map(|(index, column, width)| {
            let cell = row.get(*index).cloned().unwrap_or_default();
            (cell, *column, *width)
        });
        line(cells, colours)
    }
}

fn line(cells: impl Iterator<Item = (Cell, Column, usize)>, colours: bool) -> String {
    let mut line = String::new();
    // What stands between two cells is only written before another one that is not empty.
    let mut owed = 0;
    for (cell, column, width) in cells {
        let short = if column.least == 0 {
            cell.text
        } else {
            text::cut(&cell.text, width)
        };
        let spare = width.saturating_sub(text::columns(&short));
        if column.right {
            owed += spare;
        }
        if !short.is_empty() {
            line.extend(std::iter::repeat_n(' ', owed));
            line.push_str(&paint(&short, cell.look, colours));
            owed = 0;
        }
        owed += GAP + if column.right { 0 } else { spare };
    }
    line
}

/// The longest cell of each column: a row that stands for all of them in a later layout, so that
/// what comes later lines up with what is shown already.
pub(super) fn longest(rows: &[Vec<Cell>]) -> Vec<Cell> {
    let mut longest: Vec<Cell> = Vec::new();
    for row in rows {
        longest.resize(longest.len().max(row.len()), Cell::default());
        for (long, cell) in longest.iter_mut().zip(row) {
            if text::columns(&cell.text) > text::columns(&long.text) {
                long.clone_from(cell);
            }
        }
    }
    longest
}

/// Rows of text as columns, as wide as they are.
#[must_use]
pub(super) fn align(heads: &[&'static str], rows: &[Vec<String>]) -> String {
    let columns: Vec<Column> = heads.iter().map(|head| Column::fixed(head)).collect();
    let cells = |row: &Vec<String>| row.iter().map(|cell| Cell::from(cell.as_str())).collect();
    let rows: Vec<Vec<Cell>> = rows.iter().map(cells).collect();
    let layout = Layout::of(&columns, &rows, None);
    let mut text = layout.head(false) + "\n";
    for row in &rows {
        text.push_str(&layout.row(row, false));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["1".into(), "long cell".into(), "x".into()],
            vec!["22".into(), "s".into(), "y".into()],
        ];
        let text = align(&["#", "what", "why"], &rows);
        assert_eq!(
            text,
            "#   what       why\n1   long cell  x\n22  s          y\n"
        );
    }

    const COLUMNS: [Column; 4] = [
        Column::fixed("ID").right(),
        Column::elastic("NAME", 4),
        Column::fixed("MS").rank(1).right(),
        Column::elastic("ERROR", 6),
    ];

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec!["7".into(), "newsletter".into(), "12".into(), "".into()],
            vec![
                "1024".into(),
                "erp".into(),
                "3001".into(),
                Cell::new("the connection was refused", Look::Bad),
            ],
        ]
    }

    fn shown(width: Option<usize>) -> String {
        let layout = Layout::of(&COLUMNS, &rows(), width);
        let mut text = layout.head(false) + "\n";
        for row in rows() {
            text.push_str(&layout.row(&row, false));
            text.push('\n');
        }
        text
    }

    #[test]
    fn a_table_is_cut_to_the_width_the_widest_first() {
        assert_eq!(
            shown(None),
            "  ID  NAME          MS  ERROR\n   7  newsletter    12\n1024  erp         3001  the connection was refused\n"
        );
        assert_eq!(
            shown(Some(30)),
            "  ID  NAME        MS  ERROR\n   7  newslet…    12\n1024  erp       3001  the con…\n"
        );
    }

    #[test]
    fn a_column_goes_before_the_others_are_cut_too_short() {
        assert_eq!(
            shown(Some(18)),
            "  ID  NAME  ERROR\n   7  new…\n1024  erp   the c…\n"
        );
    }

    #[test]
    fn later_rows_line_up_with_the_longest_before_them() {
        let stands_for = longest(&rows());
        let later = vec!["8".into(), "a".into(), "1".into(), "none".into()];
        let layout = Layout::of(&COLUMNS, &[later.clone(), stands_for], None);
        assert_eq!(layout.row(&later, false), "   8  a              1  none");
    }

    #[test]
    fn only_the_text_is_coloured() {
        let layout = Layout::of(&COLUMNS, &rows(), None);
        let row = layout.row(&rows()[1], true);
        assert!(
            row.ends_with("3001  \x1b[31mthe connection was refused\x1b[0m"),
            "{row:?}"
        );
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_screen(
            cells in proptest::collection::vec(("[0-9]{1,4}", "[a-zä]{0,30}", "[0-9]{1,5}", "[a-z ]{0,60}"), 0..5),
            width in 18_usize..80,
        ) {
            let rows: Vec<Vec<Cell>> = cells
                .into_iter()
                .map(|(a, b, c, d)| vec![a.into(), b.into(), c.into(), d.into()])
                .collect();
            let layout = Layout::of(&COLUMNS, &rows, Some(width));
            for row in &rows {
                let line = layout.row(row, false);
                prop_assert!(text::columns(&line) <= width, "{line}");
            }
        }
    }
}
