//! What all requests share.

use crate::assets::Assets;
use crate::config::Config;
use crate::csrf::Csrf;
use crate::error::SetupError;
use crate::streams::Streams;
use crate::templates::Templates;

#[derive(Debug)]
pub(crate) struct Portal {
    pub(crate) config: Config,
    pub(crate) assets: Assets,
    pub(crate) templates: Templates,
    pub(crate) csrf: Csrf,
    pub(crate) streams: Streams,
}

impl Portal {
    pub(crate) fn new(config: Config) -> Result<Self, SetupError> {
        let assets = Assets::new();
        let templates = Templates::new(&assets)?;
        Ok(Self { config, assets, templates, csrf: Csrf::new(), streams: Streams::default() })
    }
}
