//! Owns reading the API server's audit log: the user, the request and the response of each entry. An entry of a write
//! includes the request body.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

/// One completed request.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The user's name.
    pub user: String,
    /// The User-Agent header; empty if there was none.
    pub user_agent: String,
    /// The plural, such as `namespaces`; empty for a path outside the API.
    pub resource: String,
    /// The subresource, such as `status`, or empty.
    pub subresource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The object's name; empty for a list, and for a create whose name is only in the body.
    pub name: String,
    /// The path and the query.
    pub uri: String,
    /// The HTTP status code of the response.
    pub code: u16,
    /// The time at which the API server received the request.
    pub request_received: DateTime<Utc>,
    /// The time at which the API server completed the response.
    pub completed: DateTime<Utc>,
    /// The request body, for writes.
    pub request_object: Option<Value>,
}

impl AuditEntry {
    /// Returns true if the request asks for a change. An access review is a POST that stores nothing, so it is not a
    /// change.
    pub fn mutates(&self) -> bool {
        !self.resource.ends_with("accessreviews")
            && matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }

    /// A one-line summary for messages: verb, resource, object and status code.
    pub fn summary(&self) -> String {
        let subresource = if self.subresource.is_empty() { String::new() } else { format!("/{}", self.subresource) };
        let namespace = if self.namespace.is_empty() { String::new() } else { format!("{}/", self.namespace) };
        format!("{} {}{subresource} {namespace}{} {}", self.verb, self.resource, self.name, self.code)
    }
}

/// A reader of the log that remembers its offset.
#[derive(Clone, Debug)]
pub struct Audit {
    file: PathBuf,
    offset: u64,
}

impl Audit {
    /// Returns a reader that starts at the beginning of the log.
    pub fn from_start(file: &Path) -> Self {
        Self { file: file.to_owned(), offset: 0 }
    }

    /// Returns a reader that starts at the current end of the log.
    pub fn from_now(file: &Path) -> Result<Self> {
        let offset = file.metadata().with_context(|| format!("there is no audit log at {}", file.display()))?.len();
        Ok(Self { file: file.to_owned(), offset })
    }

    /// Returns the requests that were completed since the last call. The API server writes an entry right after it
    /// sends the response: wait with [`eventually`](crate::wait::eventually) for an expected entry.
    pub fn read(&mut self) -> Result<Vec<AuditEntry>> {
        let mut file =
            File::open(&self.file).with_context(|| format!("there is no audit log at {}", self.file.display()))?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // The last line may be incomplete.
        let complete = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        self.offset += u64::try_from(complete)?;
        bytes[..complete]
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(parse)
            .filter_map(Result::transpose)
            .collect()
    }

    /// Returns the changes that the user requested since the last call.
    pub fn mutating_by(&mut self, user: &str) -> Result<Vec<AuditEntry>> {
        let entries = self.read()?;
        Ok(entries.into_iter().filter(|entry| entry.user == user && entry.mutates()).collect())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogLine {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: LogUser,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: Reference,
    #[serde(default)]
    response_status: Status,
    request_received_timestamp: DateTime<Utc>,
    stage_timestamp: DateTime<Utc>,
    request_object: Option<Value>,
}

#[derive(Deserialize)]
struct LogUser {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reference {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

fn parse(line: &[u8]) -> Result<Option<AuditEntry>> {
    let line: LogLine = serde_json::from_slice(line)
        .with_context(|| format!("not an audit line: {}", String::from_utf8_lossy(line)))?;
    // The log also contains the start of each watch, and a Panic entry for a crash of the server: neither is a
    // completed response.
    if line.stage != "ResponseComplete" {
        return Ok(None);
    }
    let Reference { resource, subresource, namespace, name } = line.object_ref;
    Ok(Some(AuditEntry {
        verb: line.verb,
        user: line.user.username,
        user_agent: line.user_agent,
        resource,
        subresource,
        namespace,
        name,
        uri: line.request_uri,
        code: line.response_status.code,
        request_received: line.request_received_timestamp,
        completed: line.stage_timestamp,
        request_object: line.request_object,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const LINE: &str = r#"{"kind":"Event","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/x","verb":"delete","user":{"username":"alice"},"objectRef":{"resource":"namespaces","name":"x","namespace":"x"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2026-11-24T09:00:00.123456Z","stageTimestamp":"2026-11-24T09:00:00.223456Z"}"#;

    #[test]
    fn reads_only_new_and_complete_lines() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut audit = Audit::from_start(file.path());
        write!(file, "{LINE}\n{}", &LINE[..40]).unwrap();
        let first = audit.mutating_by("alice").unwrap();
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].request_received.timestamp_subsec_micros(), 123_456);
        assert_eq!(first[0].summary(), "delete namespaces x/x 200");
        writeln!(file, "{}", &LINE[40..]).unwrap();
        assert_eq!(audit.read().unwrap().len(), 1);
        assert!(audit.read().unwrap().is_empty());
    }
}
