//! How the instance of a deleted object goes. Pure: it depends on what AWS said and on the spec's JSON, since the
//! spec may be invalid by now.

use serde_json::Value as Json;

use super::{
    fields::{Field, switch},
    observed::{Change, Observed},
    state,
};
use crate::engine::kind::{End, Ending};

/// The longest name of a snapshot.
const SNAPSHOT_LIMIT: usize = 255;

/// How an instance is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// The names that the final snapshot may have: the next where something else has the last. None: no snapshot
    /// is made.
    pub snapshots: Vec<String>,
    /// The instance's own id, by which its snapshot is known.
    pub resource_id: Option<String>,
    /// Whether the automated backups go as well.
    pub delete_automated_backups: bool,
}

/// What AWS said of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The id of the instance that it is of.
    pub resource_id: Option<String>,
    /// Its status.
    pub status: String,
}

/// What a snapshot that is there already means for the deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is the final one: the instance may go.
    Yes,
    /// It will be.
    NotYet,
    /// It is another one.
    No,
}

/// How the end goes on.
pub fn ending(observed: Option<&Observed>, wish: &Ending<'_>) -> End<Change, Farewell> {
    let said = |field: &str| wish.spec.get(field).and_then(Json::as_bool);
    let farewell = |observed: &Observed| Farewell {
        snapshots: if wish.snapshot { snapshots(observed, wish.uid) } else { Vec::new() },
        resource_id: observed.resource_id.clone(),
        delete_automated_backups: said("deleteAutomatedBackups") == Some(true),
    };
    let Some(observed) = observed else {
        return End::Wait("making sure what there is of the database instance".into());
    };
    let status = observed.status.as_str();
    match status {
        "creating" => return End::Wait("the database instance is being created: it is deleted after that".into()),
        "deleting" | "delete-precheck" if wish.snapshot => {
            return End::Wait("the database instance is being deleted, once its final snapshot is made".into());
        }
        "deleting" | "delete-precheck" => return End::Wait("the database instance is being deleted".into()),
        _ => {}
    }
    if switch(&observed.values, Field::DeletionProtection) == Some(true) {
        return unprotect(status, said("deletionProtection"));
    }
    match status {
        // AWS makes no snapshot of these.
        "failed" | "incompatible-restore" | "incompatible-network" | "inaccessible-encryption-credentials"
            if wish.snapshot =>
        {
            End::Blocked(format!(
                "AWS makes no final snapshot of a database instance that is {status}: set spec.deletionPolicy to \
                 Delete, and it is deleted without, or to Retain"
            ))
        }
        _ => End::Delete(farewell(observed)),
    }
}

/// The way out of AWS's deletion protection.
fn unprotect(status: &str, spec: Option<bool>) -> End<Change, Farewell> {
    match spec {
        Some(false) if state::allows(status).change_of(Field::DeletionProtection) => End::Change(Change::unprotect()),
        Some(false) => {
            End::Wait(format!("the deletion protection can't be turned off while the database instance is {status}"))
        }
        _ => End::Blocked(
            "the database instance has deletion protection: set spec.deletionProtection to false, or \
             spec.deletionPolicy to Retain"
                .into(),
        ),
    }
}

/// What `snapshot`, which has the name of a final one, means where the instance's id is `resource_id`.
pub fn kept(resource_id: Option<&str>, snapshot: Option<&Snapshot>) -> Kept {
    let Some(Snapshot { resource_id: of, status }) = snapshot else { return Kept::NotYet };
    match (resource_id, of.as_deref()) {
        (Some(ours), Some(of)) if ours == of => match status.as_str() {
            "available" => Kept::Yes,
            "creating" => Kept::NotYet,
            _ => Kept::No,
        },
        _ => Kept::No,
    }
}

/// The names that the final snapshot may have.
fn snapshots(observed: &Observed, uid: &str) -> Vec<String> {
    let identifier = &observed.identifier;
    let first = snapshot_name(&format!("{identifier}-final-{uid}"));
    let second = observed.resource_id.as_ref().map(|id| snapshot_name(&format!("{identifier}-final-{uid}-{id}")));
    [Some(first), second].into_iter().flatten().collect()
}

/// `text` as a snapshot's name: letters, digits and single hyphens, a letter first.
fn snapshot_name(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-");
    let name = if name.starts_with(|first: char| first.is_ascii_alphabetic()) { name } else { format!("s-{name}") };
    // All of it is ASCII by now.
    name[..name.len().min(SNAPSHOT_LIMIT)].trim_end_matches('-').to_owned()
}
