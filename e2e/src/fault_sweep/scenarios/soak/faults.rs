//! Owns the faults of a round: the rules of the proxy, and the disturbances of the network and the control plane.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use fastrand::Rng;

use crate::{
    fault_sweep::{
        rig::Rig,
        scenarios::{
            Setting,
            watches::{WATCHED_RESOURCES, compact_etcd},
        },
    },
    fixtures::SOON,
    proxy::{Fault, FaultRule, RuleId, RuleLimit, WatchEnd},
};

/// Adds the rules of the faults. Each request may meet any of them, and a few percent of the requests do.
pub(super) fn add_random_faults(rig: &Rig, random: &mut Rng) -> Vec<RuleId> {
    let respond = |code, after| Fault::Respond { code, after };
    let faults = [
        (0.01, Fault::ResetBefore),
        (0.01, Fault::ResetAfter),
        (0.01, respond(409, false)),
        (0.01, respond(429, false)),
        (0.01, respond(500, false)),
        (0.01, respond(503, false)),
        (0.01, respond(504, true)),
        (0.01, Fault::Truncate),
        (0.01, Fault::Delay(Duration::from_secs(1))),
        (0.003, Fault::Hang { after: false }),
        (0.003, Fault::Hang { after: true }),
    ];
    let mut rules: Vec<RuleId> = faults
        .into_iter()
        .map(|(share, fault)| {
            let generator = Arc::new(Mutex::new(Rng::with_seed(random.u64(..))));
            let applies = move || generator.lock().unwrap_or_else(PoisonError::into_inner).f64() < share;
            rig.proxy.add_rule(
                FaultRule::new("storm", fault, move |request_info, _| request_info.verb != "watch" && applies())
                    .limit(RuleLimit::For(SOON * 60)),
            )
        })
        .collect();
    let watches = FaultRule::new("storm", respond(500, false), |request_info, place| {
        request_info.verb == "watch" && place.nth % 7 == 0
    });
    rules.push(rig.proxy.add_rule(watches.limit(RuleLimit::For(SOON * 60))));
    rules
}

/// Disturbs the network or the control plane for a part of the round.
pub(super) async fn disturb_network(setting: &Setting, rig: &Rig, disturbance: u8, random: &mut Rng) -> Result<()> {
    let pause = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    pause(5).await;
    match disturbance {
        0 => {
            rig.proxy.network(|network| network.partition = true);
            pause(8).await;
            rig.proxy.network(|network| network.partition = false);
        }
        1 => {
            rig.proxy.network(|network| network.frozen = true);
            pause(38).await;
            rig.proxy.network(|network| network.frozen = false);
        }
        2..=4 => {
            let end = [WatchEnd::Reset, WatchEnd::Gone, WatchEnd::Silent][usize::from(disturbance - 2)];
            for _ in 0..3 {
                let resource = WATCHED_RESOURCES[random.usize(..WATCHED_RESOURCES.len())];
                rig.proxy.end_watches(Some(resource), end);
                pause(8).await;
            }
        }
        5 => {
            let resource = WATCHED_RESOURCES[random.usize(..WATCHED_RESOURCES.len())].to_owned();
            rig.proxy.network(|network| network.lag = HashMap::from([(resource, Duration::from_secs(3))]));
            pause(30).await;
            rig.proxy.network(|network| network.lag.clear());
        }
        6 | 7 => {
            if disturbance == 7 {
                compact_etcd(setting.cluster.etcd_port()).await?;
            }
            setting.cluster.stop_component("kube-apiserver")?;
            setting.cluster.start_component("kube-apiserver")?;
        }
        8 => {
            rig.proxy.network(|network| network.black_hole = true);
            pause(12).await;
            rig.proxy.network(|network| network.black_hole = false);
        }
        _ => {}
    }
    Ok(())
}
