//! A plan for people.

use std::fmt;

use super::{Action, NodePlan, Plan, PoolPlan};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            writeln!(f, "nothing to do: every node has what it would have")?;
        }
        for pool in &self.pools {
            write!(f, "{pool}")?;
        }
        for remark in &self.remarks {
            writeln!(f, "note: {remark}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PoolPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "pool {}\n  from  {}",
            self.pool,
            self.from.as_deref().unwrap_or("nothing that is known")
        )?;
        writeln!(f, "  to    {}\n        = {}", self.to, self.parts.join(" + "))?;
        for line in self.diff.iter() {
            writeln!(f, "  {line}")?;
        }
        for remark in &self.remarks {
            writeln!(f, "  note: {remark}")?;
        }
        let mut before: Option<&NodePlan> = None;
        for (index, node) in self.nodes.iter().enumerate() {
            let when = match node.begins {
                Some(0) => "now".to_owned(),
                Some(begins) => format!("after {}", span(begins)),
                None => "not now".to_owned(),
            };
            writeln!(f, "{:>4}. {}  {when}: {}, {}", index + 1, node.node, node.action, span(node.seconds))?;
            // Nodes of a pool mostly go through the same.
            if before.is_none_or(|before| before.changes != node.changes) {
                for change in &node.changes {
                    writeln!(f, "        {change}")?;
                }
            }
            before = Some(node);
        }
        for blocker in &self.blockers {
            writeln!(f, "  blocked: {blocker}")?;
        }
        match (self.nodes.len(), self.seconds) {
            (0, _) => writeln!(f, "  no node has to change"),
            (_, 0) => Ok(()),
            (_, seconds) => writeln!(f, "  in all about {}", span(seconds)),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing restarts"),
            Self::Units { reload, restart } => {
                let of = |verb: &str, units: &[String]| {
                    (!units.is_empty()).then(|| format!("{verb} of {}", units.join(", ")))
                };
                let both: Vec<String> =
                    [of("restart", restart), of("reload", reload)].into_iter().flatten().collect();
                f.write_str(&both.join(", "))
            }
            Self::Reboot => f.write_str("pods leave, the machine restarts"),
            Self::Unknown => {
                f.write_str("at most its pods leave and it restarts (it has a config of before)")
            }
            Self::Refused { problems } => write!(f, "refused: {}", problems.join("; ")),
        }
    }
}

/// A line for each node, as a pool's status has them.
pub fn lines(plan: &PoolPlan) -> Vec<(String, String)> {
    plan.nodes.iter().map(|node| (node.node.clone(), node.action.to_string())).collect()
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        _ => format!("{} min", seconds.div_ceil(60)),
    }
}
