use micro_sdk::blob::{self, Info, Reader};
use micro_sdk::{Context, Error};

use crate::FilesHandler;
use crate::{File, GetRequest, GetResponse, ListRequest, ListResponse, PutRequest};

const PART_BYTES: u64 = 1 << 20;
const PAGE: u32 = 100;

pub struct Files;

impl FilesHandler for Files {
    async fn put(&self, _ctx: &Context, request: PutRequest) -> Result<File, Error> {
        let upload = blob::create(&request.name).content_type(&request.content_type);
        let mut writer = upload.begin().await?;
        writer.write(&request.content).await?;
        writer.finish().await.map(file)
    }

    async fn get(&self, _ctx: &Context, request: GetRequest) -> Result<GetResponse, Error> {
        let found = blob::stat(&request.name).await?;
        let info = found.ok_or_else(|| Error::not_found("files", "there is no such file"))?;
        let mut reader =
            Reader::open_range(&request.name, request.offset, Some(PART_BYTES)).await?;
        let mut content = Vec::new();
        while let Some(chunk) = reader.next().await? {
            content.extend_from_slice(&chunk);
        }
        Ok(GetResponse {
            file: Some(file(info)),
            content,
        })
    }

    async fn list(&self, _ctx: &Context, request: ListRequest) -> Result<ListResponse, Error> {
        let after = (!request.after.is_empty()).then_some(request.after.as_str());
        let page = blob::list(&request.prefix, after, PAGE).await?;
        Ok(ListResponse {
            files: page.into_iter().map(file).collect(),
        })
    }
}

fn file(info: Info) -> File {
    File {
        name: info.key,
        size: info.size,
        content_type: info.content_type,
        digest: info.digest,
    }
}

#[cfg(test)]
mod tests {
    use micro_sdk::test::World;

    use super::*;

    async fn put(name: &str, content: Vec<u8>) -> Result<File, Error> {
        let request = PutRequest {
            name: name.into(),
            content,
            content_type: "text/plain".into(),
        };
        Files.put(&Context::default(), request).await
    }

    async fn get(name: &str, offset: u64) -> Result<GetResponse, Error> {
        let request = GetRequest {
            name: name.into(),
            offset,
        };
        Files.get(&Context::default(), request).await
    }

    #[micro_sdk::test]
    async fn what_is_put_is_got_in_parts() -> Result<(), Error> {
        World::new();
        let content: Vec<u8> = (0..(PART_BYTES + 5)).map(|n| (n % 251) as u8).collect();
        let file = put("a/b.txt", content.clone()).await?;
        assert_eq!(file.size, PART_BYTES + 5);
        let first = get("a/b.txt", 0).await?;
        assert_eq!(first.file, Some(file));
        let second = get("a/b.txt", PART_BYTES).await?;
        assert_eq!([first.content, second.content].concat(), content);
        assert!(get("a/b.txt", PART_BYTES + 5).await?.content.is_empty());
        assert_eq!(get("a/c.txt", 0).await.expect_err("no file").code, 404);
        Ok(())
    }

    #[micro_sdk::test]
    async fn files_are_listed_by_name() -> Result<(), Error> {
        World::new();
        for name in ["b", "a/2", "a/1"] {
            put(name, Vec::new()).await?;
        }
        let request = ListRequest {
            prefix: "a/".into(),
            after: "a/1".into(),
        };
        let found = Files.list(&Context::default(), request).await?;
        let names: Vec<_> = found.files.into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["a/2"]);
        Ok(())
    }
}
