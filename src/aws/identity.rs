//! What a resource is: account, partition, region, name. Fixed before its first create.

use serde::{Deserialize, Serialize};

use super::Service;

/// What a resource is. Kept in an annotation, so that it survives the loss of status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The 12-digit account.
    #[serde(rename = "accountID")]
    pub account_id: String,
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: String,
    /// The region.
    pub region: String,
    /// The name in AWS.
    pub name: String,
    /// Whether the resource was there before its object.
    #[serde(default)]
    pub adopted: bool,
    /// Whether it has been there, where that matters: then it is not created again by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub created: bool,
}

/// The prefixes of region names outside the partition `aws`, as in the SDK's partition metadata.
const PARTITIONS: [(&str, &str); 7] = [
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("eu-isoe-", "aws-iso-e"),
    ("us-isof-", "aws-iso-f"),
    ("eusc-", "aws-eusc"),
];

/// The partition that `region` belongs to.
pub fn partition(region: &str) -> &'static str {
    PARTITIONS.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

impl Identity {
    /// The resource's ARN, where the service's ARNs end in the name alone, as those of SQS do.
    pub fn arn(&self, service: Service) -> String {
        let Self { account_id, partition, region, name, adopted: _, created: _ } = self;
        format!("arn:{partition}:{service}:{region}:{account_id}:{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions() {
        for (region, expected) in [
            ("eu-west-1", "aws"),
            ("us-east-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eusc-de-east-1", "aws-eusc"),
        ] {
            assert_eq!(partition(region), expected, "{region}");
        }
    }
}
