//! Makes text from guests, sinks and clients safe to show: the one place where it is truncated and cleaned.
//!
//! In: any text. Out: one line in which nothing controls a terminal or reorders the surrounding text. Control
//! characters (and with them escape sequences), line and paragraph separators, and the controls of bidirectional text
//! (Unicode UAX #9) are shown as escapes such as `\u{1b}`. Never: fails.

/// The most characters of a receiver's reason for an outcome. It may contain a sink's response.
pub const MAX_REASON_CHARS: usize = 300;
/// The most characters of any other message of a guest: errors in its settings, its message when it fails.
pub const MAX_SENTENCE_CHARS: usize = 1_000;

/// Why a batch, or a push, was not accepted: one line of at most [`MAX_REASON_CHARS`] characters.
pub fn reason(text: &str) -> String {
    one_line(text, MAX_REASON_CHARS)
}

/// Any other message: one line of at most [`MAX_SENTENCE_CHARS`] characters.
pub fn sentence(text: &str) -> String {
    one_line(text, MAX_SENTENCE_CHARS)
}

/// White space, line breaks included, becomes one space; an ellipsis replaces what is truncated.
fn one_line(text: &str, most: usize) -> String {
    let (mut line, mut length, mut gap) = (String::new(), 0, false);
    for char in text.chars() {
        if char.is_whitespace() {
            gap = length > 0;
            continue;
        }
        let width = if needs_escape(char) { char.escape_default().count() } else { 1 };
        if length + usize::from(gap) + width > most {
            line.push('…');
            break;
        }
        length += usize::from(gap) + width;
        line.extend(gap.then_some(' '));
        push(&mut line, char);
        gap = false;
    }
    line
}

/// The whole text in one line: line breaks and tabs are shown as `\n` and `\t`.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, char| {
        push(&mut line, char);
        line
    })
}

/// As [`escape`], of a limited number of characters of the text; an ellipsis replaces what is truncated.
pub fn truncate(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => escape(text.get(..end).unwrap_or(text)) + "…",
        None => escape(text),
    }
}

/// A line of a guest's log: tabs are kept because they are part of its layout.
pub fn log_line(text: String) -> String {
    if !text.contains(|char| needs_escape(char) && char != '\t') {
        return text;
    }
    text.chars().fold(String::with_capacity(text.len() + 16), |mut line, char| {
        if char == '\t' {
            line.push(char);
        } else {
            push(&mut line, char);
        }
        line
    })
}

fn push(line: &mut String, char: char) {
    if needs_escape(char) {
        line.extend(char.escape_default());
    } else {
        line.push(char);
    }
}

/// Whether a character controls the output instead of being shown.
fn needs_escape(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_without_control_characters() {
        assert_eq!(reason("  {\n\t\"error\": \"unit\u{2028}missing\"\r\n}\n"), "{ \"error\": \"unit missing\" }");
        assert_eq!(reason("a\u{1b}[2J\u{7}\u{9b}31m"), r"a\u{1b}[2J\u{7}\u{9b}31m");
        let reordered = "safe\u{202e}lmth.exe\u{2066}\u{200f}\u{61c}";
        assert_eq!(reason(reordered), r"safe\u{202e}lmth.exe\u{2066}\u{200f}\u{61c}");
        assert_eq!(reason("Grüße, 世界 🦀"), "Grüße, 世界 🦀");
        assert_eq!((reason(""), reason(" \n")), (String::new(), String::new()));
    }

    #[test]
    fn reason_characters_obeyed() {
        let text = "é".repeat(MAX_REASON_CHARS);
        assert_eq!(reason(&text), text);
        let text = format!("{} {}", "a".repeat(MAX_REASON_CHARS - 2), "b");
        assert_eq!(reason(&text), text);
    }

    #[test]
    fn reason_characters_violated() {
        assert_eq!(reason(&"é".repeat(MAX_REASON_CHARS + 1)), "é".repeat(MAX_REASON_CHARS) + "…");
        let escapes = reason(&"\u{1b}".repeat(MAX_REASON_CHARS));
        assert!(
            escapes.chars().count() <= MAX_REASON_CHARS + 1 && escapes.ends_with("}…"),
            "no escape is split: {escapes}"
        );
        let huge = reason(&"x".repeat(1 << 20));
        assert!(
            huge.capacity() < 4 * MAX_REASON_CHARS,
            "no memory is reserved for the truncated part: {}",
            huge.capacity()
        );
        assert_eq!(sentence(&"x".repeat(MAX_SENTENCE_CHARS + 1)).chars().count(), MAX_SENTENCE_CHARS + 1);
    }

    #[test]
    fn a_whole_text_keeps_its_layout_visible() {
        assert_eq!(escape("a\n\tb\u{202e}"), r"a\n\tb\u{202e}");
        assert_eq!(log_line("a\n\tb\u{1b}".into()), "a\\n\tb\\u{1b}");
        assert_eq!(truncate("grün\n", 4), "grün…");
        assert_eq!(truncate("grün\n", 5), r"grün\n");
    }
}
