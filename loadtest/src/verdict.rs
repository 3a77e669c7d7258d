//! What an attack came to, and the telling of it.

use crate::{
    args::Target,
    proof::{Proof, store},
};

#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) good: bool,
    pub(crate) count: String,
    pub(crate) result: String,
    pub(crate) seed: Option<u64>,
}

/// Prints the proof line of an attack, of one that could not be finished as well, and says whether all was as promised.
pub(crate) fn tell(
    promise: &'static str,
    attack: String,
    target: &Target,
    outcome: Result<Verdict, String>,
) -> Result<bool, String> {
    proof(promise, attack, store(target), &outcome).print();
    outcome.map(|verdict| verdict.good)
}

fn proof(promise: &'static str, attack: String, store: String, outcome: &Result<Verdict, String>) -> Proof {
    let (passed, count, result, seed) = match outcome {
        Ok(Verdict { good, count, result, seed }) => (*good, count.clone(), result.clone(), *seed),
        Err(why) => (false, "not finished".into(), why.lines().next().unwrap_or_default().into(), None),
    };
    Proof { promise, attack, store, count, result, passed, seed }
}

#[cfg(test)]
mod tests {
    use super::{Verdict, proof};

    #[test]
    fn an_attack_that_was_not_finished_is_not_passed() {
        let of = |outcome| proof("G8", "x".into(), "embedded".into(), &outcome);
        let failed = of(Err("the server ended by itself\nits last words".into()));
        assert_eq!((failed.passed, failed.result.as_str()), (false, "the server ended by itself"));
        for good in [true, false] {
            let verdict = Verdict { good, count: "1 stop".into(), result: "0 lost".into(), seed: Some(3) };
            let told = of(Ok(verdict));
            assert_eq!((told.passed, told.count.as_str(), told.seed), (good, "1 stop", Some(3)));
        }
    }
}
