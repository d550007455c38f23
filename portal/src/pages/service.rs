//! `/n/<namespace>/services/<name>`: is it up, which version, where; then its tabs.

use micro_api::ServiceName;
use micro_api::deployment::ServiceStatus;
use micro_api::registry::{Endpoint, Service};
use micro_api::stats::NodeStats;
use serde_json::{Value, json};

use super::{Answer, see};
use crate::error::{Fault, mendable};
use crate::form::{Filled, Form};
use crate::session::Person;
use crate::{format, schema};

/// What stands over every tab.
pub(crate) struct Head {
    pub(crate) name: ServiceName,
    /// All versions, the shown one first.
    versions: Vec<ServiceStatus>,
    pub(crate) records: Vec<Service>,
    stats: Vec<NodeStats>,
    /// Anybody may call it without a credential.
    public: bool,
}

impl Head {
    pub(crate) async fn read(person: &Person) -> Result<Self, Fault> {
        let asked = person.service()?;
        let client = &person.client;
        let mut versions = client.services(Some(&asked), None).await?;
        // Until its source was read a service has the name that its address suggests; links to that go on to work.
        let name = versions.first().and_then(|row| row.name.parse().ok()).unwrap_or(asked);
        let (records, stats, rules) =
            tokio::join!(client.registry_get(&name), client.stats(&name), client.rules());
        // A service that never ran has no record and no statistics.
        let records = or_absent(records)?;
        let stats = or_absent(stats)?;
        if versions.is_empty() && records.is_empty() {
            return Err(Fault::told(404, format!("There is no service `{name}` in {}.", person.namespace())));
        }
        let asked = person.query("version");
        versions.sort_by_key(|row| (row.version != asked, row.version != "latest", row.version.clone()));
        let rule = format!("public-{name}");
        let public = rules.is_ok_and(|rules| rules.iter().any(|known| known.id == rule));
        Ok(Self { name, versions, records, stats, public })
    }

    /// The version that the page shows: the one asked for, `latest`, or any.
    pub(crate) fn version(&self) -> &str {
        let row = self.versions.first().map(|row| row.version.as_str());
        row.or_else(|| self.records.first().map(|record| record.version.as_str())).unwrap_or("latest")
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        let version = self.version();
        let record = self.records.iter().find(|record| record.version == version);
        record.or_else(|| self.records.first()).map_or(&[], |record| &record.endpoints)
    }

    pub(crate) fn context(&self, person: &Person, tab: &str) -> Value {
        let requests: u64 = self.stats.iter().map(|node| node.requests).sum();
        let errors: u64 = self.stats.iter().map(|node| node.errors).sum();
        json!({
            "name": self.name,
            "version": self.version(),
            "row": self.versions.first(),
            "versions": self.versions,
            "url": self.url(person),
            "public": self.public,
            "tab": tab,
            "requests": requests,
            "errors": errors,
            "p50_us": self.stats.iter().map(|node| node.p50_us).max(),
            "p99_us": self.stats.iter().map(|node| node.p99_us).max(),
        })
    }

    /// Where the gateway serves it: a web service has an origin of its own, every other a path of its namespace's.
    fn url(&self, person: &Person) -> String {
        let config = &person.visit.portal.config;
        let (scheme, authority) =
            config.gateway_url.split_once("://").unwrap_or(("http", &config.gateway_url));
        let authority = authority.trim_end_matches('/');
        let port = authority.rsplit_once(':').map_or(String::new(), |(_, port)| format!(":{port}"));
        let (alias, namespace, domain) = (self.name.alias(), person.namespace(), &config.domain);
        if self.name.kind == micro_api::ServiceType::Web && !alias.contains('.') {
            return format!("{scheme}://{alias}--{namespace}.{domain}{port}/");
        }
        format!("{scheme}://{namespace}.{domain}{port}/{alias}")
    }

    /// The path below the service's URL that means an endpoint: `Greeter.Call` of `greeter` is `/call`, of another
    /// service `/greeter/call`.
    fn endpoint_url(&self, person: &Person, endpoint: &Endpoint) -> String {
        let url = self.url(person);
        let url = url.trim_end_matches('/');
        let (group, method) = endpoint.name.split_once('.').unwrap_or(("", &endpoint.name));
        let last = self.name.alias().rsplit('.').next().unwrap_or_default();
        if group.is_empty() || group.eq_ignore_ascii_case(last) {
            format!("{url}/{}", lower_first(method))
        } else {
            format!("{url}/{}/{}", lower_first(group), lower_first(method))
        }
    }

