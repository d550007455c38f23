//! A job that calls the service `helloworld`, reads a record of its own table, prints both and ends.

use micro_sdk::{Error, store};

micro_sdk::include_proto!("helloworld");
micro_sdk::job!(run);

/// All that the job does.
///
/// # Errors
/// What the platform or `helloworld` answers.
pub async fn run() -> Result<(), Error> {
    let request = Request {
        name: "John".into(),
    };
    let response = HelloworldClient::new("helloworld").call(request).await?;
    println!("Response:  {}", response.msg);

    if let Some(line) = describe("mykey").await? {
        println!("{line}");
    }
    Ok(())
}

async fn describe(key: &str) -> Result<Option<String>, Error> {
    let record = store::get(key).await?;
    Ok(record.map(|record| {
        let value = String::from_utf8_lossy(&record.value);
        format!("key: {}, value: {value}", record.key)
    }))
}

#[cfg(test)]
mod tests {
    use micro_sdk::test::World;

    use super::*;

    #[micro_sdk::test]
    async fn it_needs_helloworld() -> Result<(), Error> {
        let world = World::new();
        assert_eq!(run().await.expect_err("nobody answers").code, 404);
        world.fake("helloworld", |request: Request| {
            let msg = format!("Hello {}", request.name);
            Ok(Response { msg })
        });
        run().await
    }

    #[micro_sdk::test]
    async fn it_shows_the_record() -> Result<(), Error> {
        World::new();
        assert_eq!(describe("mykey").await?, None);
        store::set("mykey", "Hi there").await?;
        let line = describe("mykey").await?;
        assert_eq!(line.as_deref(), Some("key: mykey, value: Hi there"));
        Ok(())
    }
}
