//! Owns the generation of sequences from a seed. Each sequence draws from one or two themes, so that related actions
//! meet more often than by chance.

use proptest::{
    collection::vec,
    prelude::{Just, Strategy},
    sample::select,
    strategy::{BoxedStrategy, Union, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{
    action::{Action, ClassChange, Skew, SpecChange},
    names::{Class, Persona, Space},
};

/// The actions of each round, in their order.
pub(super) type Rounds = Vec<Vec<Action>>;

/// The number of rounds of a sequence.
pub(super) const ROUNDS: usize = 12;
/// The maximum number of actions of one round.
const MAX_ACTIONS: usize = 3;

/// A sequence that can be made shorter.
pub(super) struct Sequence(Box<dyn ValueTree<Value = Rounds>>);

impl Sequence {
    /// The sequence of that number.
    pub(super) fn new(seed: u64, number: u64) -> anyhow::Result<Self> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&number.to_le_bytes());
        let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let tree =
            rounds().new_tree(&mut runner).map_err(|reason| anyhow::anyhow!("no sequence can be made up: {reason}"))?;
        Ok(Self(Box::new(tree)))
    }

    /// Its rounds.
    pub(super) fn rounds(&self) -> Rounds {
        self.0.current()
    }

    /// Simplifies the sequence; returns false if it cannot be simpler.
    pub(super) fn simplify(&mut self) -> bool {
        self.0.simplify()
    }

    /// Reverts the last simplification in part; returns false if that is not possible.
    pub(super) fn complicate(&mut self) -> bool {
        self.0.complicate()
    }
}

fn rounds() -> impl Strategy<Value = Rounds> {
    let themes = [
        lifetimes(),
        protections(),
        owner_limits(),
        classes(),
        releases(),
        limits(),
        space_names(),
        isolation(),
        transfers(),
        backups(),
    ];
    let theme = select(themes.to_vec());
    (theme.clone(), theme, first_action()).prop_flat_map(|(one, other, first)| {
        let action = Union::new_weighted(vec![(5, one), (3, other), (2, anything())]);
        let later = vec(vec(action, 0..=MAX_ACTIONS), ROUNDS - 1);
        (Just(first), later).prop_map(|(first, mut later)| {
            later.insert(0, vec![first]);
            later
        })
    })
}

/// Most sequences begin with a space.
fn first_action() -> impl Strategy<Value = Action> {
    (select(Class::ALL.to_vec()), spec_change())
        .prop_map(|(class, change)| Action::Create(Persona::Ana, Space::One, class, change))
}

fn persona() -> impl Strategy<Value = Persona> {
    select(vec![Persona::Ana, Persona::Ana, Persona::Ana, Persona::Bea, Persona::Cem, Persona::Admin])
}

fn owner() -> impl Strategy<Value = Persona> {
    select(vec![
        Persona::Ana,
        Persona::Ana,
        Persona::Ana,
        Persona::Ana,
        Persona::Ana,
        Persona::Bea,
        Persona::Bea,
        Persona::Admin,
    ])
}

fn space() -> impl Strategy<Value = Space> {
    select(vec![Space::One, Space::One, Space::One, Space::Two, Space::Three])
}

fn class() -> impl Strategy<Value = Class> {
    select(Class::ALL.to_vec())
}

fn spec_change() -> impl Strategy<Value = SpecChange> {
    select(vec![
        SpecChange::Nothing,
        SpecChange::Nothing,
        SpecChange::Nothing,
        SpecChange::Ttl("8m"),
        SpecChange::Ttl("12m"),
        SpecChange::Ttl("18m"),
        SpecChange::Ttl("3h"),
        SpecChange::Ttl("never"),
        SpecChange::Until(9),
        SpecChange::Until(25),
        SpecChange::Protected(true),
        SpecChange::Retain(true),
        SpecChange::Pods("15"),
        SpecChange::Defaults("300m"),
    ])
}

fn change_spec(changes: &[SpecChange]) -> BoxedStrategy<Action> {
    (owner(), space(), select(changes.to_vec()))
        .prop_map(|(persona, space, change)| Action::ChangeSpec(persona, space, change))
        .boxed()
}

fn change_class(changes: &[ClassChange]) -> BoxedStrategy<Action> {
    (class(), select(changes.to_vec())).prop_map(|(class, change)| Action::ChangeClass(class, change)).boxed()
}

fn create() -> BoxedStrategy<Action> {
    (owner(), space(), class(), spec_change())
        .prop_map(|(persona, space, class, change)| Action::Create(persona, space, class, change))
        .boxed()
}

fn renew() -> BoxedStrategy<Action> {
    (owner(), space(), select(Skew::ALL.to_vec()))
        .prop_map(|(persona, space, skew)| Action::Renew(persona, space, skew))
        .boxed()
}

fn change_of_class() -> BoxedStrategy<Action> {
    (owner(), space(), class()).prop_map(|(persona, space, class)| Action::Move(persona, space, class)).boxed()
}

fn delete() -> BoxedStrategy<Action> {
    (owner(), space()).prop_map(|(persona, space)| Action::Delete(persona, space)).boxed()
}

fn one_of(actions: Vec<(u32, BoxedStrategy<Action>)>) -> BoxedStrategy<Action> {
    Union::new_weighted(actions).boxed()
}

