//! Create, resync, update, delete: what AWS has, what the status says, and how many calls it takes.

use anyhow::Result;
use serde_json::json;

use crate::world::{Aws, World, message};

#[tokio::test]
async fn the_shortest_queue() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    let object = world.in_sync("orders").await?;
    assert_eq!(object.data["status"]["visibleMessages"], 0, "zero is written");
    assert_eq!(message(&object, "Ready"), "");
    let calls = world.operations();
    assert_eq!(calls[..2], ["CreateQueue", "GetQueueAttributes"], "{calls:?}");
    assert!(calls[2..].iter().all(|call| call == "GetQueueAttributes" || call == "ListQueueTags"), "{calls:?}");
    assert_eq!(world.events("orders").await?, ["Created"]);
    world.delete("orders").await?;
    assert_eq!(world.queue_url(&world.aws_name("orders")).await?, None);
    Ok(())
}
