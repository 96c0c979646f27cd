//! One commit for many writes, and no answer before it.

use bytes::Bytes;
use sqlx::Connection as _;
use tower_oauth::store::{
    Changes, CommitPoint, Insert, Key, Kind, Record, Replace, SqliteStore, Store as _, StoreError,
};
use tower_oauth::types::Timestamp;

use crate::support::{
    Asked, Held, NOW, asked_insert, causes, count, file, is_answered, key, now, raw, record,
};

#[tokio::test]
async fn writes_that_wait_share_one_commit_and_none_is_answered_before_it() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let mut held = Held::each_commit(&store);

    let mut first = asked_insert(&store, 0);
    held.at(CommitPoint::Before).await;
    let mut fifty: Vec<_> = (1..=50)
        .map(|number| asked_insert(&store, number))
        .collect();
    assert!(!is_answered(&mut first));
    assert_eq!(
        store.get(key(0)).await.unwrap(),
        None,
        "what is not committed is not seen"
    );
    held.let_go();
    held.at(CommitPoint::After).await;
    assert!(
        !is_answered(&mut first),
        "the answer follows the commit, it does not race with it"
    );
    held.let_go();
    assert!(matches!(first.await.unwrap(), Insert::Inserted(_)));

    held.at(CommitPoint::Before).await;
    assert!(!fifty.iter_mut().any(is_answered));
    assert_eq!(store.get(key(1)).await.unwrap(), None);
    held.let_go();
    held.at(CommitPoint::After).await;
    assert!(!fifty.iter_mut().any(is_answered));
    assert!(store.get(key(50)).await.unwrap().is_some());
    held.let_go();
    for asked in fifty {
        assert!(matches!(asked.await.unwrap(), Insert::Inserted(_)));
    }
    assert!(
        held.at.try_recv().is_err(),
        "fifty answers needed more than one commit"
    );
}

