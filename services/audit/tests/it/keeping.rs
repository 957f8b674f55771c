//! The key of the signatures, and the work in the background from a start to a stop.

use coffre_audit::{Config, Error, is_signed};
use coffre_test_support::on_each_engine;
use tokio_util::sync::CancellationToken;

use crate::house::{self, CHECKPOINT_KEY, Stream};

const CHECKPOINTED: &str = "SELECT COALESCE(MAX(size), 0) AS id FROM checkpoints WHERE witnessed_at IS NOT NULL";

on_each_engine! {
    async fn a_log_is_opened_with_the_key_that_signed_it_alone(db: TestDb) {
        let house = house::open(&db).await;
        assert!(is_signed(&house.database).await.unwrap());
        let with = async |key: Vec<u8>| house::begin(&db, Config::default(), key).await.err();
        assert!(matches!(with(vec![1; 32]).await, Some(Error::WrongCheckpointKey)));
        assert!(matches!(with(vec![1; 31]).await, Some(Error::NoCheckpointKey(_))));
        assert!(with(CHECKPOINT_KEY.to_vec()).await.is_none());
    }

    async fn what_came_before_the_stop_is_signed_and_witnessed(db: TestDb) {
        let folder = tempfile::tempdir().unwrap();
        let witness = folder.path().join("audit.witness");
        let config = Config { witness_file: Some(witness.clone()), ..Config::default() };
        let (house, keeping) = {
            house::open(&db).await;
            house::begin(&db, config, CHECKPOINT_KEY.to_vec()).await.unwrap()
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(keeping.clone().run(stop.clone()));
        house.append(&[Stream::new().segment(40)]).await;
        stop.cancel();
        running.await.unwrap();
        assert_eq!(house.number(CHECKPOINTED).await, 40);
        assert_eq!((keeping.standing().size, keeping.standing().witnessed_size), (40, 40));
        assert!(std::fs::read_to_string(&witness).unwrap().contains("\n40\n"));
    }
}
