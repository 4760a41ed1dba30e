use super::*;
use hex_literal::hex;
use proptest::prelude::*;
use std::collections::HashSet;

/// A phrase of libsession's tests (`test_mnemonics.cpp`, made with oxen-core's and session-ios' implementations).
const PHRASE: &str = "amaze buffet cake entrance symptoms tiger lamb maze nestle python dusted faxed faxed";
const SEED: [u8; 16] = hex!("000102030405060708090a0b0c0d0e0f");

fn seed_of(phrase: &str) -> Result<[u8; 16], PhraseError> {
    decode(phrase).map(|seed| *seed)
}

fn with_word(position: usize, word: &str) -> String {
    let mut words: Vec<_> = PHRASE.split(' ').collect();
    words[position - 1] = word;
    words.join(" ")
}

#[test]
fn the_list_has_words_that_differ_in_their_first_letters() {
    assert_eq!(LIST.len(), LIST_LEN as usize);
    let prefixes: HashSet<_> = LIST.iter().map(|word| prefix(word)).collect();
    assert_eq!(prefixes.len(), LIST.len());
    assert!(LIST.iter().all(|word| word.len() > PREFIX && word.bytes().all(|byte| byte.is_ascii_lowercase())));
}

/// Pins the order of the list: libsession's vector for English.
#[test]
fn libsessions_words() {
    let seed = hex!(
        "0dd5d9bc3d68c25a396f4aacd922a4d620a19cf3c9054cb825dd8a2c5420f4f3"
        "ca314c582ffef5388df36e2546cc9103dd1776a634f676e1e631289b8d280b2e"
    );
    let words = concat!(
        "threaten efficient wives skirting repent ashtray rural ammo reunion yoyo already tucks ",
        "attire waxing uphill template ghetto anxiety utensils newt safety paper quote pebbles ",
        "album gnaw puppy tidy foxes menu evenings spying wallets plotting fuselage geometry ",
        "toilet cylinder swagger eels when tether cowl saga gossip vats bias federal",
    );
    let words: Vec<_> = words.split(' ').collect();
    for (seed, words) in seed.as_chunks().0.iter().zip(words.chunks(WORDS - 1)) {
        let phrase = encode(seed);
        assert_eq!(phrase.split(' ').take(WORDS - 1).collect::<Vec<_>>(), words);
    }
}

#[test]
fn libsessions_phrases() {
    assert_eq!(encode(&SEED).as_str(), PHRASE);
    assert_eq!(seed_of(PHRASE), Ok(SEED));
    assert_eq!(encode(&[0; 16]).as_str(), ["abbey"; WORDS].join(" "));
}

#[test]
fn the_first_three_letters_count_in_any_case_and_spacing() {
    let typed = "  AMAzing buffalo\tcakewalk entropy symbol tigger lambda\nmazurka nestling pyt dustpan FAX fax ";
    assert_eq!(seed_of(typed), Ok(SEED));
}

#[test]
fn the_wrong_word_is_named() {
    let error = seed_of(&with_word(5, "zymptoms")).unwrap_err();
    let suggestions = vec!["symptoms"];
    assert_eq!(error, PhraseError::UnknownWord { position: 5, word: "zymptoms".into(), suggestions });
    assert_eq!(error.to_string(), r#"word 5, "zymptoms", is not on the word list; did you mean symptoms?"#);

    let PhraseError::UnknownWord { position, suggestions, .. } = seed_of(&with_word(13, "afxed")).unwrap_err() else {
        panic!("not on the list");
    };
    assert_eq!((position, suggestions[0]), (13, "faxed"));

    let error = seed_of(&with_word(1, &"é".repeat(1000))).unwrap_err();
    assert_eq!(error.to_string(), format!("word 1, {:?}, is not on the word list", "é".repeat(LONGEST)));
}

#[test]
fn words_that_do_not_fit_are_refused() {
    for phrase in [
        with_word(13, "amaze"),
        with_word(12, "gagged"),
        with_word(1, "buffet"),
        PHRASE.replacen("amaze buffet", "buffet amaze", 1),
    ] {
        assert_eq!(seed_of(&phrase), Err(PhraseError::Checksum), "{phrase}");
    }
    assert_eq!(seed_of(""), Err(PhraseError::WordCount(0)));
    assert_eq!(seed_of(&PHRASE.replacen("amaze ", "", 1)), Err(PhraseError::WordCount(12)));
    assert_eq!(seed_of(&format!("{PHRASE} faxed")), Err(PhraseError::WordCount(14)));
}

/// `abbey abbey zoom` stands for more than 32 bits.
#[test]
fn words_no_bytes_make_are_refused() {
    let twelve = "amaze buffet cake abbey abbey zoom lamb maze nestle python dusted faxed";
    let right = twelve.split(' ').map(|last| seed_of(&format!("{twelve} {last}")));
    let errors: HashSet<_> = right.map(|seed| format!("{:?}", seed.unwrap_err())).collect();
    let expected = [PhraseError::Checksum, PhraseError::ImpossibleGroup { first: 4 }];
    assert_eq!(errors, expected.iter().map(|error| format!("{error:?}")).collect());
    assert!(expected[1].to_string().starts_with("words 4 to 6 "));
}

proptest! {
    #[test]
    fn every_seed_is_read_back(seed: [u8; 16]) {
        let phrase = encode(&seed);
        prop_assert_eq!(phrase.split(' ').count(), WORDS);
        prop_assert_eq!(seed_of(&phrase), Ok(seed));
    }

    #[test]
    fn what_is_typed_never_panics(phrase in ".{0,200}", words in prop::collection::vec("[a-z]{1,8}|[^ ]{0,4}", 13)) {
        let _ = decode(&phrase);
        let _ = decode(&words.join(" "));
    }

    #[test]
    fn words_of_the_list_in_any_order_are_a_phrase_or_not(picks: [u16; 13]) {
        let words: Vec<_> = picks.iter().map(|pick| LIST[usize::from(*pick) % LIST.len()]).collect();
        let phrase = words.join(" ");
        if let Ok(seed) = decode(&phrase) {
            let again = encode(&seed);
            prop_assert_eq!(again.as_str(), phrase);
        }
    }
}