#[tokio::test]
async fn what_is_put_together_is_put_as_if_one_came_after_another() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let token = |number| Key::new(Kind::AccessToken, key(number).digest);
    let put = |number, expires_at, now| {
        let store = store.clone();
        let record = Record::new(Bytes::from_static(b"{}"), expires_at);
        async move { store.insert(token(number), record, now).await }
    };
    let earlier = Timestamp::from_secs(NOW - 10);
    put(1, now(), earlier).await.unwrap();
    put(2, Timestamp::MAX, earlier).await.unwrap();

    let mut held = Held::each_commit(&store);
    let first = asked_insert(&store, 0);
    held.at(CommitPoint::Before).await;
    // By now 1 has expired and 2 stands; 3 and 1 come twice.
    let numbers = [3, 1, 2, 3, 4, 5, 6, 7, 8, 1];
    let together = numbers.map(|number| {
        let mut asked: Asked<Insert> = Box::pin(put(number, Timestamp::MAX, now()));
        assert!(!is_answered(&mut asked));
        (number, asked)
    });
    store.on_commit(|_| async { Ok(()) });
    held.let_go();
    first.await.unwrap();
    let mut inserted = Vec::new();
    for (number, asked) in together {
        if let Insert::Inserted(version) = asked.await.unwrap() {
            let (_, stands) = store.get(token(number)).await.unwrap().unwrap();
            assert_eq!(stands, version, "{number}");
            inserted.push(number);
        }
    }
    assert_eq!(inserted, [3, 1, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn a_commit_that_fails_fails_its_whole_group_and_nothing_of_it_stands() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let Insert::Inserted(read) = store.insert(key(0), record("0"), now()).await.unwrap() else {
        panic!("nothing stood there");
    };
    let before = store.get(key(0)).await.unwrap();
    let Changes::Lost { next: cursor } = store.changes(None).await.unwrap() else {
        panic!("a first call says Lost");
    };

    // The first group is held, so that all others are in the second; that one fails.
    let mut held = Held::each_commit(&store);
    let first = asked_insert(&store, 99);
    held.at(CommitPoint::Before).await;
    let mut replace: Asked<Replace> = Box::pin({
        let store = store.clone();
        async move {
            let mut dead = record("2");
            dead.announce = true;
            store.replace(key(0), read, dead).await
        }
    });
    assert!(!is_answered(&mut replace));
    let inserts: Vec<_> = (1..10).map(|number| asked_insert(&store, number)).collect();
    store.on_commit(|point| async move {
        match point {
            CommitPoint::Before => Err(StoreError::new("the disk is full")),
            CommitPoint::After => Ok(()),
        }
    });
    held.let_go();
    assert!(matches!(first.await.unwrap(), Insert::Inserted(_)));

    assert!(causes(&replace.await.unwrap_err()).contains("the disk is full"));
    for insert in inserts {
        assert!(causes(&insert.await.unwrap_err()).contains("the disk is full"));
    }
    assert_eq!(store.get(key(0)).await.unwrap(), before);
    for number in 1..10 {
        assert_eq!(store.get(key(number)).await.unwrap(), None);
    }

    // The store goes on, and the feed has told nothing of what has not happened.
    store.on_commit(|_| async { Ok(()) });
    assert!(store.remove(key(99)).await.unwrap().is_some());
    assert!(matches!(
        store.replace(key(0), read, record("3")).await.unwrap(),
        Replace::Replaced(_)
    ));
    let Changes::Events { dead, .. } = store.changes(Some(cursor)).await.unwrap() else {
        panic!("next to nothing has happened");
    };
    assert_eq!(dead, [key(99)]);
}

#[tokio::test]
async fn a_commit_that_sqlite_refuses_and_a_statement_that_fails_fail_the_whole_group() {
    let tampering = [
        // A deferred foreign key fails at COMMIT.
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER fail AFTER INSERT ON records WHEN NEW.kind = 'device'
         BEGIN INSERT INTO child VALUES (1); END",
        "CREATE TRIGGER fail AFTER INSERT ON records WHEN NEW.kind = 'device'
         BEGIN SELECT RAISE(ABORT, 'no device today'); END",
        // This one takes the transaction with it.
        "CREATE TRIGGER fail AFTER INSERT ON records WHEN NEW.kind = 'device'
         BEGIN SELECT RAISE(ROLLBACK, 'no device today'); END",
    ];
    for sql in tampering {
        let (_folder, path) = file();
        let store = SqliteStore::open(&path).await.unwrap();
        let mut other = raw(&path).await;
        sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
        other.close().await.unwrap();

        let mut held = Held::each_commit(&store);
        let first = asked_insert(&store, 0);
        held.at(CommitPoint::Before).await;
        let mut good: Vec<_> = (1..10).map(|number| asked_insert(&store, number)).collect();
        let mut bad: Asked<Insert> = Box::pin({
            let store = store.clone();
            async move {
                let device = Key::new(Kind::Device, key(0).digest);
                store.insert(device, record("1"), now()).await
            }
        });
        assert!(!is_answered(&mut bad));
        good.push(asked_insert(&store, 10));
        store.on_commit(|_| async { Ok(()) });
        held.let_go();
        assert!(matches!(first.await.unwrap(), Insert::Inserted(_)));
        bad.await.unwrap_err();
        for asked in good {
            asked.await.unwrap_err();
        }
        assert_eq!(count(&path, "SELECT count(*) FROM records").await, 1);
        assert_eq!(count(&path, "SELECT count(*) FROM owners").await, 1);
        let again = store.insert(key(1), record("1"), now()).await.unwrap();
        assert!(
            matches!(again, Insert::Inserted(_)),
            "the store has not recovered"
        );
    }
}

#[tokio::test]
async fn an_error_after_the_commit_loses_the_answer_and_not_the_write() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    store.on_commit(|point| async move {
        match point {
            CommitPoint::Before => Ok(()),
            CommitPoint::After => Err(StoreError::new("nobody hears")),
        }
    });
    store.insert(key(0), record("1"), now()).await.unwrap_err();
    assert!(store.get(key(0)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_write_whose_caller_has_gone_away_harms_nobody() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let mut held = Held::each_commit(&store);
    drop(asked_insert(&store, 0));
    held.at(CommitPoint::Before).await;
    drop(asked_insert(&store, 1));
    let last = asked_insert(&store, 2);
    store.on_commit(|_| async { Ok(()) });
    held.let_go();
    assert!(matches!(last.await.unwrap(), Insert::Inserted(_)));
    for number in 0..3 {
        assert!(store.get(key(number)).await.unwrap().is_some());
    }
}
