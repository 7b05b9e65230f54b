//! Owns the generation of sequences from a seed. Each sequence draws from one or two themes, so that related acts meet more often than by chance.

use proptest::{
    collection::vec,
    prelude::{Just, Strategy},
    sample::select,
    strategy::{BoxedStrategy, Union, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{
    act::{Act, Ask, Edit, Skew},
    cast::{Class, Space, Who},
};

/// The acts of each round, in their order.
pub type Rounds = Vec<Vec<Act>>;

/// The number of rounds of a sequence.
pub const ROUNDS: usize = 12;
/// The maximum number of acts of one round.
const ACTS: usize = 3;

/// A sequence that can be made shorter.
pub struct Sequence(Box<dyn ValueTree<Value = Rounds>>);

impl Sequence {
    /// The sequence of that number.
    pub fn new(seed: u64, number: u64) -> anyhow::Result<Self> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&number.to_le_bytes());
        let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let tree = rounds().new_tree(&mut runner).map_err(|reason| anyhow::anyhow!("no sequence can be made up: {reason}"))?;
        Ok(Self(Box::new(tree)))
    }

    /// Its rounds.
    pub fn rounds(&self) -> Rounds {
        self.0.current()
    }

    /// Simplifies the sequence; returns false if it cannot be simpler.
    pub fn simplify(&mut self) -> bool {
        self.0.simplify()
    }

    /// Reverts the last simplification in part; returns false if that is not possible.
    pub fn complicate(&mut self) -> bool {
        self.0.complicate()
    }
}

fn rounds() -> impl Strategy<Value = Rounds> {
    let themes = [times(), protections(), places(), classes(), releases(), limits(), names(), walls(), transfers(), backups()];
    let theme = select(themes.to_vec());
    (theme.clone(), theme, begin()).prop_flat_map(|(one, other, first)| {
        let act = Union::new_weighted(vec![(5, one), (3, other), (2, anything())]);
        let later = vec(vec(act, 0..=ACTS), ROUNDS - 1);
        (Just(first), later).prop_map(|(first, mut later)| {
            later.insert(0, vec![first]);
            later
        })
    })
}

/// Most sequences begin with a space.
fn begin() -> impl Strategy<Value = Act> {
    (select(Class::ALL.to_vec()), ask()).prop_map(|(class, ask)| Act::Create(Who::Ana, Space::One, class, ask))
}

fn who() -> impl Strategy<Value = Who> {
    select(vec![Who::Ana, Who::Ana, Who::Ana, Who::Bea, Who::Cem, Who::Admin])
}

fn owner() -> impl Strategy<Value = Who> {
    select(vec![Who::Ana, Who::Ana, Who::Ana, Who::Ana, Who::Ana, Who::Bea, Who::Bea, Who::Admin])
}

fn space() -> impl Strategy<Value = Space> {
    select(vec![Space::One, Space::One, Space::One, Space::Two, Space::Three])
}

fn class() -> impl Strategy<Value = Class> {
    select(Class::ALL.to_vec())
}

fn ask() -> impl Strategy<Value = Ask> {
    select(vec![
        Ask::Nothing,
        Ask::Nothing,
        Ask::Nothing,
        Ask::Ttl("8m"),
        Ask::Ttl("12m"),
        Ask::Ttl("18m"),
        Ask::Ttl("3h"),
        Ask::Ttl("never"),
        Ask::Until(9),
        Ask::Until(25),
        Ask::Protected(true),
        Ask::Retain(true),
        Ask::Pods("15"),
        Ask::Defaults("300m"),
    ])
}

fn asks(asks: &[Ask]) -> BoxedStrategy<Act> {
    (owner(), space(), select(asks.to_vec())).prop_map(|(who, space, ask)| Act::Ask(who, space, ask)).boxed()
}

fn edits(edits: &[Edit]) -> BoxedStrategy<Act> {
    (class(), select(edits.to_vec())).prop_map(|(class, edit)| Act::Edit(class, edit)).boxed()
}

fn create() -> BoxedStrategy<Act> {
    (owner(), space(), class(), ask()).prop_map(|(who, space, class, ask)| Act::Create(who, space, class, ask)).boxed()
}

fn renew() -> BoxedStrategy<Act> {
    (owner(), space(), select(Skew::ALL.to_vec())).prop_map(|(who, space, skew)| Act::Renew(who, space, skew)).boxed()
}

fn moving() -> BoxedStrategy<Act> {
    (owner(), space(), class()).prop_map(|(who, space, class)| Act::Move(who, space, class)).boxed()
}

fn delete() -> BoxedStrategy<Act> {
    (owner(), space()).prop_map(|(who, space)| Act::Delete(who, space)).boxed()
}

fn one_of(acts: Vec<(u32, BoxedStrategy<Act>)>) -> BoxedStrategy<Act> {
    Union::new_weighted(acts).boxed()
}

