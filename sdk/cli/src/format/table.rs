//! Go's `text/tabwriter`, as far as Micro uses it: minimal width 0, tab width 8, padding 1.

use unicode_width::UnicodeWidthStr;

/// What fills a cell up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pad {
    /// Columns begin at multiples of eight.
    Tab,
    /// Columns are as wide as their widest cell and one.
    Space,
}

const TAB_WIDTH: usize = 8;
const PADDING: usize = 1;

/// Aligns `rows` of equally many cells. The last cell of a row is not padded. Each row ends with a line end.
pub(crate) fn table<R: AsRef<[String]>>(rows: &[R], pad: Pad) -> String {
    let columns = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or_default();
    let widths: Vec<_> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.as_ref().get(column));
            let width = cells.map(|cell| cell.width()).max().unwrap_or_default() + PADDING;
            if pad == Pad::Tab { width.next_multiple_of(TAB_WIDTH) } else { width }
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let row = row.as_ref();
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            text.push_str(cell);
            if index + 1 == row.len() {
                break;
            }
            let missing = width.saturating_sub(cell.width());
            match pad {
                Pad::Tab => text.extend(std::iter::repeat_n('\t', missing.div_ceil(TAB_WIDTH))),
                Pad::Space => text.extend(std::iter::repeat_n(' ', missing)),
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows<const N: usize>(rows: &[[&str; N]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    #[test]
    fn spaces_as_in_the_store_table() {
        let rows = rows(&[["KEY ", " VALUE ", " EXPIRY"], ["key1 ", " val1 ", " None"]]);
        assert_eq!(table(&rows, Pad::Space), "KEY    VALUE   EXPIRY\nkey1   val1    None\n");
    }

    #[test]
    fn spaces_as_in_the_environment_list() {
        let rows = rows(&[["* local ", " none"], ["  platform ", " none"]]);
        assert_eq!(table(&rows, Pad::Space), "* local      none\n  platform   none\n");
    }

    #[test]
    fn tabs_reach_the_next_stop() {
        let rows = rows(&[["NAME", "B"], ["1234567", "x"], ["12345678", "y"]]);
        assert_eq!(table(&rows, Pad::Tab), "NAME\t\tB\n1234567\t\tx\n12345678\ty\n");
    }
}