    pub(crate) fn endpoint_context(&self, person: &Person, endpoint: &Endpoint) -> Value {
        let request = schema::example_request(endpoint);
        let url = self.endpoint_url(person, endpoint);
        let token = if self.public { "" } else { " -H \"Authorization: Bearer $MICRO_TOKEN\"" };
        let data = format::shell(&request.to_string());
        json!({
            "name": endpoint.name,
            "metadata": endpoint.metadata,
            "stream": endpoint.metadata.get("stream").is_some_and(|stream| stream == "true"),
            "inputs": schema::inputs(endpoint),
            "response": endpoint.response.values,
            "example": serde_json::to_string_pretty(&request).unwrap_or_default(),
            "curl_head": format!("curl {}{token} -H 'Content-Type: application/json' -d ", format::shell(&url)),
            "micro_head": format!("micro call --platform {} {} ", self.name, endpoint.name),
            "data": data,
        })
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
}

fn or_absent<T>(answer: micro_client::Result<Vec<T>>) -> Result<Vec<T>, Fault> {
    match answer {
        Err(error) if error.code() == 404 => Ok(Vec::new()),
        other => Ok(other?),
    }
}

pub(crate) async fn endpoints(person: Person) -> Answer {
    let head = Head::read(&person).await?;
    endpoints_page(&person, &head, &Filled::default(), None)
}

/// The tab with the forms, and the reply to the call of one of them.
pub(crate) fn endpoints_page(person: &Person, head: &Head, filled: &Filled, reply: Option<Value>) -> Answer {
    let endpoints: Vec<Value> =
        head.endpoints().iter().map(|endpoint| head.endpoint_context(person, endpoint)).collect();
    let content = json!({
        "service": head.context(person, "endpoints"), "endpoints": endpoints, "form": filled, "reply": reply,
    });
    person.page("services", "endpoints.html", content)
}

pub(crate) async fn stats(person: Person) -> Answer {
    let head = Head::read(&person).await?;
    let usage = person.client.usage(30).await?;
    let name = head.name.to_string();
    let usage: Vec<_> = usage.into_iter().filter(|day| day.service == name).collect();
    let most = usage.iter().map(|day| day.requests).max().unwrap_or(0).max(1);
    let content = json!({
        "service": head.context(&person, "stats"), "stats": head.stats, "usage": usage, "most": most,
    });
    if person.visit.by_script() {
        let html = person.fragment("stats_body.html", content)?;
        return Ok(axum::response::IntoResponse::into_response(axum::Json(json!({ "html": html }))));
    }
    person.page("services", "stats.html", content)
}

pub(crate) async fn instances(person: Person) -> Answer {
    let head = Head::read(&person).await?;
    let health = or_absent(person.client.health(&head.name).await)?;
    let content = json!({
        "service": head.context(&person, "instances"), "records": head.records, "health": health,
        "stats": head.stats,
    });
    person.page("services", "instances.html", content)
}

pub(crate) async fn deployments(person: Person) -> Answer {
    let head = Head::read(&person).await?;
    let ids: Vec<String> =
        head.versions.iter().map(|row| row.deployment.clone()).filter(|id| !id.is_empty()).collect();
    let all = ids.iter().take(crate::config::ROWS).map(|id| person.client.deployment(id, None));
    let mut found = Vec::new();
    for deployment in futures::future::join_all(all).await {
        match deployment {
            Err(error) if error.code() == 404 => {}
            other => found.push(other?),
        }
    }
    found.sort_by_key(|deployment| std::cmp::Reverse(deployment.created_ms));
    let rows: Vec<Value> = found.iter().map(super::deployment::summary).collect();
    let content = json!({
        "service": head.context(&person, "deployments"), "deployments": rows, "form": Filled::default(),
    });
    person.page("services", "deployments.html", content)
}

pub(crate) async fn kill(person: Person, form: Form) -> Answer {
    let name = person.service()?;
    let problem = if form.text("confirm") == name.to_string() {
        match person.client.kill(&name, form.text("version")).await {
            Ok(_) => return Ok(see(&person.at(&format!("services/{name}/deployments?done=killed")))),
            Err(error) => mendable(error)?,
        }
    } else {
        format!("Type `{name}` to stop it.")
    };
    let head = Head::read(&person).await?;
    let content = json!({
        "service": head.context(&person, "deployments"), "deployments": [],
        "form": Filled::default().problem("confirm", problem),
    });
    person.page("services", "deployments.html", content)
}