fn times() -> BoxedStrategy<Act> {
    let ttl = asks(&[Ask::Ttl("8m"), Ask::Ttl("12m"), Ask::Ttl("18m"), Ask::Ttl("3h"), Ask::Ttl("never"), Ask::Until(7), Ask::Until(40)]);
    let synced = (select(vec![Who::Ana, Who::Admin]), space(), proptest::bool::ANY);
    let synced = synced.prop_map(|(who, space, apply)| if apply { Act::Apply(who, space) } else { Act::Replace(who, space) });
    one_of(vec![(4, renew()), (3, ttl), (1, synced.boxed()), (1, moving())])
}

fn protections() -> BoxedStrategy<Act> {
    let asked = asks(&[Ask::Protected(true), Ask::Protected(true), Ask::Protected(false), Ask::Protected(false), Ask::Ttl("never")]);
    let consent = edits(&[Edit::Protected(true), Edit::Protected(false), Edit::Never(true), Edit::Never(false)]);
    one_of(vec![(4, asked), (1, consent), (1, delete()), (1, moving())])
}

fn places() -> BoxedStrategy<Act> {
    let limit = edits(&[Edit::Limit(0), Edit::Limit(1), Edit::Limit(1), Edit::Limit(2), Edit::Limit(3)]);
    one_of(vec![(4, create()), (3, moving()), (1, limit), (1, delete())])
}

fn classes() -> BoxedStrategy<Act> {
    let warnings = [Edit::Warn(&["8m", "3m"]), Edit::Warn(&["20s"])];
    let others = [Edit::Typo, Edit::Typo, Edit::Tighten, Edit::Loosen, Edit::Level("restricted"), Edit::Level("baseline")];
    let edited = edits(&[&others[..], &warnings[..]].concat());
    let gone =
        (class(), proptest::bool::ANY).prop_map(|(class, gone)| if gone { Act::DeleteClass(class) } else { Act::CreateClass(class) });
    one_of(vec![(3, edited), (2, gone.boxed()), (2, renew()), (1, moving())])
}

fn releases() -> BoxedStrategy<Act> {
    let asked = asks(&[Ask::Retain(true), Ask::Retain(true), Ask::Retain(false)]);
    one_of(vec![(3, asked), (3, delete()), (1, edits(&[Edit::Retain(true), Edit::Retain(false)])), (2, create()), (1, moving())])
}

fn limits() -> BoxedStrategy<Act> {
    let asked = asks(&[Ask::Pods("15"), Ask::Pods("30"), Ask::LoadBalancers, Ask::Defaults("300m"), Ask::Defaults("4"), Ask::Member(true)]);
    let edited = edits(&[Edit::Ceiling(true), Edit::Ceiling(false), Edit::Pods("5"), Edit::Pods("10")]);
    one_of(vec![(3, asked), (2, edited), (1, moving())])
}

fn names() -> BoxedStrategy<Act> {
    let odd = select(vec![Space::Ingress, Space::Denied, Space::Dashless]);
    let made = (owner(), odd.clone(), class()).prop_map(|(who, space, class)| Act::Create(who, space, class, Ask::Nothing));
    let moved = (owner(), odd, class()).prop_map(|(who, space, class)| Act::Move(who, space, class));
    one_of(vec![(3, made.boxed()), (1, moved.boxed()), (1, edits(&[Edit::Limit(3)]))])
}

fn walls() -> BoxedStrategy<Act> {
    let opened = (owner(), space(), proptest::bool::weighted(0.7));
    let opened = opened.prop_map(|(who, space, open)| if open { Act::Open(who, space) } else { Act::Shut(who, space) });
    one_of(vec![(3, opened.boxed()), (3, moving()), (1, edits(&[Edit::Enforced(true), Edit::Enforced(false)]))])
}

fn transfers() -> BoxedStrategy<Act> {
    let handed = (who(), space(), select(vec![Who::Ana, Who::Bea])).prop_map(|(who, space, to)| Act::HandOver(who, space, to));
    let members = asks(&[Ask::Member(true), Ask::Member(false)]);
    one_of(vec![(4, handed.boxed()), (2, moving()), (1, members), (1, renew()), (1, edits(&[Edit::Transfer(true), Edit::Transfer(false)]))])
}

fn backups() -> BoxedStrategy<Act> {
    let restored = (space(), proptest::bool::weighted(0.7));
    let restored = restored.prop_map(|(space, restore)| if restore { Act::RestoreNamespace(space) } else { Act::DeleteNamespace(space) });
    one_of(vec![(3, restored.boxed()), (1, delete()), (1, asks(&[Ask::Until(6)]))])
}

fn anything() -> BoxedStrategy<Act> {
    one_of(vec![(2, create()), (2, renew()), (1, moving()), (1, delete()), (1, asks(&[Ask::Ttl("8m"), Ask::Member(false), Ask::Nothing]))])
}
