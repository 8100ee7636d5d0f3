//! A command line as a process got it at exec: exact bytes, whole or flagged as cut.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The arguments of a process, with the program's name first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CommandLine {
    /// The arguments, as bytes: they need not be UTF-8, may be empty, and may hold line breaks.
    pub args: Vec<Arg>,
    /// Bytes of the whole command line, when it was longer than what is kept: the last argument is then cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_from: Option<u64>,
}

/// One argument: any bytes but NUL. In JSON a string, or `{"hex": "…"}` when it is not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arg(pub Vec<u8>);

impl CommandLine {
    /// From separate arguments.
    pub fn from_args<A: Into<Vec<u8>>>(args: impl IntoIterator<Item = A>) -> Self {
        Self {
            args: args.into_iter().map(|arg| Arg(arg.into())).collect(),
            cut_from: None,
        }
    }

    /// From the kernel's form, each argument ended by NUL; `whole` is the length that it had there.
    pub fn from_kernel(bytes: &[u8], whole: u64) -> Self {
        let cut = whole > bytes.len() as u64;
        let mut args: Vec<Arg> = bytes
            .split(|byte| *byte == 0)
            .map(|arg| Arg(arg.to_vec()))
            .collect();
        // What follows the last NUL is empty, unless the line was cut inside an argument.
        if args.last().is_some_and(|last| last.0.is_empty()) {
            args.pop();
        }
        Self {
            args,
            cut_from: cut.then_some(whole),
        }
    }

    /// Whether some argument is not UTF-8, so that [`display`](Self::display) does not show it exactly.
    pub fn is_lossy(&self) -> bool {
        self.args
            .iter()
            .any(|arg| std::str::from_utf8(&arg.0).is_err())
    }

    /// The arguments joined by single spaces, exactly as rules match them: nothing is quoted, and what is not
    /// UTF-8 becomes U+FFFD.
    pub fn joined(&self) -> String {
        let mut line = String::new();
        for (index, arg) in self.args.iter().enumerate() {
            if index > 0 {
                line.push(' ');
            }
            line.push_str(&arg.lossy());
        }
        line
    }

    /// On one line for people: arguments that a shell would split or interpret are quoted, control characters
    /// are escaped, and a cut line ends in `…`.
    pub fn display(&self) -> String {
        let mut line = String::new();
        for (index, arg) in self.args.iter().enumerate() {
            if index > 0 {
                line.push(' ');
            }
            push_quoted(&mut line, &arg.lossy());
        }
        if self.cut_from.is_some() {
            line.push('…');
        }
        line
    }

