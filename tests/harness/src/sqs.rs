//! AWS clients for assertions, independent of the operator's and of the
//! environment: plain HTTP, fixed credentials, no retries.

use aws_credential_types::Credentials;
use aws_smithy_http_client::Builder;

/// An SQS client for an emulator.
pub fn sqs_client(endpoint: &str, access_key: &str, region: &str) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
        .http_client(Builder::new().build_http())
        .retry_config(aws_sdk_sqs::config::retry::RetryConfig::disabled())
        .endpoint_url(endpoint)
        .credentials_provider(credentials(access_key))
        .region(aws_sdk_sqs::config::Region::new(region.to_owned()))
        .build();
    aws_sdk_sqs::Client::from_conf(config)
}

/// An RDS client for an emulator.
pub fn rds_client(endpoint: &str, access_key: &str, region: &str) -> aws_sdk_rds::Client {
    let config = aws_sdk_rds::Config::builder()
        .behavior_version(aws_sdk_rds::config::BehaviorVersion::latest())
        .http_client(Builder::new().build_http())
        .retry_config(aws_sdk_rds::config::retry::RetryConfig::disabled())
        .endpoint_url(endpoint)
        .credentials_provider(credentials(access_key))
        .region(aws_sdk_rds::config::Region::new(region.to_owned()))
        .build();
    aws_sdk_rds::Client::from_conf(config)
}

/// An STS client for an emulator.
pub fn sts_client(endpoint: &str, access_key: &str, region: &str) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
        .http_client(Builder::new().build_http())
        .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
        .endpoint_url(endpoint)
        .credentials_provider(credentials(access_key))
        .region(aws_sdk_sts::config::Region::new(region.to_owned()))
        .build();
    aws_sdk_sts::Client::from_conf(config)
}

fn credentials(access_key: &str) -> Credentials {
    Credentials::new(access_key, "test", None, None, "harness")
}