fn lifetimes() -> BoxedStrategy<Action> {
    let ttl = change_spec(&[
        SpecChange::Ttl("8m"),
        SpecChange::Ttl("12m"),
        SpecChange::Ttl("18m"),
        SpecChange::Ttl("3h"),
        SpecChange::Ttl("never"),
        SpecChange::Until(7),
        SpecChange::Until(40),
    ]);
    let synced = (select(vec![Persona::Ana, Persona::Admin]), space(), proptest::bool::ANY);
    let synced = synced.prop_map(
        |(persona, space, apply)| if apply { Action::Apply(persona, space) } else { Action::Replace(persona, space) },
    );
    one_of(vec![(4, renew()), (3, ttl), (1, synced.boxed()), (1, change_of_class())])
}

fn protections() -> BoxedStrategy<Action> {
    let asked = change_spec(&[
        SpecChange::Protected(true),
        SpecChange::Protected(true),
        SpecChange::Protected(false),
        SpecChange::Protected(false),
        SpecChange::Ttl("never"),
    ]);
    let consent = change_class(&[
        ClassChange::Protected(true),
        ClassChange::Protected(false),
        ClassChange::Never(true),
        ClassChange::Never(false),
    ]);
    one_of(vec![(4, asked), (1, consent), (1, delete()), (1, change_of_class())])
}

fn owner_limits() -> BoxedStrategy<Action> {
    let limit = change_class(&[
        ClassChange::Limit(0),
        ClassChange::Limit(1),
        ClassChange::Limit(1),
        ClassChange::Limit(2),
        ClassChange::Limit(3),
    ]);
    one_of(vec![(4, create()), (3, change_of_class()), (1, limit), (1, delete())])
}

fn classes() -> BoxedStrategy<Action> {
    let warnings = [ClassChange::Warn(&["8m", "3m"]), ClassChange::Warn(&["20s"])];
    let others = [
        ClassChange::Typo,
        ClassChange::Typo,
        ClassChange::Tighten,
        ClassChange::Loosen,
        ClassChange::Level("restricted"),
        ClassChange::Level("baseline"),
    ];
    let edited = change_class(&[&others[..], &warnings[..]].concat());
    let gone = (class(), proptest::bool::ANY)
        .prop_map(|(class, gone)| if gone { Action::DeleteClass(class) } else { Action::CreateClass(class) });
    one_of(vec![(3, edited), (2, gone.boxed()), (2, renew()), (1, change_of_class())])
}

fn releases() -> BoxedStrategy<Action> {
    let asked = change_spec(&[SpecChange::Retain(true), SpecChange::Retain(true), SpecChange::Retain(false)]);
    one_of(vec![
        (3, asked),
        (3, delete()),
        (1, change_class(&[ClassChange::Retain(true), ClassChange::Retain(false)])),
        (2, create()),
        (1, change_of_class()),
    ])
}

fn limits() -> BoxedStrategy<Action> {
    let asked = change_spec(&[
        SpecChange::Pods("15"),
        SpecChange::Pods("30"),
        SpecChange::LoadBalancers,
        SpecChange::Defaults("300m"),
        SpecChange::Defaults("4"),
        SpecChange::Member(true),
    ]);
    let edited = change_class(&[
        ClassChange::Ceiling(true),
        ClassChange::Ceiling(false),
        ClassChange::Pods("5"),
        ClassChange::Pods("10"),
    ]);
    one_of(vec![(3, asked), (2, edited), (1, change_of_class())])
}

fn space_names() -> BoxedStrategy<Action> {
    let odd = select(vec![Space::Ingress, Space::Denied, Space::Dashless]);
    let made = (owner(), odd.clone(), class())
        .prop_map(|(persona, space, class)| Action::Create(persona, space, class, SpecChange::Nothing));
    let moved = (owner(), odd, class()).prop_map(|(persona, space, class)| Action::Move(persona, space, class));
    one_of(vec![(3, made.boxed()), (1, moved.boxed()), (1, change_class(&[ClassChange::Limit(3)]))])
}

fn isolation() -> BoxedStrategy<Action> {
    let opened = (owner(), space(), proptest::bool::weighted(0.7));
    let opened = opened.prop_map(
        |(persona, space, open)| if open { Action::Open(persona, space) } else { Action::Shut(persona, space) },
    );
    one_of(vec![
        (3, opened.boxed()),
        (3, change_of_class()),
        (1, change_class(&[ClassChange::Enforced(true), ClassChange::Enforced(false)])),
    ])
}

fn transfers() -> BoxedStrategy<Action> {
    let handed = (persona(), space(), select(vec![Persona::Ana, Persona::Bea]))
        .prop_map(|(persona, space, to)| Action::HandOver(persona, space, to));
    let members = change_spec(&[SpecChange::Member(true), SpecChange::Member(false)]);
    one_of(vec![
        (4, handed.boxed()),
        (2, change_of_class()),
        (1, members),
        (1, renew()),
        (1, change_class(&[ClassChange::Transfer(true), ClassChange::Transfer(false)])),
    ])
}

fn backups() -> BoxedStrategy<Action> {
    let restored = (space(), proptest::bool::weighted(0.7));
    let restored =
        restored.prop_map(
            |(space, restore)| if restore { Action::RestoreNamespace(space) } else { Action::DeleteNamespace(space) },
        );
    one_of(vec![(3, restored.boxed()), (1, delete()), (1, change_spec(&[SpecChange::Until(6)]))])
}

fn anything() -> BoxedStrategy<Action> {
    one_of(vec![
        (2, create()),
        (2, renew()),
        (1, change_of_class()),
        (1, delete()),
        (1, change_spec(&[SpecChange::Ttl("8m"), SpecChange::Member(false), SpecChange::Nothing])),
    ])
}
