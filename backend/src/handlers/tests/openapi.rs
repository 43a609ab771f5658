//! The description says what the router does, and the other way round.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use http::StatusCode;
use serde_json::Value;

use crate::http::router;
use crate::openapi::document;
use crate::testing::{Api, FakeStore};

/// Another way to write `/api/v1/users`.
const ALIAS: &str = "/api/v1/users/";

type Methods = BTreeSet<String>;

fn described(document: &Value) -> BTreeMap<String, Methods> {
    let paths = document["paths"].as_object().unwrap();
    let methods = |item: &Value| {
        item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect()
    };
    paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    let paths = document["paths"].as_object().unwrap();
    paths.values().flat_map(|item| item.as_object().unwrap().values())
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let api = Api::new(FakeStore::new()).await;
    let mut described = described(&document());
    for path in router::paths() {
        let answer = api.send("BREW", &path.replace("{id}", "1"), &[], None).await;
        // Those that take any method are described with all that have a name there.
        let takes_all = answer.status == StatusCode::OK;
        let methods = if path == ALIAS { None } else { described.remove(path) };
        if takes_all {
            assert_eq!(methods.unwrap().len(), 8, "{path}");
            continue;
        }
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let allow = answer.headers["allow"].to_str().unwrap();
        let mut allowed: Methods = allow.split(',').map(|name| name.trim().to_owned()).collect();
        // Comes with GET, as everywhere.
        assert_eq!(allowed.remove("HEAD"), allowed.contains("GET"), "{path}");
        if path == ALIAS {
            let names: Vec<_> = allowed.iter().map(String::as_str).collect();
            assert_eq!(names, ["GET", "POST"]);
        } else {
            assert_eq!(methods, Some(allowed), "{path}");
        }
    }
    assert!(described.is_empty(), "there are no routes for {described:?}");
}

#[test]
fn operations_have_names_of_their_own_and_say_how_they_fail() {
    let document = document();
    let mut names = HashSet::new();
    for operation in operations(&document) {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{name} is there twice");
        assert!(operation["summary"].is_string() && operation["tags"][0].is_string(), "{name}");

        let responses = operation["responses"].as_object().unwrap();
        let mut expected = vec!["500"];
        if operation.get("security").is_some() {
            expected.extend(["400", "401"]);
        }
        if operation["requestBody"]["content"].get("application/json").is_some() {
            expected.extend(["400", "413", "415", "422"]);
        }
        for status in expected {
            assert!(responses.contains_key(status), "{name} has no {status}");
        }
        for (status, response) in responses {
            assert!(response["headers"]["X-Served-By"].is_object(), "{name} {status}");
            assert!(!response["description"].as_str().unwrap().is_empty(), "{name} {status}");
            if matches!(&**status, "400" | "401" | "403" | "404" | "409" | "413" | "415" | "422") {
                let content = &response["content"]["application/problem+json"]["schema"];
                assert_eq!(content["$ref"], "#/components/schemas/Problem", "{name} {status}");
            }
            if matches!(&**status, "401" | "403") {
                assert!(response["headers"]["WWW-Authenticate"].is_object(), "{name} {status}");
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_document_is_served() {
    let api = Api::new(FakeStore::new()).await;
    let answer = api.send("GET", "/api/v1/openapi.json", &[], None).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.body, document());
    assert_eq!(answer.body["openapi"], "3.1.0");
    assert_eq!(answer.body["servers"][0]["url"], "/");
    assert_eq!(answer.body["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}
