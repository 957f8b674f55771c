//! Text of others on a terminal: nothing in it moves the cursor, turns the line around, or hides.

use std::fmt::Write as _;

/// Says whether a character may stand as it is.
fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(character,
            '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Escapes what does not stand as it is, as `\n`, `\t` or `\u{202e}`.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            character if is_plain(character) => out.push(character),
            // Writing into a String does not fail.
            character => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
            }
        }
    }
    out
}

/// Escapes the same in JSON text, where it stands within strings alone.
pub(crate) fn plain_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if is_plain(character) {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

/// Keeps the first characters of a text, and shows by an ellipsis that there were more.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Rows under their headings, each column as wide as what it holds; the last one as it comes.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
        cells.chain(headings.get(column).copied()).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let heading = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let lines = std::iter::once(&heading).chain(rows).map(|row: &Vec<String>| line(row, &widths));
    lines.collect::<Vec<_>>().join("\n")
}

/// One row of a table.
pub(crate) fn line(row: &[String], widths: &[usize]) -> String {
    let mut out = String::new();
    for (cell, width) in row.iter().zip(widths) {
        let _ = write!(out, "{cell:<width$}  ");
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_line_around() {
        for (text, expected) in [
            ("plain é 漢 🔑", "plain é 漢 🔑"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
            ("exe.\u{202e}fdp", "exe.\\u{202e}fdp"),
            ("a\u{200b}b\u{2066}c\u{2069}\u{feff}\u{9b}", "a\\u{200b}b\\u{2066}c\\u{2069}\\u{feff}\\u{9b}"),
            ("flag\u{e0067}", "flag\\u{e0067}"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({"name": "exe.\u{202e}fdp\u{9b}\n\u{e0067}"});
        let text = plain_json(&value.to_string());
        assert!(text.is_ascii(), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn columns_are_as_wide_as_what_they_hold() {
        let rows = vec![
            vec!["a".to_owned(), "long é".to_owned(), "x".to_owned()],
            vec!["bcd".to_owned(), String::new(), "y z".to_owned()],
        ];
        assert_eq!(table(&["ONE", "TWO", "LAST"], &rows), "ONE  TWO     LAST\na    long é  x\nbcd          y z");
        assert_eq!(table(&["ONE", "TWO"], &[]), "ONE  TWO");
    }

    #[test]
    fn what_is_too_long_says_so() {
        assert_eq!((shortened("abcd", 4).as_str(), shortened("abcdé", 4).as_str()), ("abcd", "abc…"));
    }
}
