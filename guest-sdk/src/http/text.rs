//! Untrusted text, sanitized for a log line and a terminal.

/// The first `max_chars` characters of `text` as one line. Each run of white space becomes one space. Characters that
/// could move the cursor of a terminal, change its colours or reverse the direction of text are removed. The result
/// ends with `…` if it was truncated.
pub(super) fn one_line(text: &str, max_chars: usize) -> String {
    let mut line = String::new();
    let mut len = 0;
    let mut space = false;
    for c in text.chars() {
        if c.is_whitespace() {
            space = len > 0;
            continue;
        }
        if is_invisible(c) {
            continue;
        }
        let wanted = 1 + usize::from(space);
        if len + wanted > max_chars {
            line.push('…');
            break;
        }
        if std::mem::take(&mut space) {
            line.push(' ');
        }
        line.push(c);
        len += wanted;
    }
    line
}

/// Control characters (C0, DEL, C1) and format characters (zero width, direction, tags).
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn white_space_is_one_space_and_none_at_the_ends() {
        assert_eq!(one_line("  too \r\n\t many\u{2028}points \n", 300), "too many points");
        assert_eq!(one_line(" \n ", 300), "");
    }

    #[test]
    fn terminal_control_characters_are_removed() {
        assert_eq!(one_line("\u{1b}[31mred\u{7}\u{9b}2J \u{202e}txt\u{200b}\u{feff}.", 300), "[31mred2J txt.");
    }

    #[test]
    fn length_obeyed() {
        assert_eq!(one_line("üü üü", 5), "üü üü");
        assert_eq!(one_line(&"ü".repeat(300), 300), "ü".repeat(300));
    }

    #[test]
    fn length_violated() {
        assert_eq!(one_line(&"ü".repeat(301), 300), "ü".repeat(300) + "…");
        assert_eq!(one_line("ab cd", 3), "ab…", "no space at the end");
        assert_eq!(one_line("ab cd", 2), "ab…");
    }
}
