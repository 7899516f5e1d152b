//! Documentation pages with instructions, run like a reader would run them: in an empty folder, in order.
//!
//! Of the fenced blocks of a page, those marked `sh` are run in one shell, and a block whose first line is a comment
//! with a file name (`# app.py`, `// world.wit`) is written to that file. All other blocks show output.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root folder of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are in the repository").to_owned()
}

/// A page to run.
pub struct DocPage {
    steps: Vec<PageStep>,
    /// Texts of the page and their replacements for the run: addresses that may be in use on this machine.
    replaced: Vec<(String, String)>,
    /// Text to append to a file of the page.
    appended: Vec<(String, String)>,
}

/// What a reader does with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PageStep {
    /// Runs it in a shell.
    Type(String),
    /// Writes it to this file.
    Write(String, String),
}

impl DocPage {
    /// Reads `docs/<name>` or another page of the repository.
    pub fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let steps = steps(&text);
        assert!(!steps.is_empty(), "{name} has no block to run or to write");
        Self { steps, replaced: Vec::new(), appended: Vec::new() }
    }

    /// Replaces each `from` with `to`; panics if the page does not contain `from`.
    pub fn with(mut self, from: &str, to: &str) -> Self {
        let says = |step: &PageStep| match step {
            PageStep::Type(text) | PageStep::Write(_, text) => text.contains(from),
        };
        assert!(self.steps.iter().any(says), "the page does not contain {from}");
        self.replaced.push((from.to_owned(), to.to_owned()));
        self
    }

    /// Appends lines to a file that the page creates.
    pub fn append(mut self, file: &str, text: &str) -> Self {
        let writes = |step: &PageStep| matches!(step, PageStep::Write(name, _) if name == file);
        assert!(self.steps.iter().any(writes), "the page creates no file {file}");
        self.appended.push((file.to_owned(), text.to_owned()));
        self
    }

    /// Runs all steps in `folder`, which must be empty, with the command that cargo built as `barnabas`, and returns
    /// the output. Panics with the output so far if a command fails.
    pub fn run(&self, folder: &Path) -> String {
        let command = crate::command::path();
        let programs = command.parent().unwrap().display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("bash");
        shell.current_dir(folder).args(["-c", &self.script()]).stdin(Stdio::null());
        shell.env("PATH", format!("{programs}:{path}")).env("BARNABAS", repository());
        // One stream, so that an error follows the command that caused it.
        let output = shell.output().unwrap_or_else(|error| panic!("cannot run bash: {error}"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {said}", output.status);
        said
    }

    /// A script that exits at the first command that fails, echoes each command before it runs, and stops background
    /// jobs on exit.
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

/// The content of this file according to a page of the repository.
pub fn file(page: &str, name: &str) -> String {
    let written = DocPage::read(page).steps.into_iter().find_map(|step| match step {
        PageStep::Write(file, text) if file == name => Some(text),
        _ => None,
    });
    written.unwrap_or_else(|| panic!("{page} contains no file {name}"))
}

/// The steps of a page.
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

/// The file name in the first line of a block.
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
// only a comment, no file name
```
";

    #[test]
    fn blocks_are_run_written_or_ignored() {
        let written = PageStep::Write("app.py".into(), "# app.py\nprint(1)\n".into());
        assert_eq!(steps(PAGE), [PageStep::Type("echo one\n".into()), written]);
    }

    fn recipe(page: &str) -> DocPage {
        DocPage { steps: steps(page), replaced: Vec::new(), appended: Vec::new() }
    }

    #[test]
    fn text_is_replaced_and_files_are_extended() {
        let recipe = recipe(PAGE).with("one", "two").append("app.py", "print(2)\n");
        let script = recipe.script();
        assert!(script.contains("echo two\n") && script.contains("print(1)\nprint(2)\nEND OF FILE"), "{script}");
    }

    #[test]
    #[should_panic(expected = "the page does not contain three")]
    fn replacing_absent_text_panics() {
        drop(recipe(PAGE).with("three", "two"));
    }
}
