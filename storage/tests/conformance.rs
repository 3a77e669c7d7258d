//! Every store passes the one suite.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod place;

use std::sync::{Arc, Mutex};

use bellhop_engine::ports::Store;
use bellhop_storage::conformance::{CASES, Factory, Opening};
use bellhop_storage::{Embedded, EmbeddedOptions, Model};
use place::Place;

struct EmbeddedFactory(Mutex<Option<Place>>);

impl Factory for EmbeddedFactory {
    fn open(&self) -> Opening<'_> {
        Box::pin(async {
            let place = Place::new("conformance");
            let store = Embedded::open(place.path(), EmbeddedOptions::new()).map_err(|error| error.to_string())?;
            *self.0.lock().unwrap() = Some(place);
            Ok(Arc::new(store) as Arc<dyn Store>)
        })
    }

    fn reopen(&self, store: Arc<dyn Store>) -> Opening<'_> {
        Box::pin(async move {
            store.close().await.map_err(|error| error.to_string())?;
            let path = self.0.lock().unwrap().as_ref().expect("a store was opened").path().to_owned();
            // The old handle still lives: closing must have let the directory go.
            let again = Embedded::open(path, EmbeddedOptions::new()).map_err(|error| error.to_string())?;
            drop(store);
            Ok(Arc::new(again) as Arc<dyn Store>)
        })
    }
}

struct ModelFactory(Mutex<(u64, Option<Model>)>);

impl Factory for ModelFactory {
    fn open(&self) -> Opening<'_> {
        let mut last = self.0.lock().unwrap();
        last.0 += 1;
        let model = Model::new(last.0);
        last.1 = Some(model.clone());
        Box::pin(async { Ok(Arc::new(model) as Arc<dyn Store>) })
    }

    fn reopen(&self, store: Arc<dyn Store>) -> Opening<'_> {
        Box::pin(async move {
            store.close().await.map_err(|error| error.to_string())?;
            let mut last = self.0.lock().unwrap();
            let model = last.1.as_ref().expect("a store was opened").reopen();
            last.1 = Some(model.clone());
            Ok(Arc::new(model) as Arc<dyn Store>)
        })
    }
}

async fn run_all(store: &str, factory: &dyn Factory) {
    let mut broken = Vec::new();
    for case in CASES {
        let begun = std::time::Instant::now();
        let outcome = (case.run)(factory).await;
        println!(
            "{:>6} ms  {}  {}",
            begun.elapsed().as_millis(),
            if outcome.is_ok() { "ok    " } else { "BROKEN" },
            case.name
        );
        if let Err(what) = outcome {
            broken.push(format!("{}: {what}", case.name));
        }
    }
    println!(
        "PROOF {{\"promise\":\"G1 G2 G3 G6 G10\",\"attack\":\"the conformance suite of the store\",\"store\":\"{store}\",\
         \"count\":\"{} cases\",\"result\":\"{} broken\",\"passed\":{},\"seed\":0}}",
        CASES.len(),
        broken.len(),
        broken.is_empty()
    );
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_keeps_every_promise_of_the_trait() {
    run_all("embedded", &EmbeddedFactory(Mutex::new(None))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_keeps_every_promise_of_the_trait() {
    run_all("model", &ModelFactory(Mutex::new((0, None)))).await;
}
