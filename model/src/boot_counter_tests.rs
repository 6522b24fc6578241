use super::*;

fn menu(id: &str, entries: usize) -> Menu {
    Menu { id: id.into(), entries }
}

#[test]
fn a_new_system_is_tried_three_times_then_left() {
    let new = menu("new", 2);
    let mut environment = Environment::default();
    environment.mark_good(&menu("old", 1));
    let mut taken = Vec::new();
    for _ in 0..5 {
        let (entry, next) = choose(&new, &environment);
        taken.push(entry);
        environment = next;
    }
    use Entry::{Newest, Previous};
    assert_eq!(taken, [Newest, Newest, Newest, Previous, Previous]);
    assert_eq!(environment.tried(&new), TRIES);
}

#[test]
fn a_good_system_is_never_left_and_the_first_one_has_nothing_before_it() {
    let mut environment = Environment::default();
    environment.mark_good(&menu("a", 2));
    let (entry, next) = choose(&menu("a", 2), &environment);
    assert_eq!((entry, &next), (Entry::Newest, &environment));
    let mut environment = Environment::default();
    for _ in 0..6 {
        let (entry, next) = choose(&menu("only", 1), &environment);
        assert_eq!(entry, Entry::Newest);
        environment = next;
    }
}

#[test]
fn a_block_has_the_size_that_grub_wants_and_reads_back() {
    let mut environment = Environment::parse(b"# GRUB Environment Block\nkept=1\n####");
    environment.mark_good(&menu("a", 1));
    let block = environment.block().expect("it fits");
    assert_eq!(block.len(), 1024);
    assert!(block.starts_with(b"# GRUB Environment Block\ngood=a\nkept=1\n###"));
    assert_eq!(Environment::parse(&block), environment);
    assert_eq!(Environment::parse(b"rubbish"), Environment::default());
}

#[test]
fn a_menu_says_its_id() {
    let text = "set menu_id=abc\nset menu_entries=2\nmenuentry \"x\" {\n}\n";
    assert_eq!(Menu::parse(text), Some(menu("abc", 2)));
    assert_eq!(Menu::parse("menuentry \"x\" {\n}\n"), None);
}
