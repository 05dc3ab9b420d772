//! What the SDK is given and answers, classes of errors, and what the engine asks of the kind by name.

use aws_sdk_rds::{
    Client, Config,
    config::BehaviorVersion,
    types::{
        DbInstance, DbParameterGroupStatus, Endpoint, MasterUserSecret, OptionGroupMembership,
        PendingCloudwatchLogsExports, PendingModifiedValues, Tag, VpcSecurityGroupMembership,
    },
};

use super::*;
use crate::{
    aws::{errors::ErrorClass, identity::Identity},
    engine::kind::Kind,
    kinds::rds_instance::{
        InstanceId, RdsInstance,
        creation::{Creation, Master, restore_takes},
        observed::{LogChange, NewMaster},
        sdk,
    },
};

fn client() -> Client {
    Client::from_conf(Config::builder().behavior_version(BehaviorVersion::latest()).build())
}

/// One value of each type: a field takes one of them.
fn one_of_each() -> [Value; 4] {
    [text("a"), Value::Number(5), Value::Switch(true), set(&["a"])]
}

fn creation(fields: Values, snapshot: Option<&str>, master: Master) -> Creation {
    Creation { fields, snapshot: snapshot.map(str::to_owned), master, defaults: Default::default() }
}

#[test]
fn every_field_reaches_the_calls_that_take_it() {
    let client = client();
    let created = |fields| {
        let call = sdk::create(client.create_db_instance(), &creation(fields, None, Master::Later));
        format!("{:?}", call.as_input())
    };
    let restored = |fields| {
        let call = client.restore_db_instance_from_db_snapshot();
        format!("{:?}", sdk::restore(call, &creation(fields, Some("s"), Master::Later)).as_input())
    };
    let modified = |set| {
        let modify = Modify { set, ..Modify::default() };
        format!("{:?}", sdk::modify(client.modify_db_instance(), &modify).as_input())
    };
    for field in Field::all() {
        let taken = |call: &dyn Fn(Values) -> String| {
            let nothing = call(Values::new());
            one_of_each().into_iter().filter(|value| call([(field, value.clone())].into()) != nothing).count()
        };
        assert_eq!(taken(&created), 1, "create {field:?}");
        assert_eq!(taken(&restored), usize::from(restore_takes("postgres", field)), "restore {field:?}");
        // The log exports are given as a change.
        let modifiable = !field.is_create_only() && field != Field::LogExports;
        assert_eq!(taken(&modified), usize::from(modifiable), "modify {field:?}");
    }
}

