//! The table of DB instances.

use crate::checks::Check;
use crate::instance_changes as change;
use crate::instances as look;
use crate::target::Kind::{Ministack, Moto};

pub const CHECKS: &[Check] = &[
    Check {
        name: "an identifier is taken once",
        aws: "DBInstanceAlreadyExists, DBInstanceAlreadyExists",
        but: &[],
        look: |t| Box::pin(look::same_identifier(t)),
    },
    Check {
        name: "identifiers are folded, and filters are not",
        aws: "folded-id; ok; filtered: ; DBInstanceAlreadyExists",
        but: &[
            (Ministack, "Folded-Id; DBInstanceNotFound; filtered: ; ok"),
            (Moto, "folded-id; ok; filtered: folded-id; DBInstanceAlreadyExists"),
        ],
        look: |t| Box::pin(look::folding(t)),
    },
    Check {
        name: "a password is given or managed, and is a good one",
        aws: "InvalidParameterValue, InvalidParameterCombination, InvalidParameterValue, \
              InvalidParameterValue, InvalidParameterValue, InvalidParameterValue",
        but: &[(Ministack, "ok, ok, ok, ok, ok, ok"), (Moto, "ok, ok, ok, ok, ok, ok")],
        look: |t| Box::pin(look::passwords(t)),
    },
    Check {
        name: "bad identifiers are refused",
        aws: "InvalidParameterValue, InvalidParameterValue, InvalidParameterValue, InvalidParameterValue, \
              InvalidParameterValue",
        but: &[(Ministack, "ok, ok, ok, ok, ok")],
        look: |t| Box::pin(look::bad_identifiers(t)),
    },
    Check {
        name: "what a create has to say",
        aws: "InvalidParameterValue, InvalidParameterCombination, InvalidParameterValue, \
              InvalidParameterCombination",
        but: &[(Ministack, "ok, ok, ok, ok"), (Moto, "ok, an error without a code, InvalidParameterValue, ok")],
        look: |t| Box::pin(look::required(t)),
    },
    Check {
        name: "an instance that does not exist is not found",
        aws: "Describe, Modify, Delete, Reboot, Stop, Start, CreateDBSnapshot, AddTags, RemoveTags, ListTags",
        but: &[
            (
                Ministack,
                "Describe, Modify, Delete, Reboot, Stop, Start, CreateDBSnapshot, AddTags ok, RemoveTags \
                 ok, ListTags ok",
            ),
            (
                Moto,
                "Describe, Modify, Delete, Reboot, Stop, Start, CreateDBSnapshot, AddTags ok, RemoveTags \
                 ok, ListTags ok",
            ),
        ],
        look: |t| Box::pin(look::not_found(t, "DBInstanceNotFound")),
    },
    Check {
        name: "filters take many values, and leave out what is unknown",
        aws: "filter-1 filter-3; filter-1; filter-2",
        but: &[
            (Ministack, "filter-1 filter-3; everything; filter-2"),
            (Moto, "filter-1 filter-3; everything; filter-2"),
        ],
        look: |t| Box::pin(look::filters(t)),
    },
    Check {
        name: "listings are paged",
        aws: "20 and more, 5",
        but: &[(Ministack, "25")],
        look: |t| Box::pin(look::paging(t)),
    },
    Check {
        name: "a page has 20 to 100 records",
        aws: "InvalidParameterValue, ok, ok, InvalidParameterValue",
        but: &[(Ministack, "ok, ok, ok, ok"), (Moto, "ok, ok, ok, ok")],
        look: |t| Box::pin(look::page_sizes(t)),
    },
    Check {
        name: "a listing shows tags",
        aws: "a=1 b=<&>; b=3 c=4; b=3 c=4",
        but: &[],
        look: |t| Box::pin(look::tags(t)),
    },
    Check {
        name: "what AWS makes up",
        aws: "right ARN, db-… of 26, port 5432, 16.…, created",
        but: &[
            (Ministack, "right ARN, db-… of 20, port 5432, 16, created"),
            (Moto, "right ARN, db-… of 26, port 5432, 16, created"),
        ],
        look: |t| Box::pin(look::computed(t)),
    },
    Check {
        name: "instance defaults",
        aws: "backups Some(1), public Some(true), multi Some(false), protected Some(false), minor Some(true), \
              tags to snapshots Some(false), encrypted Some(false), monitoring Some(0), iops Some(3000), \
              throughput Some(125), \"postgresql-license\", \"IPV4\"",
        but: &[
            (
                Ministack,
                "backups Some(1), public Some(false), multi Some(false), protected Some(false), minor \
                 Some(true), tags to snapshots Some(false), encrypted Some(false), monitoring Some(0), \
                 iops None, throughput Some(0), \"postgresql-license\", \"IPV4\"",
            ),
            (
                Moto,
                "backups Some(1), public None, multi Some(false), protected Some(false), minor \
                 Some(true), tags to snapshots Some(false), encrypted Some(false), monitoring Some(0), \
                 iops None, throughput None, \"general-public-license\", \"\"",
            ),
        ],
        look: |t| Box::pin(look::defaults(t)),
    },
    Check {
        name: "values out of range are refused",
        aws: "InvalidParameterValue, InvalidParameterValue, InvalidParameterValue, InvalidParameterValue, \
              InvalidParameterValue, InvalidParameterValue",
        but: &[(Ministack, "ok, ok, ok, ok, ok, ok"), (Moto, "ok, ok, InvalidParameterCombination, ok, ok, ok")],
        look: |t| Box::pin(look::ranges(t)),
    },
    Check {
        name: "values that do not go together are refused",
        aws: "InvalidParameterCombination, InvalidParameterCombination, InvalidParameterCombination, \
              InvalidParameterCombination, InvalidParameterCombination",
        but: &[(Ministack, "ok, ok, ok, ok, ok"), (Moto, "ok, ok, ok, InvalidParameterCombination, ok")],
        look: |t| Box::pin(look::combinations(t)),
    },
    Check {
        name: "references have to exist",
        aws: "DBSubnetGroupNotFoundFault, DBParameterGroupNotFound, OptionGroupNotFoundFault, \
              KMSKeyNotAccessibleFault",
        but: &[
            (Ministack, "ok, DBParameterGroupNotFound, ok, ok"),
            (Moto, "DBSubnetGroupNotFoundFault, DBParameterGroupNotFound, OptionGroupNotFoundFault, ok"),
        ],
        look: |t| Box::pin(look::missing_references(t)),
    },
    Check {
        name: "a change of class waits, and can be taken back",
        aws: "db.t4g.micro pending db.t4g.small; db.t4g.micro pending db.t4g.small; db.t4g.micro pending none",
        but: &[
            (
                Ministack,
                "db.t4g.micro pending db.t4g.small; db.t4g.micro pending db.t4g.small; db.t4g.micro \
                 pending db.t4g.micro",
            ),
            (Moto, "db.t4g.small pending none; db.t4g.small pending none; db.t4g.micro pending none"),
        ],
        look: |t| Box::pin(change::deferred(t)),
    },
    Check {
        name: "an immediate change takes what was pending with it",
        aws: "db.t4g.small pending none, multi Some(true)",
        but: &[(Ministack, "db.t4g.micro pending db.t4g.small, multi Some(true)")],
        look: |t| Box::pin(change::immediately(t)),
    },
    Check {
        name: "what does not wait",
        aws: "protected Some(true), backups Some(7), tags to snapshots Some(true), up to Some(100), logs \
              [\"postgresql\"], mon:01:00-mon:02:00, port Some(5444)",
        but: &[
            (
                Ministack,
                "protected Some(true), backups Some(1), tags to snapshots Some(true), up to Some(100), \
                 logs [], mon:01:00-mon:02:00, port Some(5432)",
            ),
            (
                Moto,
                "protected Some(true), backups Some(7), tags to snapshots Some(true), up to Some(100), \
                 logs [\"postgresql\"], mon:01:00-mon:02:00, port Some(5432)",
            ),
        ],
        look: |t| Box::pin(change::at_once(t)),
    },
    Check {
        name: "turning backups off waits",
        aws: "Some(1) pending Some(0)",
        but: &[(Moto, "Some(0) pending None")],
        look: |t| Box::pin(change::backups_off(t)),
    },
    Check {
        name: "storage grows by a tenth, once in six hours",
        aws: "InvalidParameterCombination, ok, 110, InvalidParameterCombination",
        but: &[(Ministack, "ok, ok, 101, ok"), (Moto, "ok, ok, 101, ok")],
        look: |t| Box::pin(change::storage(t)),
    },
    Check {
        name: "size and IOPS are given together",
        aws: "Some(12000) Some(500), InvalidParameterCombination, InvalidParameterCombination, ok",
        but: &[(Ministack, "None Some(0), ok, ok, ok"), (Moto, "None None, ok, ok, ok")],
        look: |t| Box::pin(change::provisioned(t)),
    },
    Check {
        name: "versions go up, and over a major one when asked",
        aws: "InvalidParameterCombination, InvalidParameterCombination, ok, 17.4",
        but: &[(Ministack, "ok, ok, ok, 17.4"), (Moto, "ok, ok, ok, 17.4")],
        look: |t| Box::pin(change::versions(t)),
    },
    Check {
        name: "a managed password has a secret",
        aws: "right ARN active, InvalidParameterCombination, InvalidParameterCombination, ok, still a secret: \
              false",
        but: &[(Ministack, "error: no secret"), (Moto, "right ARN active, ok, ok, ok, still a secret: false")],
        look: |t| Box::pin(change::managed(t)),
    },
    Check {
        name: "a parameter group waits for a reboot",
        aws: "custom pending-reboot, custom in-sync",
        but: &[(Ministack, "custom pending-reboot, custom pending-reboot"), (Moto, "custom in-sync, custom in-sync")],
        look: |t| Box::pin(change::parameters(t)),
    },
    Check {
        name: "log exports are added and removed",
        aws: "postgresql, upgrade, InvalidParameterCombination",
        but: &[(Ministack, ", , ok"), (Moto, "postgresql, upgrade, ok")],
        look: |t| Box::pin(change::logs(t)),
    },
    Check {
        name: "an instance is renamed",
        aws: "DBInstanceNotFound, ok",
        but: &[(Ministack, "ok, DBInstanceNotFound")],
        look: |t| Box::pin(change::renamed(t)),
    },
    Check {
        name: "what a stopped instance refuses",
        aws: "InvalidDBInstanceState, InvalidDBInstanceState, InvalidDBInstanceState, started",
        but: &[
            (Ministack, "ok, ok, ok, started"),
            (Moto, "InvalidDBInstanceState, ok, InvalidDBInstanceState, started"),
        ],
        look: |t| Box::pin(change::stopped(t)),
    },
    Check {
        name: "deletion protection",
        aws: "InvalidParameterCombination, ok, DBInstanceNotFound",
        but: &[],
        look: |t| Box::pin(change::protected(t)),
    },
    Check {
        name: "a deletion makes a snapshot or skips it",
        aws: "InvalidParameterCombination, InvalidParameterCombination",
        but: &[(Ministack, "ok, ok"), (Moto, "ok, ok")],
        look: |t| Box::pin(change::snapshot_options(t)),
    },
    Check {
        name: "the final snapshot outlives the instance",
        aws: "ok, DBInstanceNotFound, of last-will, same resource: true, new incarnation: true, \
              DBSnapshotAlreadyExists",
        but: &[
            (Ministack, "ok, DBInstanceNotFound, of last-will, same resource: true, new incarnation: true, ok"),
            (
                Moto,
                "ok, DBInstanceNotFound, of last-will, same resource: true, new incarnation: false, \
                 DBSnapshotAlreadyExists",
            ),
        ],
        look: |t| Box::pin(change::final_snapshot(t)),
    },
    Check {
        name: "snapshots are found by their names and by their instance",
        aws: "ok, DBSnapshotAlreadyExists, DBSnapshotNotFound, 1 of postgres fairlead 20 available same \
              resource: true tags a=1",
        but: &[(
            Moto,
            "ok, DBSnapshotAlreadyExists, DBSnapshotNotFound, 2 of postgres fairlead 20 available \
                 same resource: true tags a=1",
        )],
        look: |t| Box::pin(change::snapshots(t)),
    },
    Check {
        name: "a snapshot is restored",
        aws: "DBSnapshotNotFound, DBInstanceAlreadyExists, ok, postgres fairlead 30 db.t4g.small new \
              resource: true tags b=2",
        but: &[
            (
                Ministack,
                "DBSnapshotNotFound, DBInstanceAlreadyExists, ok, postgres fairlead 30 db.t4g.small new \
                 resource: true tags none",
            ),
            (
                Moto,
                "DBSnapshotNotFound, DBInstanceAlreadyExists, ok, postgres fairlead 30 db.t4g.small new \
                 resource: false tags b=2",
            ),
        ],
        look: |t| Box::pin(change::restored(t)),
    },
];
