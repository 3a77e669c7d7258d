//! The line that an attack ends with, for the table of promises (`cargo xtask prove`).

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) struct Proof<'a> {
    pub(crate) promise: &'a str,
    pub(crate) attack: &'a str,
    pub(crate) count: String,
    pub(crate) result: String,
    pub(crate) passed: bool,
    pub(crate) seed: u64,
}

/// Prints it. The texts are ours and hold nothing that JSON would escape.
pub(crate) fn line(proof: &Proof<'_>) {
    let Proof { promise, attack, count, result, passed, seed } = proof;
    assert!(![*promise, *attack, count, result].iter().any(|text| text.contains(['"', '\\', '\n'])));
    println!(
        "PROOF {{\"promise\":\"{promise}\",\"attack\":\"{attack}\",\"store\":\"embedded\",\"count\":\"{count}\",\
         \"result\":\"{result}\",\"passed\":{passed},\"seed\":{seed}}}"
    );
}

/// 41233 as 41,233.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
