//! `~/.micro/`: a folder for its owner alone, and `config.json` in it.
//!
//! The file is written atomically and read without following symbolic links, so that nobody else can make the CLI
//! send a credential elsewhere or overwrite another file. Keys that this version does not know are kept.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;
use serde_json::{Map, Value};

use crate::login::Login;

/// Overrides the folder.
const HOME_VARIABLE: &str = "MICRO_HOME";
const FILE_NAME: &str = "config.json";
/// Held by whoever changes the configuration; its content means nothing.
const LOCK_NAME: &str = "lock";
/// Far above what names and tokens need.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What `config.json` says.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Config(Map<String, Value>);

/// Without values: some are secret.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Config {
    /// The name of the chosen environment.
    pub(crate) fn env(&self) -> Option<&str> {
        self.0.get("env").and_then(Value::as_str)
    }

    pub(crate) fn set_env(&mut self, name: &str) {
        self.0.insert("env".to_owned(), name.into());
    }

    /// Addresses by environment, of those that were added or changed.
    pub(crate) fn envs(&self) -> BTreeMap<String, String> {
        let envs = self.0.get("envs").and_then(Value::as_object);
        let address = |(name, address): (&String, &Value)| Some((name.clone(), address.as_str()?.to_owned()));
        envs.into_iter().flatten().filter_map(address).collect()
    }

    pub(crate) fn set_envs(&mut self, envs: BTreeMap<String, String>) {
        let envs: Map<_, _> = envs.into_iter().map(|(name, address)| (name, address.into())).collect();
        self.0.insert("envs".to_owned(), envs.into());
    }

    /// The login of an environment. One that is damaged counts as none, so that another login mends it.
    pub(crate) fn login(&self, env: &str) -> Option<Login> {
        serde_json::from_value(self.0.get(LOGINS)?.get(env)?.clone()).ok()
    }

    pub(crate) fn set_login(&mut self, env: &str, login: &Login) -> Result<()> {
        let login = serde_json::to_value(login)?;
        self.change_group(LOGINS, |logins| logins.insert(env.to_owned(), login));
        Ok(())
    }

    /// Whether there was one.
    pub(crate) fn forget_login(&mut self, env: &str) -> bool {
        self.0
            .get_mut(LOGINS)
            .and_then(Value::as_object_mut)
            .is_some_and(|logins| logins.remove(env).is_some())
    }

    /// A setting of `micro user config`, such as `git.credentials.github`.
    pub(crate) fn setting(&self, key: &str) -> Option<&str> {
        self.0.get(SETTINGS)?.get(key)?.as_str()
    }

    /// All settings by name.
    pub(crate) fn settings(&self) -> BTreeMap<String, String> {
        let settings = self.0.get(SETTINGS).and_then(Value::as_object);
        let pair = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        settings.into_iter().flatten().filter_map(pair).collect()
    }

    /// An empty value removes the setting.
    pub(crate) fn set_setting(&mut self, key: &str, value: &str) {
        self.change_group(SETTINGS, |settings| match value.is_empty() {
            true => settings.remove(key),
            false => settings.insert(key.to_owned(), value.into()),
        });
    }

    /// Changes the object at `name`; one of another shape is replaced.
    fn change_group<T>(&mut self, name: &str, change: impl FnOnce(&mut Map<String, Value>) -> T) -> T {
        let mut group = match self.0.get_mut(name).map(Value::take) {
            Some(Value::Object(group)) => group,
            _ => Map::new(),
        };
        let told = change(&mut group);
        self.0.insert(name.to_owned(), group.into());
        told
    }
}

const LOGINS: &str = "tokens";
const SETTINGS: &str = "settings";

/// The right to change the configuration. It ends with the value, and with the process.
#[must_use]
pub(crate) struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Waits until no other command changes the configuration of `home`. Whoever holds it may be asking a server, which
/// has a time limit.
pub(crate) fn lock(home: &Path) -> Result<Lock> {
    let path = home.join(LOCK_NAME);
    let failed = || format!("locking {}", path.display());
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(no_follow());
    let file = options.open(&path).with_context(failed)?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))
        .with_context(failed)?;
    Ok(Lock(file))
}

/// Changes the configuration as it is now, not as it was when the command began.
pub(crate) fn change<T>(home: &Path, change: impl FnOnce(&mut Config) -> Result<T>) -> Result<T> {
    let _lock = lock(home)?;
    let mut config = load(home)?;
    let told = change(&mut config)?;
    save(home, &config)?;
    Ok(told)
}

/// `~/.micro`, made for its owner alone when it is not there.
pub(crate) fn home() -> Result<PathBuf> {
    let folder = match std::env::var_os(HOME_VARIABLE) {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => std::env::home_dir()
            .context("your home folder is not known: set HOME or MICRO_HOME")?
            .join(".micro"),
    };
    guard(&folder)?;
    Ok(folder)
}