    /// The last part of the program's path, such as `node`.
    pub fn program(&self) -> Cow<'_, str> {
        self.args.first().map_or(Cow::Borrowed(""), Arg::file_name)
    }

    /// What a person would call this process, such as `npm run build` for `node /usr/bin/npm run build`: the
    /// script in place of its interpreter, without folders, cut to what fits a table.
    pub fn short_form(&self) -> String {
        const LONGEST: usize = 40;
        let from = self.script_index().unwrap_or(0);
        let mut words = vec![
            self.args
                .get(from)
                .map_or(Cow::Borrowed(""), Arg::file_name),
        ];
        words.extend(self.args.iter().skip(from + 1).map(Arg::lossy));
        let line: String = words
            .join(" ")
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if line.chars().count() <= LONGEST {
            return line;
        }
        line.chars().take(LONGEST - 1).chain(['…']).collect()
    }

    /// What kind of process this is, to group it with its like: `cc1`, `rustc serde`, `tsc`,
    /// `node jest-worker/processChild.js`, `java app.jar`, `sh`.
    pub fn class(&self) -> String {
        let program = self.program();
        let program = program.trim_start_matches('-');
        if program == "java" {
            return join(program, self.java_main());
        }
        if program == "rustc" || program == "rustdoc" || program == "clippy-driver" {
            return join(program, self.after("--crate-name"));
        }
        if program == "build-script-build" {
            return join(program, self.package_of_build_script());
        }
        if !is_interpreter(program) {
            return program.to_owned();
        }
        // `node /` runs something, too, but nothing with a name.
        let script = self.script().filter(|it| !it.file_name().is_empty());
        match script {
            // A command that is installed, and happens to be a script: `tsc`, `npm`, `meson`.
            Some(script) if !is_shell(program) && !script.file_name().contains('.') => {
                script.file_name().into_owned()
            }
            Some(script) if program.starts_with("node") && is_typescript(&script.file_name()) => {
                "tsc".to_owned()
            }
            Some(script) => join(program, Some(script.telling_name())),
            None if is_shell(program) => program.to_owned(),
            None if program.starts_with("python") => match self.after("-m") {
                Some(module) => format!("{program} -m {module}"),
                None => join(program, self.first_flag()),
            },
            // The code of `node -e CODE` would make a class of its own each time.
            None => join(program, self.first_flag()),
        }
    }

    /// The script that an interpreter runs, if this is one and it does.
    pub fn script(&self) -> Option<&Arg> {
        self.script_index().map(|index| &self.args[index])
    }

    /// The argument that follows `flag`.
    pub fn after(&self, flag: &str) -> Option<Cow<'_, str>> {
        let mut args = self.args.iter();
        args.find(|arg| arg.0 == flag.as_bytes())?;
        args.next().map(Arg::lossy)
    }

    fn first_flag(&self) -> Option<Cow<'_, str>> {
        let first = self.args.get(1)?.lossy();
        first.starts_with('-').then_some(first)
    }

    /// The archive or the class that java runs, without its folders or packages.
    fn java_main(&self) -> Option<Cow<'_, str>> {
        let mut args = self.args.iter().skip(1);
        while let Some(arg) = args.next() {
            match arg.lossy().as_ref() {
                "-jar" | "-m" | "--module" => return args.next().map(Arg::file_name),
                "-cp" | "-classpath" | "--class-path" | "-p" | "--module-path"
                | "--add-modules" | "--add-opens" | "--add-exports" => {
                    args.next();
                }
                option if option.starts_with(['-', '@']) => {}
                class => {
                    let name = class.rsplit('.').next().unwrap_or_default();
                    return Some(Cow::Owned(name.to_owned()));
                }
            }
        }
        None
    }

    /// `quote` of `…/build/quote-fe08e403a764fd27/build-script-build`: cargo names the folder after the package.
    fn package_of_build_script(&self) -> Option<Cow<'_, str>> {
        let path = self.args.first()?.lossy();
        let folder = path.rsplit('/').nth(1)?;
        let (package, _hash) = folder.rsplit_once('-')?;
        Some(Cow::Owned(package.to_owned()))
    }

    /// Where an interpreter's script stands among the arguments, if there is one.
    fn script_index(&self) -> Option<usize> {
        let program = self.program();
        if !is_interpreter(&program) {
            return None;
        }
        let is_node = program.starts_with("node");
        let mut args = self.args.iter().enumerate().skip(1);
        while let Some((index, arg)) = args.next() {
            match arg.0.as_slice() {
                // With a value of their own.
                b"--conditions" | b"--require" | b"--import" | b"--loader" | b"-r" | b"-C"
                    if is_node =>
                {
                    args.next();
                }
                [b'-', b'-', ..] => {}
                // Code or a module on the command line: there is no script.
                [b'-', flags @ ..] if flags.iter().any(|flag| b"cepm".contains(flag)) => {
                    return None;
                }
                [b'-', ..] => {}
                _ => return Some(index),
            }
        }
        None
    }
}

fn join(program: &str, what: Option<Cow<'_, str>>) -> String {
    match what {
        Some(what) => format!("{program} {what}"),
        None => program.to_owned(),
    }
}

/// Whether a program of this name is a shell; a login shell's name begins with `-`.
pub fn is_shell(program: &str) -> bool {
    const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "fish"];
    SHELLS.contains(&program.trim_start_matches('-'))
}

/// The compiler where it is not run by its command's name.
fn is_typescript(script: &str) -> bool {
    matches!(script, "tsc.js" | "_tsc.js")
}

