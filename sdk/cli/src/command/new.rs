//! `micro new`: a service from a template.

use std::fmt::Write as _;
use std::path::{Component, Path};

use anyhow::{Context as _, Result, bail};
use include_dir::{Dir, include_dir};

static TEMPLATES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../templates");

/// The files of a template in the order of the printed tree; a template may lack some.
const FILES: [&str; 11] = [
    "micro.toml",
    "build.rs",
    "src/lib.rs",
    "src/handler.rs",
    "html/index.html",
    "proto/__alias__.proto",
    "Makefile",
    "README.md",
    "_gitignore",
    "_cargo/config.toml",
    "Cargo.toml",
];

/// Create a service from a template
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder to make; its name up to the first hyphen names the service
    name: Option<String>,
    /// Namespace for the service e.g com.example
    #[arg(long, default_value = "go.micro")]
    namespace: String,
    /// Type of service e.g service, function, api, web
    #[arg(long, default_value = "service")]
    r#type: String,
    /// FQDN of the service e.g com.example.service.foo (defaults to namespace.type.alias)
    #[arg(long)]
    fqdn: Option<String>,
    /// Alias is the short name used as part of the combined name
    #[arg(long)]
    alias: Option<String>,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let names = Names::new(&args)?;
    let dir = Path::new(&names.dir);
    if dir.exists() {
        bail!("{} already exists", names.dir);
    }
    println!("Creating service {} in {}\n", names.fqdn, names.dir);
    let files = render(&names)?;
    for (path, text) in &files {
        let path = dir.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    println!("{}\n\nbuild and run it:\n\ncd {}\nmake build\nmicro run .\n", tree(&paths), names.dir);
    Ok(())
}

/// What the placeholders of a template stand for.
struct Names {
    dir: String,
    template: &'static str,
    alias: String,
    fqdn: String,
    package: String,
}

impl Names {
    fn new(args: &Args) -> Result<Self> {
        if args.namespace.is_empty() {
            bail!("namespace not defined");
        }
        if args.r#type.is_empty() {
            bail!("type not defined");
        }
        let dir = match args.name.as_deref().map(|name| name.trim_end_matches('/')) {
            None | Some("") => bail!("specify service name"),
            Some(dir) => dir,
        };
        if Path::new(dir).is_absolute() {
            bail!("require relative path");
        }
        let template = match args.r#type.as_str() {
            "service" | "srv" => "service",
            "function" => "function",
            "api" => "api",
            "web" => "web",
            other => bail!("Unknown type {other}"),
        };
        let Some(Component::Normal(base)) = Path::new(dir).components().next_back() else {
            bail!("specify service name");
        };
        let package = base.to_string_lossy().to_lowercase();
        let alias = match &args.alias {
            Some(alias) => alias.clone(),
            None => package.split('-').next().unwrap_or_default().to_owned(),
        };
        for name in [&package, &alias] {
            let starts = name.starts_with(|first: char| first.is_ascii_lowercase());
            let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if !starts || !rest || name.contains("--") || name.ends_with('-') {
                bail!("`{name}` is not a service name: use letters and digits, joined by single hyphens");
            }
        }
        let fqdn = match &args.fqdn {
            Some(fqdn) => fqdn.clone(),
            None => format!("{}.{template}.{alias}", args.namespace),
        };
        Ok(Self { dir: dir.to_owned(), template, alias, fqdn, package })
    }

    fn fill(&self, text: &str) -> String {
        let words: String = self.alias.split('-').map(capitalised).collect();
        text.replace("__package__", &self.package)
            .replace("__alias__", &self.alias)
            .replace("__module__", &self.alias.replace('-', "_"))
            .replace("__Service__", &words)
            .replace("__Title__", &capitalised(&self.alias))
            .replace("__fqdn__", &self.fqdn)
            .replace("__dir__", &self.dir)
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// The files of the new service, in the tree's order.
fn render(names: &Names) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for file in FILES {
        let own = TEMPLATES.get_file(format!("{}/{file}", names.template));
        let Some(found) = own.or_else(|| TEMPLATES.get_file(format!("common/{file}"))) else { continue };
        let text = found.contents_utf8().with_context(|| format!("{file} of the template is no text"))?;
        let path = match file.strip_prefix('_') {
            Some(hidden) => format!(".{hidden}"),
            None => names.fill(file),
        };
        files.push((path, names.fill(text)));
    }
    Ok(files)
}

/// Draws the paths as `tree` does; files of one folder stand together.
fn tree(paths: &[&str]) -> String {
    let mut text = ".".to_owned();
    branch(paths, "", &mut text);
    text
}

fn branch(paths: &[&str], indent: &str, text: &mut String) {
    let mut rest = paths;
    while let Some(first) = rest.first() {
        let folder = first.split_once('/').map(|(folder, _)| folder);
        let inside = |path: &&&str| folder.is_some() && path.split_once('/').map(|(name, _)| name) == folder;
        let count = rest.iter().take_while(inside).count().max(1);
        let (group, after) = rest.split_at(count);
        let (fork, below) = if after.is_empty() { ("└── ", "    ") } else { ("├── ", "│   ") };
        let _ = write!(text, "\n{indent}{fork}{}", folder.unwrap_or(first));
        if folder.is_some() {
            let children: Vec<&str> = group.iter().filter_map(|path| Some(path.split_once('/')?.1)).collect();
            branch(&children, &format!("{indent}{below}"), text);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests;