#[test]
fn what_a_modification_says_beside_values() {
    let said = |modify: Modify| format!("{:?}", sdk::modify(client().modify_db_instance(), &modify).as_input());
    let logs = LogChange { enable: ["a".to_owned()].into(), disable: ["b".to_owned()].into() };
    for (modify, words) in [
        (Modify { apply_immediately: true, ..Modify::default() }, "apply_immediately: Some(true)"),
        (Modify { allow_major_upgrade: true, ..Modify::default() }, "allow_major_version_upgrade: Some(true)"),
        (Modify { logs: Some(logs.clone()), ..Modify::default() }, r#"enable_log_types: Some(["a"])"#),
        (Modify { logs: Some(logs), ..Modify::default() }, r#"disable_log_types: Some(["b"])"#),
        (
            Modify { master: Some(NewMaster::Managed(Some("k".into()))), ..Modify::default() },
            r#"master_user_secret_kms_key_id: Some("k")"#,
        ),
        (
            Modify { master: Some(NewMaster::NoLongerManaged(password())), ..Modify::default() },
            "manage_master_user_password: Some(false)",
        ),
        (Modify { master: Some(NewMaster::Password(password())), ..Modify::default() }, "master_user_password: \"***"),
    ] {
        let said = said(modify);
        assert!(said.contains(words) && !said.contains(password().expose()), "{words}: {said}");
    }
    let nothing = said(Modify::default());
    for field in ["apply_immediately", "allow_major_version_upgrade", "cloudwatch_logs_export_configuration"] {
        assert!(nothing.contains(&format!("{field}: None")), "{nothing}");
    }
}

fn option_group(name: &str, status: &str) -> OptionGroupMembership {
    OptionGroupMembership::builder().option_group_name(name).status(status).build()
}

fn group(id: &str, status: &str) -> VpcSecurityGroupMembership {
    VpcSecurityGroupMembership::builder().vpc_security_group_id(id).status(status).build()
}

#[test]
fn what_aws_says_of_an_instance() {
    let logs = PendingCloudwatchLogsExports::builder().log_types_to_enable("b").log_types_to_disable("a").build();
    let waits = PendingModifiedValues::builder()
        .multi_az(true)
        .master_user_password("****")
        .dedicated_log_volume(true)
        .pending_cloudwatch_logs_exports(logs)
        .build();
    let parameters =
        DbParameterGroupStatus::builder().db_parameter_group_name("p").parameter_apply_status("pending-reboot");
    let instance = DbInstance::builder()
        .db_instance_identifier("Orders")
        .db_instance_status("available")
        .engine("postgres")
        .multi_az(false)
        .db_instance_port(0)
        .endpoint(Endpoint::builder().address("host").port(5_432).build())
        .vpc_security_groups(group("sg-1", "active"))
        .vpc_security_groups(group("sg-2", "removing"))
        .vpc_security_groups(group("sg-3", "adding"))
        .db_parameter_groups(parameters.build())
        .option_group_memberships(option_group("old", "pending-maintenance-removal"))
        .option_group_memberships(option_group("new", "pending-maintenance-apply"))
        .enabled_cloudwatch_logs_exports("a")
        .pending_modified_values(waits)
        .master_user_secret(MasterUserSecret::builder().secret_arn("arn:secret").kms_key_id("k").build())
        .dbi_resource_id("db-ABC")
        .percent_progress("")
        .tag_list(Tag::builder().key("team").value("shop").build())
        .build();
    let observed = sdk::observed(instance);
    assert_eq!((observed.identifier.as_str(), observed.host.as_deref()), ("orders", Some("host")));
    assert_eq!((observed.progress, observed.parameters_wait), (None, true));
    assert_eq!(observed.secret.unwrap().arn, "arn:secret");
    assert_eq!(observed.tags, [("team".to_owned(), "shop".to_owned())].into());
    for (field, value) in [
        (Field::Port, Value::Number(5_432)),
        (Field::SecurityGroups, set(&["sg-1", "sg-3"])),
        (Field::OptionGroup, text("old")),
        (Field::ParameterGroup, text("p")),
        (Field::LogExports, set(&["a"])),
    ] {
        assert_eq!(observed.values.get(&field), Some(&value), "{field:?}");
    }
    let pending: Values =
        [(Field::MultiAz, Value::Switch(true)), (Field::OptionGroup, text("new")), (Field::LogExports, set(&["b"]))]
            .into();
    assert_eq!(observed.pending, pending);
    assert_eq!(observed.other_pending, [("DedicatedLogVolume".to_owned(), "true".to_owned())].into());
}

#[test]
fn an_option_group_that_is_being_applied_is_in_effect() {
    for (memberships, expected) in [
        (vec![("a", "in-sync")], Some("a")),
        (vec![("a", "pending-removal"), ("b", "pending-apply")], Some("b")),
        (vec![("a", "removing"), ("b", "applying")], Some("b")),
        (vec![("a", "removing")], Some("a")),
        (vec![], None),
    ] {
        let groups = memberships.iter().map(|(name, status)| option_group(name, status)).collect();
        let observed = sdk::observed(DbInstance::builder().set_option_group_memberships(Some(groups)).build());
        assert_eq!(observed.values.get(&Field::OptionGroup), expected.map(text).as_ref(), "{memberships:?}");
        assert!(observed.pending.is_empty());
    }
}

#[test]
fn classes_of_errors() {
    let optimised = "The storage of this DB instance is being optimized: wait 6 hours";
    for (code, message, class) in [
        ("DBInstanceNotFound", "", Some(ErrorClass::NotFound)),
        ("DBInstanceNotFoundFault", "", Some(ErrorClass::NotFound)),
        ("DBInstanceAlreadyExists", "", Some(ErrorClass::Conflict)),
        ("DBSnapshotAlreadyExistsFault", "", Some(ErrorClass::Conflict)),
        ("InvalidDBInstanceState", "", Some(ErrorClass::Later(10))),
        ("InvalidDBInstanceStateFault", "", Some(ErrorClass::Later(10))),
        ("InvalidVPCNetworkStateFault", "", Some(ErrorClass::Later(10))),
        ("InvalidParameterCombination", optimised, Some(ErrorClass::Later(600))),
        ("InvalidDBInstanceState", optimised, Some(ErrorClass::Later(600))),
        ("InstanceQuotaExceeded", "", Some(ErrorClass::Later(300))),
        ("InsufficientDBInstanceCapacityFault", "", Some(ErrorClass::Later(300))),
        ("ProvisionedIopsNotAvailableInAZFault", "", Some(ErrorClass::Later(300))),
        ("DBSubnetGroupNotFoundFault", "", Some(ErrorClass::Dependency)),
        ("DBParameterGroupNotFound", "", Some(ErrorClass::Dependency)),
        ("OptionGroupNotFoundFault", "", Some(ErrorClass::Dependency)),
        ("CertificateNotFound", "", Some(ErrorClass::Dependency)),
        ("KMSKeyNotAccessibleFault", "", Some(ErrorClass::Dependency)),
        // A snapshot to restore from, not the instance.
        ("DBSnapshotNotFound", "", Some(ErrorClass::Dependency)),
        ("InvalidParameterValue", "", Some(ErrorClass::Terminal)),
        ("InvalidParameterValue", "IAM role ARN value is invalid", Some(ErrorClass::PerhapsTerminal)),
        ("InvalidParameterCombination", "storage type", Some(ErrorClass::Terminal)),
        ("StorageTypeNotSupported", "", Some(ErrorClass::Terminal)),
        ("DBSubnetGroupDoesNotCoverEnoughAZs", "", Some(ErrorClass::Terminal)),
        ("InvalidSubnet", "", Some(ErrorClass::Terminal)),
        ("Throttling", "", None),
    ] {
        assert_eq!(RdsInstance::classify(code, message), class, "{code} {message}");
    }
}

#[test]
fn an_instance_is_known_by_its_name_and_told_in_status() {
    let identity = Identity {
        account_id: "123456789012".into(),
        partition: "aws-cn".into(),
        region: "cn-north-1".into(),
        name: "Orders".into(),
        adopted: false,
        created: false,
    };
    assert_eq!(RdsInstance::arn(&identity), "arn:aws-cn:rds:cn-north-1:123456789012:db:orders");
    let id = InstanceId("orders".into());
    assert_eq!(RdsInstance::handle_of(&identity), Some(id.clone()));
    let mut status = RdsInstance::status(&id, &instance());
    for (field, value) in [
        ("ready", json!("available")),
        ("endpoint", json!("orders.abc.eu-west-1.rds.amazonaws.com")),
        ("port", json!(5_432)),
        ("allocatedStorage", json!(20)),
        ("multiAZ", json!(false)),
        ("dbiResourceID", json!("db-ABC")),
    ] {
        assert_eq!(status.get(field), Some(&value), "{field}");
    }
    // What is no longer so leaves the status.
    assert!(status["progress"].is_null() && status["masterUserSecretARN"].is_null());
    status.insert("identity".into(), json!(identity));
    assert_eq!(RdsInstance::handle(&status), Some(id));
    status.insert("dbiResourceID".into(), Json::Null);
    assert_eq!(RdsInstance::handle(&status), None);
}

#[test]
fn what_accounts_may_restrict_is_named() {
    let spec = spec(postgres(json!({
        "kmsKeyId": "k", "monitoringRoleARN": "r", "restoreFromSnapshot": "s",
        "performanceInsights": { "kmsKeyId": "p" }, "credentials": { "managedByAWS": { "kmsKeyId": "m" } },
    })));
    let named: Vec<_> =
        RdsInstance::named_arns(&spec).into_iter().map(|it| format!("{} {}", it.field, it.value)).collect();
    assert_eq!(
        named,
        [
            "kmsKeyId k",
            "performanceInsights.kmsKeyId p",
            "credentials.managedByAWS.kmsKeyId m",
            "monitoringRoleARN r",
            "restoreFromSnapshot s",
        ]
    );
}

#[test]
fn the_schema_knows_every_managed_field() {
    let crd = serde_json::to_value(RdsInstance::crd()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    for field in RdsInstance::FIELDS {
        let schema = field.split('.').fold(spec, |schema, part| &schema["properties"][part]);
        assert!(schema.is_object(), "{field}");
    }
}