/// Programs that run a script named by their first argument.
fn is_interpreter(program: &str) -> bool {
    const OTHERS: [&str; 8] = [
        "node", "nodejs", "deno", "bun", "perl", "ruby", "env", "php",
    ];
    let program = program.trim_start_matches('-');
    is_shell(program) || OTHERS.contains(&program) || program.starts_with("python")
}

impl Arg {
    /// The last part of a path.
    pub fn file_name(&self) -> Cow<'_, str> {
        let name = self
            .0
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or_default();
        String::from_utf8_lossy(name)
    }

    /// The last part of a path, with the folder before it where many scripts have this name.
    fn telling_name(&self) -> Cow<'_, str> {
        const OF_MANY: [&str; 9] = [
            "index",
            "main",
            "cli",
            "bin",
            "run",
            "start",
            "worker",
            "child",
            "processChild",
        ];
        let name = self.file_name();
        let stem = name.split('.').next().unwrap_or_default();
        let mut folders = self.0.rsplit(|byte| *byte == b'/').skip(1);
        match folders.next() {
            Some(folder) if OF_MANY.contains(&stem) && !matches!(folder, b"" | b"." | b"..") => {
                Cow::Owned(format!("{}/{name}", String::from_utf8_lossy(folder)))
            }
            _ => name,
        }
    }

    /// As text; what is not UTF-8 becomes U+FFFD.
    pub fn lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

/// Appends `arg` so that a person can tell where it begins and ends.
fn push_quoted(line: &mut String, arg: &str) {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,^~[]{}()#".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        line.push_str(arg);
        return;
    }
    line.push('\'');
    for c in arg.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\t' => line.push_str("\\t"),
            '\r' => line.push_str("\\r"),
            // As a shell is told of one: the quotation ends, one follows, it begins again.
            '\'' => line.push_str(r"'\''"),
            c if c.is_control() => {
                // Cannot fail: the target is a String.
                let _ = write!(line, "\\u{{{:x}}}", c as u32);
            }
            c => line.push(c),
        }
    }
    line.push('\'');
}

impl Serialize for Arg {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Hex {
                hex: encode_hex(&self.0),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Arg {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ArgVisitor)
    }
}

/// Takes either form as it comes: recordings consist of arguments to a good part.
struct ArgVisitor;

