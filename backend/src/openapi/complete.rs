//! What holds for many operations, and is said here once: which problems come of
//! a token, of a body and of our own faults; which fields every response has.

use serde_json::{Map, Value, json};

use crate::handlers::schemas::position;

/// The operations that tell how far the database has come with them.
const WRITES: &[&str] = &["create_user", "update_user", "delete_user", "logout"];

/// Adds to every operation of `document` what its handler need not say.
pub(super) fn complete(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({"bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "What POST /api/v1/auth/login gives (RFC 6750).",
    }});
    let paths = document["paths"].as_object_mut();
    for methods in paths.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        let is_alone = methods.len() == 1;
        for (method, operation) in methods {
            let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
            // What takes several methods is one function; its ids must differ.
            let is_shared = !is_alone && operation["tags"] == json!(["diagnostics"]);
            if is_shared {
                operation["operationId"] = json!(format!("{id}_{method}"));
            }
            complete_operation(&id, operation);
        }
    }
}

fn complete_operation(id: &str, operation: &mut Value) {
    let is_protected = operation.get("security").is_some();
    let takes_json = operation["requestBody"]["content"].get("application/json").is_some();
    let Some(responses) = operation["responses"].as_object_mut() else { return };

    let mut add = |status: &str, description: &str| {
        responses.entry(status.to_owned()).or_insert_with(|| json!({"description": description}));
    };
    if is_protected {
        add("400", "`Authorization`, or something else in the request, is malformed.");
        add("401", "There is no access token, or it is not good.");
    }
    if takes_json {
        add("400", "The body is not JSON.");
        add("413", "The body is longer than 64 KiB.");
        add("415", "The body does not claim to be JSON.");
        add("422", "A value is missing, not valid, or not known here.");
    }
    add("500", "Something broke; it has been logged.");

    for (status, response) in responses {
        // Others are "default".
        let status = status.parse().unwrap_or(200);
        complete_response(id, status, is_protected, response);
    }
}

fn complete_response(id: &str, status: u16, is_protected: bool, response: &mut Value) {
    let has_content = response.get("content").is_some();
    let is_problem = status >= 400 && (!has_content || is_protected);
    if is_problem {
        response["content"]["application/problem+json"] =
            json!({"schema": {"$ref": "#/components/schemas/Problem"}});
    }

    let mut add = |name: &str, required: bool, schema: Value, description: &str| {
        response["headers"][name] =
            json!({"required": required, "schema": schema, "description": description});
    };
    let text = || json!({"type": "string"});
    add("X-Served-By", true, text(), "The instance that has answered.");
    add("X-Request-ID", true, text(), "The request in the logs.");
    match status {
        200..=299 if WRITES.contains(&id) => {
            let position = json!(position().build());
            add("X-Database-Position", false, position, "What a read has to have seen.");
            add("Set-Cookie", false, text(), "The same, as `database_position`.");
        }
        401 => add("WWW-Authenticate", true, text(), "RFC 6750, section 3."),
        403 => add("WWW-Authenticate", true, text(), "RFC 6750, section 3."),
        426 => add("Upgrade", false, text(), "`websocket`, over HTTP/1.1."),
        503 if is_problem => add("Retry-After", false, text(), "Seconds."),
        _ => {}
    }
}
