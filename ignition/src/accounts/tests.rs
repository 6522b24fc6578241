//! A small system's accounts, changed.

use super::*;

fn accounts() -> Accounts {
    Accounts {
        passwd: "root:x:0:0:root:/root:/bin/bash\nold:x:1000:1000::/home/old:/bin/sh\n".into(),
        shadow: "root:*:1:0:99999:7:::\nold:!:1:0:99999:7:::\n".into(),
        group: "root:x:0:\nold:x:1000:\nops:x:500:old\n".into(),
        gshadow: "root:*::\nops:!::old\n".into(),
        vendor_passwd: String::new(),
        vendor_group: "sudo:x:27:\n".into(),
        subuid: Some("old:100000:65536\n".into()),
        subgid: None,
        default_shell: "/bin/bash".into(),
    }
}

fn user(name: &str) -> User {
    User::new(name.to_owned())
}

#[test]
fn a_new_user_gets_a_group_of_its_own_a_shell_and_no_password() {
    let mut have = accounts();
    let core = User { groups: Some(vec!["sudo".into(), "ops".into()]), ..user("core") };
    let home = have.apply_user(&core, 20_000).expect("possible");
    assert_eq!(home, Some(Home { path: "/home/core".into(), user: 1001, group: 1001, before: None }));
    assert!(have.passwd.ends_with("\ncore:x:1001:1001::/home/core:/bin/bash\n"));
    assert!(have.shadow.ends_with("\ncore:*:20000:0:99999:7:::\n"));
    assert!(have.group.contains("ops:x:500:old,core\n") && have.group.contains("core:x:1001:\n"));
    assert!(have.group.contains("sudo:x:27:core\n"), "the image's group is copied to be joined");
    assert_eq!(have.subuid.as_deref(), Some("old:100000:65536\ncore:165536:65536\n"));
    assert_eq!(have.subgid, None, "a file that is not there is not made");
    let once = have.clone();
    have.apply_user(&core, 20_001).expect("possible");
    assert!(have == once, "doing it again changes nothing");
}

#[test]
fn an_existing_user_is_changed_where_the_configuration_says_so() {
    let mut have = accounts();
    let old = User {
        password_hash: Some("$y$hash".into()),
        shell: Some("/bin/bash".into()),
        primary_group: Some("ops".into()),
        ..user("old")
    };
    have.apply_user(&old, 1).expect("possible");
    assert!(have.passwd.contains("old:x:1000:500::/home/old:/bin/bash\n"));
    assert!(have.shadow.contains("old:$y$hash:1:"));
    let wrong = User { uid: Some(0), ..user("old") };
    assert!(matches!(have.apply_user(&wrong, 1), Err(AccountError::Taken { .. })));
    let home = have.apply_user(&User { uid: Some(7), ..user("old") }, 1).expect("possible").expect("a home");
    assert_eq!((home.user, home.before.map(|before| before.user)), (7, Some(1000)));
    let lost = User { groups: Some(vec!["nobody-knows".into()]), ..user("old") };
    assert_eq!(have.apply_user(&lost, 1), Err(AccountError::NoGroup("nobody-knows".into())));
}

#[test]
fn users_and_groups_are_removed_when_they_should_not_exist() {
    let mut have = accounts();
    have.apply_user(&User { should_exist: Some(false), ..user("old") }, 1).expect("possible");
    assert!(!format!("{}{}{}{}", have.passwd, have.shadow, have.group, have.gshadow).contains("old"));
    assert_eq!(have.subuid.as_deref(), Some(""));
    let group = |gid, exist| Group { gid, should_exist: exist, ..Group::new("net".into()) };
    have.apply_group(&group(Some(700), None)).expect("possible");
    assert!(have.group.contains("net:x:700:\n") && have.gshadow.contains("net:*::\n"));
    assert!(matches!(have.apply_group(&group(Some(701), None)), Err(AccountError::GroupId { .. })));
    have.apply_group(&group(None, Some(false))).expect("possible");
    assert_eq!(have.group_id("net"), None);
}