impl<'de> Visitor<'de> for ArgVisitor {
    type Value = Arg;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an argument: a string, or its `hex`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Arg, E> {
        Ok(Arg(text.as_bytes().to_vec()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Arg, E> {
        Ok(Arg(text.into_bytes()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Arg, A::Error> {
        let Hex { hex } = Hex::deserialize(MapAccessDeserializer::new(map))?;
        decode_hex(&hex)
            .map(Arg)
            .ok_or_else(|| A::Error::custom("an argument's `hex` is not hexadecimal"))
    }
}

/// The form of an argument that JSON has no string for.
#[derive(Serialize, Deserialize)]
struct Hex {
    hex: String,
}

fn encode_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Cannot fail: the target is a String.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn empty_arguments_and_line_breaks_survive() {
        let line = CommandLine::from_kernel(b"sh\0-c\0\0a\nb\0\0", 12);
        assert_eq!(line, CommandLine::from_args(["sh", "-c", "", "a\nb", ""]));
        assert_eq!(line.display(), r"sh -c '' 'a\nb' ''");
        assert_eq!(CommandLine::from_args(["it's"]).display(), r"'it'\''s'");
    }

    #[test]
    fn a_cut_line_keeps_what_came_and_says_so() {
        let line = CommandLine::from_kernel(b"cc\0-DLONG", 5000);
        assert_eq!(line.args.len(), 2);
        assert_eq!(line.cut_from, Some(5000));
        assert_eq!(line.display(), "cc -DLONG…");
    }

    #[test]
    fn a_process_is_called_by_its_script_and_grouped_by_what_it_runs() {
        let check = |args: &[&str], short: &str, class: &str| {
            let line = CommandLine::from_args(args.iter().copied());
            assert_eq!(
                (line.short_form().as_str(), line.class().as_str()),
                (short, class)
            );
        };
        check(
            &["/usr/lib/gcc/cc1", "-quiet", "a.c"],
            "cc1 -quiet a.c",
            "cc1",
        );
        check(
            &["node", "/usr/bin/npm", "run", "build"],
            "npm run build",
            "npm",
        );
        check(
            &["node", "--max-old-space-size=64", "x/child.js"],
            "child.js",
            "node x/child.js",
        );
        check(&["sh", "-c", "a && b"], "sh -c a && b", "sh");
        check(
            &["python3.11", "setup.py", "build"],
            "setup.py build",
            "python3.11 setup.py",
        );
        check(
            &["rustc", "--crate-name", "serde", "x.rs"],
            "rustc --crate-name serde x.rs",
            "rustc serde",
        );
        check(&["make"], "make", "make");
        check(&["node", "/p/node_modules/.bin/tsc", "-b"], "tsc -b", "tsc");
        check(&[], "", "");
    }

    #[test]
    fn a_class_is_what_a_person_would_call_it() {
        let check = |line: &str, class: &str| {
            let args = line.split(' ').filter(|arg| !arg.is_empty());
            assert_eq!(CommandLine::from_args(args).class(), class, "{line}");
        };
        check(
            "/usr/lib/gcc/x86_64-linux-gnu/14/cc1plus -quiet a.cc",
            "cc1plus",
        );
        check("x86_64-linux-gnu-gcc-14 -c a.c", "x86_64-linux-gnu-gcc-14");
        check(
            "/t/bin/rustc --crate-name syn --edition=2021 a.rs",
            "rustc syn",
        );
        check("/t/bin/rustc -vV", "rustc");
        check("rustc --crate-name", "rustc");
        check("rustdoc --crate-name syn", "rustdoc syn");
        check(
            "/p/target/debug/build/proc-macro2-01fa/build-script-build",
            "build-script-build proc-macro2",
        );
        check("build-script-build", "build-script-build");
        check("node /p/node_modules/typescript/lib/_tsc.js -p .", "tsc");
        check(
            "node /p/dist/compiled/jest-worker/processChild.js",
            "node jest-worker/processChild.js",
        );
        check("node ./index.js", "node index.js");
        check("node index.js", "node index.js");
        check("node /index.js", "node index.js");
        check(
            "node --conditions development /p/nx/bin/run-executor.js",
            "node run-executor.js",
        );
        check("node -e 1+1", "node -e");
        check("node", "node");
        check("-bash -lc x", "bash");
        check("bash -c x", "bash");
        check("/bin/sh ./configure --prefix=/usr", "sh configure");
        check("python3 /usr/bin/meson compile", "meson");
        check("python3 -m pip install x", "python3 -m pip");
        check("perl x.pl", "perl x.pl");
        check("/usr/bin/java -Xmx1g -jar /opt/app.jar run", "java app.jar");
        check(
            "java -cp a:b @args -Dx=y org.gradle.launcher.daemon.bootstrap.GradleDaemon 8",
            "java GradleDaemon",
        );
        check("java -cp", "java");
        check("java", "java");
    }

    proptest! {
        #[test]
        fn any_arguments_survive_the_kernels_form_and_json(
            args in prop::collection::vec(prop::collection::vec(1_u8..=255, 0..6), 1..5)
        ) {
            let mut kernel = Vec::new();
            for arg in &args {
                kernel.extend_from_slice(arg);
                kernel.push(0);
            }
            let line = CommandLine::from_kernel(&kernel, kernel.len() as u64);
            prop_assert_eq!(&line, &CommandLine::from_args(args));
            let json = serde_json::to_string(&line).unwrap();
            prop_assert_eq!(serde_json::from_str::<CommandLine>(&json).unwrap(), line);
        }

        #[test]
        fn any_arguments_have_a_class(
            program in "(node|java|rustc|build-script-build|sh|-bash|python3|a/)",
            args in prop::collection::vec("(-m|-jar|-cp|-c|--crate-name|/|.|/x/index.js|é|)", 0..4),
        ) {
            let class = CommandLine::from_args(std::iter::once(program.clone()).chain(args)).class();
            prop_assert!(program == "a/" || !class.is_empty());
        }
    }
}