/// Makes `folder`, or checks that it is a folder of ours that nobody else may enter.
fn guard(folder: &Path) -> Result<()> {
    let metadata = match folder.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            return made.with_context(|| format!("making {}", folder.display()));
        }
        Err(error) => return Err(error).with_context(|| format!("looking at {}", folder.display())),
    };
    if !metadata.is_dir() {
        bail!("{} must be a folder, not a link or file", folder.display());
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        bail!("{} belongs to someone else", folder.display());
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))
            .with_context(|| format!("closing {} to others", folder.display()))?;
    }
    Ok(())
}

/// Reads `config.json` of `home`; empty when there is none.
pub(crate) fn load(home: &Path) -> Result<Config> {
    let path = home.join(FILE_NAME);
    let file = match OpenOptions::new().read(true).custom_flags(no_follow()).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Config::default()),
        Err(error) if path.is_symlink() => {
            return Err(error).with_context(|| format!("{} must not be a link", path.display()));
        }
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let text = close_to_others(&file).and_then(|()| read(file));
    let text = text.with_context(|| format!("reading {}", path.display()))?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(map)) => Ok(Config(map)),
        Ok(_) => bail!("{} is damaged: it is no JSON object", path.display()),
        Err(error) => Err(error).with_context(|| format!("{} is damaged", path.display())),
    }
}

fn no_follow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default()
}

/// Mends a file that something else made or copied.
fn close_to_others(file: &File) -> io::Result<()> {
    match file.metadata()?.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => file.set_permissions(Permissions::from_mode(0o600)),
    }
}

fn read(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes `config.json` of `home` in one step, readable for its owner alone.
pub(crate) fn save(home: &Path, config: &Config) -> Result<()> {
    let path = home.join(FILE_NAME);
    let failed = || format!("writing {}", path.display());
    if path.is_symlink() {
        bail!("{} must not be a link", path.display());
    }
    // A temporary file is made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(home).with_context(failed)?;
    let text = serde_json::to_string_pretty(&config.0)?;
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    file.persist(&path).with_context(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_file_is_for_its_owner_and_keeps_unknown_keys() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("a/.micro");
        guard(&home).unwrap();
        assert_eq!(mode(&home), 0o700);
        std::fs::write(home.join(FILE_NAME), r#"{"tokens":{"x":"y"}}"#).unwrap();
        let mut config = load(&home).unwrap();
        config.set_env("foo");
        config.set_envs([("foo".to_owned(), "127.0.0.1:1".to_owned())].into());
        save(&home, &config).unwrap();
        assert_eq!(mode(&home.join(FILE_NAME)), 0o600);
        let again = load(&home).unwrap();
        assert_eq!((again.env(), again.envs()["foo"].as_str()), (Some("foo"), "127.0.0.1:1"));
        assert_eq!(again.0["tokens"]["x"], "y");
        assert_eq!(std::fs::read_dir(&home).unwrap().count(), 1);
        std::fs::set_permissions(home.join(FILE_NAME), Permissions::from_mode(0o644)).unwrap();
        load(&home).unwrap();
        assert_eq!(mode(&home.join(FILE_NAME)), 0o600, "a copied file is closed");
    }

    #[test]
    fn parallel_changes_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let home = folder.path();
                scope.spawn(move || {
                    for count in 0..10 {
                        let key = format!("key.{thread}.{count}");
                        let set = |config: &mut Config| {
                            config.set_setting(&key, "x");
                            Ok(())
                        };
                        change(home, set).unwrap();
                    }
                });
            }
        });
        assert_eq!(load(folder.path()).unwrap().settings().len(), 80);
    }

    #[test]
    fn a_damaged_login_counts_as_none_and_another_mends_it() {
        let mut config = Config(Map::new());
        config.0.insert(LOGINS.to_owned(), serde_json::json!({ "x": 7, "y": { "token": "t" } }));
        assert_eq!(config.login("x"), None);
        let login = Login::of_key("micro_1", "");
        config.set_login("x", &login).unwrap();
        assert_eq!(config.login("x"), Some(login));
        assert_eq!(config.login("y").unwrap().token, "t");
        assert!(!format!("{config:?}").contains("micro_1"), "a secret is not printed");
        assert!(config.forget_login("x") && !config.forget_login("x"));
    }

    #[test]
    fn an_open_folder_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        guard(folder.path()).unwrap();
        assert_eq!(mode(folder.path()), 0o700);
    }

    #[test]
    fn links_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (home, other) = (folder.path().join("home"), folder.path().join("other"));
        std::fs::create_dir(&other).unwrap();
        std::os::unix::fs::symlink(&other, &home).unwrap();
        assert!(guard(&home).unwrap_err().to_string().contains("must be a folder"));
        let target = folder.path().join("target");
        std::fs::write(&target, "{}").unwrap();
        std::os::unix::fs::symlink(&target, other.join(FILE_NAME)).unwrap();
        for error in [load(&other).unwrap_err(), save(&other, &Config::default()).unwrap_err()] {
            assert!(error.to_string().contains("must not be a link"), "{error:#}");
        }
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "{}");
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE_NAME), "[").unwrap();
        assert!(load(folder.path()).unwrap_err().to_string().contains("config.json is damaged"));
    }
}
