//! `/projects`: projects, and their environments, which are namespaces.

use micro_api::team::{NewEnvironment, NewProject};
use serde_json::json;

use super::{Answer, see};
use crate::error::mendable;
use crate::form::{Filled, Form};
use crate::session::Person;

pub(crate) async fn show(person: Person) -> Answer {
    page(&person, &Filled::default()).await
}

async fn page(person: &Person, filled: &Filled) -> Answer {
    let projects = person.client.projects().await?;
    person.page("projects", "projects.html", json!({ "projects": projects, "form": filled }))
}

pub(crate) async fn create(person: Person, form: Form) -> Answer {
    let mut filled = form.keep(&["name", "description", "repository"]);
    let project = NewProject {
        name: form.text("name").to_owned(),
        description: form.text("description").to_owned(),
        repository: form.text("repository").to_owned(),
    };
    if !(3..=40).contains(&project.name.chars().count()) {
        filled = filled.problem("name", "A name has 3 to 40 letters, digits, hyphens and spaces.");
        return page(&person, &filled).await;
    }
    match person.client.create_project(&project).await {
        Ok(_) => Ok(see("/projects?done=project")),
        Err(error) => {
            let words = [("repository", "repository"), ("description", "description"), ("name", "name")];
            page(&person, &filled.blame("project", &words, mendable(error)?)).await
        }
    }
}

pub(crate) async fn add_environment(person: Person, form: Form) -> Answer {
    let id = person.param("id");
    let environment = NewEnvironment {
        name: form.text("name").to_owned(),
        description: String::new(),
        namespace: form.text("in").to_owned(),
    };
    let problem = if environment.name.is_empty() {
        "Give the environment a name, such as staging.".to_owned()
    } else {
        match person.client.create_environment(id, &environment).await {
            Ok(_) => return Ok(see("/projects?done=environment")),
            Err(error) => mendable(error)?,
        }
    };
    let filled = Filled::default()
        .value(&format!("name-{id}"), form.text("name"))
        .value(&format!("in-{id}"), form.text("in"))
        .problem(&format!("name-{id}"), problem);
    page(&person, &filled).await
}

pub(crate) async fn delete(person: Person, form: Form) -> Answer {
    let (id, name) = (person.param("id"), form.text("name"));
    let problem = if name.is_empty() || form.text("confirm") != name {
        format!("Type `{name}` to delete it.")
    } else {
        match person.client.delete_project(id).await {
            Ok(()) => return Ok(see("/projects?done=deleted")),
            Err(error) => mendable(error)?,
        }
    };
    page(&person, &Filled::default().problem(&format!("confirm-{id}"), problem)).await
}

pub(crate) async fn delete_environment(person: Person, form: Form) -> Answer {
    let namespace = person.param("environment");
    let problem = if form.text("confirm") == namespace {
        match person.client.delete_namespace(namespace).await {
            Ok(()) => return Ok(see("/projects?done=deleted")),
            Err(error) => mendable(error)?,
        }
    } else {
        format!("Type `{namespace}` to delete it.")
    };
    page(&person, &Filled::default().problem(&format!("confirm-{namespace}"), problem)).await
}
