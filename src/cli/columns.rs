//! Tables as text.

/// Columns as wide as their widest cell.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
        format!("{}\n", cells.join("   ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Names come from records that others can write: no control character reaches a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// As kubectl tells ages; below ten seconds with a tenth, which is what renewals differ in.
pub(super) fn age(seconds: f64) -> String {
    match seconds {
        // Another clock: told in a note where it matters.
        under if under < 0.0 => "0s".to_owned(),
        few if few < 9.95 => format!("{few:.1}s"),
        some if some < 120.0 => format!("{some:.0}s"),
        some if some < 7_200.0 => format!("{}m", (some / 60.0).floor()),
        some if some < 172_800.0 => format!("{}h", (some / 3_600.0).floor()),
        some => format!("{}d", (some / 86_400.0).floor()),
    }
}
