use super::*;
use clap::CommandFactory;

fn parse(args: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(["kubectl-botarmy"].into_iter().chain(args.split_whitespace()))
}

#[test]
fn the_command_line_makes_sense() {
    Cli::command().debug_assert();
}

#[test]
fn options_of_kubectl_stand_before_or_behind_the_command() {
    for args in [
        "-n shop --context here --kubeconfig /k watch a",
        "watch a --namespace shop --context here --kubeconfig=/k",
        "watch -n=shop botrun/a --context=here --kubeconfig /k",
    ] {
        let cli = parse(args).unwrap();
        let wanted = r#"Where { namespace: Some("shop"), context: Some("here"), kubeconfig: Some("/k") }"#;
        assert_eq!(format!("{:?}", cli.place), wanted, "{args}");
        assert!(format!("{:?}", cli.command).contains(r#"name: "a""#), "{args}");
    }
}

#[test]
fn each_command_is_understood() {
    for args in [
        "run f.yaml",
        "run - --name a --out r.json --out r.xml --timeout 1h30m",
        "run f.yaml --out r --format html",
        "run f.yaml --detach",
        "watch a --timeout 90 --out r.xml",
        "result a -o junit",
        "report a --out -",
        "logs a -f --runner 0 --tail 10",
        "logs a --follow",
        "scale a 0",
        "stop a",
        "stop a --wait --timeout 5m",
        "completion bash",
    ] {
        assert!(parse(args).is_ok(), "{args}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_a_word_about_it() {
    for (args, word) in [
        ("run", "<FILE>"),
        ("run f.yaml --detach --timeout 5m", "cannot be used with"),
        ("run f.yaml --detach --out r.json", "cannot be used with"),
        ("run f.yaml --format json", "--out <FILE>"),
        ("run f.yaml --timeout 5x", "is not a duration"),
        ("run f.yaml --timeout=-5s", "is negative"),
        ("watch pod/a", "something else than a BotRun"),
        ("watch ../a", "something else than a BotRun"),
        ("watch A", "a name is lower-case letters"),
        ("watch a -n B", "a name is lower-case letters"),
        ("result a -o yaml", "possible values: text, json, junit, csv, html"),
        ("logs a --runner=-1", "-1 is not in 0..="),
        ("logs a --tail x", "invalid digit"),
        ("scale a", "<BOTS>"),
        ("scale a -1", "-1 is not in 0..=1000000"),
        ("scale a 1000001", "1000001 is not in 0..=1000000"),
        ("stop a --timeout 5m", "--wait"),
        ("start a", "unrecognized subcommand"),
    ] {
        let error = parse(args).expect_err(args).to_string();
        assert!(error.contains(word), "{args}: {error}");
        assert!(!error.contains("kubectl-botarmy "), "people type kubectl botarmy: {error}");
    }
}

#[test]
fn only_what_was_not_begun_may_simply_be_tried_again() {
    let away = || cluster::Error::Unreachable("refused".to_owned());
    let (name, command) = ("a".to_owned(), String::new());
    let (watch, stop) = (command.clone(), command.clone());
    let lost = follow::Error::Lost { error: Box::new(away()), run: name.clone(), watch, stop };
    let ignored = follow::Error::NotPerformed { run: name.clone(), why: String::new(), stop: command };
    for (error, exit) in [
        (Error::Cluster(away()), 1),
        (Error::File("no".to_owned()), 1),
        (Error::OverBefore { name: name.clone(), outcome: "Passed" }, 1),
        (ignored.into(), 1),
        (lost.into(), 8),
        (follow::Error::Gone(name).into(), 8),
        (Error::PerhapsApplied(away()), 8),
    ] {
        assert_eq!(error.exit() as u8, exit, "{error}");
    }
}
