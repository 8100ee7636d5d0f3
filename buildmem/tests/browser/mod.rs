//! A browser for tests: chromium by way of chromedriver, which is told what to do by JSON over HTTP (WebDriver).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

/// How long the browser may take for one thing, on a machine that does others.
const PATIENCE: Duration = Duration::from_mins(2);

/// The name of an element in WebDriver's JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A running browser; it ends with this.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// Open as long as the driver may write to it.
    _output: BufReader<ChildStdout>,
    profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one, with a profile of its own; `scripts` says whether pages may run theirs.
    pub fn start(scripts: bool) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("chromedriver, which `cargo xtask test` installs: {error}")
            });
        let mut output = BufReader::new(driver.stdout.take().unwrap());
        let port = output
            .by_ref()
            .lines()
            .find_map(|line| {
                let line = line.unwrap();
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .unwrap();
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
            _output: output,
            profile,
        };
        let profile = format!("--user-data-dir={}", browser.profile.path().display());
        let javascript = if scripts { 1 } else { 2 };
        let capabilities = json!({
            "capabilities": { "alwaysMatch": {
                "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
                "goog:chromeOptions": {
                    "args": [
                        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                        "--disable-background-networking", "--disable-component-update", "--disable-sync",
                        "--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1280,1000", profile,
                    ],
                    "prefs": { "profile.managed_default_content_settings.javascript": javascript },
                },
            } }
        });
        let session = browser.ask("POST", "/session", &capabilities);
        let id = session["sessionId"].as_str().unwrap();
        id.clone_into(&mut browser.session);
        browser
    }

    /// Opens a file.
    pub fn open(&mut self, page: &Path) {
        self.tell(
            "url",
            &json!({ "url": format!("file://{}", page.display()) }),
        );
    }

    /// What a script returns.
    pub fn run(&mut self, script: &str) -> Value {
        self.run_with(script, &[])
    }

    /// The same of a script with arguments.
    pub fn run_with(&mut self, script: &str, arguments: &[Value]) -> Value {
        self.tell(
            "execute/sync",
            &json!({ "script": script, "args": arguments }),
        )
    }

    /// Clicks where a person would.
    pub fn click(&mut self, selector: &str) {
        let element = self.find(selector);
        let origin = json!({ ELEMENT: element });
        self.point(&[
            json!({ "type": "pointerMove", "duration": 0, "origin": origin, "x": 0, "y": 0 }),
            json!({ "type": "pointerDown", "button": 0 }),
            json!({ "type": "pointerUp", "button": 0 }),
        ]);
    }

    /// Drags from one part of an element's width to another.
    pub fn drag(&mut self, selector: &str, from: f64, to: f64) {
        let place = "const box = document.querySelector(arguments[0]); box.scrollIntoView({block: 'center', behavior: 'instant'}); \
                     const {left, top, width, height} = box.getBoundingClientRect(); \
                     return [Math.round(left + width * arguments[1]), Math.round(left + width * arguments[2]), Math.round(top + height / 2)]";
        let place = self.run_with(place, &[selector.into(), from.into(), to.into()]);
        let move_to =
            |x: &Value| json!({ "type": "pointerMove", "duration": 50, "x": x, "y": place[2] });
        self.point(&[
            move_to(&place[0]),
            json!({ "type": "pointerDown", "button": 0 }),
            move_to(&place[1]),
            json!({ "type": "pointerUp", "button": 0 }),
        ]);
    }

    /// Gives an element the keyboard.
    pub fn focus(&mut self, selector: &str) {
        self.run_with(
            "document.querySelector(arguments[0]).focus()",
            &[selector.into()],
        );
    }

    /// Presses keys; those of Unicode's private area are WebDriver's for Shift, arrows and so on. The first is held
    /// while the others are pressed where it is Shift.
    pub fn press(&mut self, keys: &[&str]) {
        let down = |key: &str| json!({ "type": "keyDown", "value": key });
        let up = |key: &str| json!({ "type": "keyUp", "value": key });
        let actions: Vec<Value> = match keys {
            ["\u{e008}", rest @ ..] => {
                let pressed = rest.iter().flat_map(|key| [down(key), up(key)]);
                [down("\u{e008}")]
                    .into_iter()
                    .chain(pressed)
                    .chain([up("\u{e008}")])
                    .collect()
            }
            keys => keys.iter().flat_map(|key| [down(key), up(key)]).collect(),
        };
        let source = json!({ "type": "key", "id": "keys", "actions": actions });
        self.tell("actions", &json!({ "actions": [source] }));
    }

    /// Keeps a picture of what is seen, for people to look at.
    pub fn screenshot(&mut self, name: &str) {
        let picture = self.ask(
            "GET",
            &format!("/session/{}/screenshot", self.session),
            &Value::Null,
        );
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(picture.as_str().unwrap())
            .unwrap();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
        std::fs::write(&path, bytes).unwrap();
        println!("{}", path.display());
    }

    /// What the page and the browser have complained of.
    pub fn console(&mut self) -> Vec<String> {
        let entries = self.tell("se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().unwrap().iter();
        entries
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// All that a page in a file has asked for, itself included. What the browser shows before is not ours.
    pub fn requests(&mut self) -> Vec<String> {
        let entries = self.tell("se/log", &json!({ "type": "performance" }));
        let messages = entries.as_array().unwrap().iter().map(|entry| {
            serde_json::from_str::<Value>(entry["message"].as_str().unwrap()).unwrap()["message"].take()
        });
        messages
            .filter(|message| message["method"] == "Network.requestWillBeSent")
            .filter(|message| {
                message["params"]["documentURL"]
                    .as_str()
                    .is_some_and(|of| of.starts_with("file:"))
            })
            .map(|message| {
                message["params"]["request"]["url"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    }

    fn find(&mut self, selector: &str) -> String {
        let show = "document.querySelector(arguments[0]).scrollIntoView({block: 'center', behavior: 'instant'})";
        self.run_with(show, &[selector.into()]);
        let found = self.tell(
            "element",
            &json!({ "using": "css selector", "value": selector }),
        );
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    fn point(&mut self, actions: &[Value]) {
        let source = json!({ "type": "pointer", "id": "mouse", "actions": actions });
        self.tell("actions", &json!({ "actions": [source] }));
    }

    fn tell(&mut self, what: &str, parameters: &Value) -> Value {
        let path = format!("/session/{}/{what}", self.session);
        self.ask("POST", &path, parameters)
    }

    fn ask(&mut self, method: &str, path: &str, parameters: &Value) -> Value {
        let body = if parameters.is_null() {
            String::new()
        } else {
            parameters.to_string()
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        assert!(
            answer["value"]["error"].is_null(),
            "{method} {path}: {}",
            answer["value"]
        );
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // While a test fails, a browser that has ended as well is no other failure.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = write!(
                stream,
                "DELETE /session/{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                self.session
            );
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = stream.read(&mut [0; 512]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
