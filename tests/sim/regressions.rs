//! Stories that once broke an invariant. Each was seen failing before what it shows was mended.

use std::path::Path;

use neap::protocol::pbs::Preset;
use neap::sim::file::File;

#[test]
fn what_was_mended_stays_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let file =
            File::parse(&std::fs::read_to_string(&path).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let scenario = file.scenario(Preset::named(&file.latency).unwrap().legs()).unwrap();
        let run = || scenario.run(scenario.ring().unwrap()).unwrap();
        let (outcome, again) = (run(), run());
        assert_eq!(outcome.violation, None, "{name}");
        assert_eq!(outcome.hash, again.hash, "{name} runs another way each time");
        count += 1;
    }
    assert!(count >= 12, "only {count} stories were found");
}
