//! Programs that run on Node.js, with the published packages that their lock files name.
//!
//! Included by `#[path = "support/npm.rs"] mod npm;`. Needs `node` and `npm`. Where they are missing a test is skipped, and says so; in CI
//! that is a failure.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

/// Copies `tests/<folder>` into the target folder and installs its packages there, once for each lock file. `None` if this is to be skipped.
pub(crate) fn install(folder: &str, programs: &[&str]) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(format!("npm-{folder}"));
    fs::create_dir_all(&target).expect("the target folder can be written");
    for file in ["package.json", "package-lock.json"].iter().chain(programs) {
        fs::copy(source.join(file), target.join(file)).expect("the target folder can be written");
    }
    let lock = fs::read(source.join("package-lock.json")).expect("it was copied");
    let installed = target.join("installed");
    let is_installed = fs::read(&installed).is_ok_and(|stands| stands == lock);
    if !is_installed {
        let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        let output = match run(Command::new("npm").args(npm), &target) {
            Err(e) if env::var_os("CI").is_none() => {
                // Past the capture of the test runner: whoever asked for it is to see it.
                writeln!(io::stderr(), "\nSKIPPED: tests/{folder} was not tried: npm: {e}\n").ok();
                return None;
            }
            other => other.unwrap_or_else(|e| {
                panic!("npm is needed for tests/{folder}: install Node.js with npm (Debian: `apt-get install nodejs npm`): {e}")
            }),
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "npm ci failed:\n{said}");
        fs::write(&installed, lock).expect("the target folder can be written");
    }
    Some(target)
}

fn run(command: &mut Command, folder: &Path) -> io::Result<Output> {
    command.current_dir(folder).output()
}
