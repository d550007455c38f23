use super::*;

fn next(from: DeploymentState) -> Vec<DeploymentState> {
    DeploymentState::ALL.into_iter().filter(|to| is_legal(from, *to)).collect()
}

#[test]
fn the_end_is_the_end() {
    for state in [Stopped, Superseded, Failed] {
        assert_eq!(next(state), [], "{state:?}");
    }
}

#[test]
fn every_state_leads_to_an_end_and_comes_from_the_start() {
    let reach = |from| {
        let mut seen = vec![from];
        let mut at = 0;
        while let Some(state) = seen.get(at).copied() {
            seen.extend(next(state).into_iter().filter(|to| !seen.contains(to)).collect::<Vec<_>>());
            at += 1;
        }
        seen
    };
    for state in DeploymentState::ALL {
        assert!(reach(Queued).contains(&state), "{state:?} is never reached");
        assert!(
            reach(state).into_iter().any(|state| matches!(state, Stopped | Superseded | Failed)),
            "{state:?}"
        );
    }
}

#[test]
fn the_way_is_one_way() {
    assert!(!is_legal(Built, Queued), "what was published is not built again");
    assert!(!is_legal(Building, Fetching));
    assert!(!is_legal(Queued, Running) && !is_legal(Built, Running) && !is_legal(Precompiling, Starting));
    assert!(!is_legal(Running, Superseded), "it drains first");
    assert!(!is_legal(Running, Running) && !is_legal(Stopping, Running));
    assert!(is_legal(Fetching, Built), "all of it may come from a cache");
}
