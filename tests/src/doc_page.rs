//! Pages of the documentation that tell a reader what to type, run as a reader would: from an empty folder, in order.
//!
//! Of the fenced blocks of a page, those marked `sh` are typed into one shell, and a block whose first line is a comment
//! that names a file (`# app.py`, `// world.wit`) becomes that file. Every other block shows what is printed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests stand in the repository").to_owned()
}

/// A page to be run.
pub struct DocPage {
    steps: Vec<PageStep>,
    /// Text of the page, and what stands in its place when it is run: addresses that may be taken on this machine.
    replaced: Vec<(String, String)>,
    /// Text that is added to a file of the page.
    appended: Vec<(String, String)>,
}

/// What a reader does with one block.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PageStep {
    /// Types it into a shell.
    Type(String),
    /// Writes it to the file of this name.
    Write(String, String),
}

impl DocPage {
    /// Reads `docs/<name>` or another page of the repository.
    pub fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let steps = steps(&text);
        assert!(!steps.is_empty(), "{name} has no block that a reader could type or write");
        Self { steps, replaced: Vec::new(), appended: Vec::new() }
    }

    /// Has every `from` of the page read `to`; the page must say `from`.
    pub fn with(mut self, from: &str, to: &str) -> Self {
        let says = |step: &PageStep| match step {
            PageStep::Type(text) | PageStep::Write(_, text) => text.contains(from),
        };
        assert!(self.steps.iter().any(says), "the page never says {from}");
        self.replaced.push((from.to_owned(), to.to_owned()));
        self
    }

    /// Adds lines to the end of a file that the page has its reader write.
    pub fn append(mut self, file: &str, text: &str) -> Self {
        let writes = |step: &PageStep| matches!(step, PageStep::Write(name, _) if name == file);
        assert!(self.steps.iter().any(writes), "the page writes no file {file}");
        self.appended.push((file.to_owned(), text.to_owned()));
        self
    }

    /// Does all of it in `folder`, which must be empty, with the command that cargo built as `barnabas`, and gives what
    /// was printed. Panics where a command fails, with all that was printed until then.
    pub fn run(&self, folder: &Path) -> String {
        let command = crate::command::path();
        let programs = command.parent().unwrap().display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("bash");
        shell.current_dir(folder).args(["-c", &self.script()]).stdin(Stdio::null());
        shell.env("PATH", format!("{programs}:{path}")).env("BARNABAS", repository());
        // One stream, so that what fails stands behind what was typed.
        let output = shell.output().unwrap_or_else(|error| panic!("bash does not run: {error}"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {said}", output.status);
        said
    }

    /// A shell ends at the first command that fails, prints each before it runs it, and ends what it left running.
    fn script(&self) -> String {
        let mut script =
            String::from("exec 2>&1\nset -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n");
        for step in &self.steps {
            match step {
                PageStep::Type(text) => {
                    script.push_str(&format!("set -x\n{}{{ set +x; }} 2>/dev/null\n", self.replace(text)))
                }
                PageStep::Write(file, text) => {
                    let added = self.appended.iter().filter(|(name, _)| name == file).map(|(_, text)| text.as_str());
                    let text: String = std::iter::once(self.replace(text).as_str()).chain(added).collect();
                    script.push_str(&format!(
                        "mkdir -p \"$(dirname '{file}')\"\ncat > '{file}' <<'END OF FILE'\n{text}END OF FILE\n"
                    ));
                }
            }
        }
        script
    }

    fn replace(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

/// The file of this name as a page of the repository has it.
pub fn file(page: &str, name: &str) -> String {
    let written = DocPage::read(page).steps.into_iter().find_map(|step| match step {
        PageStep::Write(file, text) if file == name => Some(text),
        _ => None,
    });
    written.unwrap_or_else(|| panic!("{page} shows no file {name}"))
}

/// What the blocks of a page have its reader do.
fn steps(page: &str) -> Vec<PageStep> {
    let mut steps = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: String = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
        if language == "sh" {
            steps.push(PageStep::Type(block));
        } else if let Some(file) = file_of(&block) {
            steps.push(PageStep::Write(file, block));
        }
    }
    steps
}

/// The file that the first line of a block names.
fn file_of(block: &str) -> Option<String> {
    let first = block.lines().next()?;
    let name = first.strip_prefix("# ").or_else(|| first.strip_prefix("// "))?;
    let is_path = name.contains('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    is_path.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# A page

```sh
echo one
```

`app.py`:

```python
# app.py
print(1)
```

```text
$ echo one
one
```

```js
// no file, only a remark
```
";

    #[test]
    fn blocks_are_typed_or_written_or_left_alone() {
        let written = PageStep::Write("app.py".into(), "# app.py\nprint(1)\n".into());
        assert_eq!(steps(PAGE), [PageStep::Type("echo one\n".into()), written]);
    }

    fn recipe(page: &str) -> DocPage {
        DocPage { steps: steps(page), replaced: Vec::new(), appended: Vec::new() }
    }

    #[test]
    fn text_is_replaced_and_files_are_longer_where_a_test_says_so() {
        let recipe = recipe(PAGE).with("one", "two").append("app.py", "print(2)\n");
        let script = recipe.script();
        assert!(script.contains("echo two\n") && script.contains("print(1)\nprint(2)\nEND OF FILE"), "{script}");
    }

    #[test]
    #[should_panic(expected = "the page never says three")]
    fn what_a_page_does_not_say_cannot_be_replaced() {
        drop(recipe(PAGE).with("three", "two"));
    }
}
