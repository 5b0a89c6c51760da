// Turns the samples that each process keeps (`GET /v1/cluster/history`) into readings of the cluster at
// common times, as if the page had been open. Pure.

const between = (before, after, share) => before + share * (after - before);

function figures(before, after, share) {
  const of = (name) =>
    before[name] === undefined || after[name] === undefined
      ? undefined
      : between(before[name], after[name], share);
  const reasons = Object.keys(after.rejects ?? {});
  const rejects = Object.fromEntries(
    // A reason that is absent from the previous sample began at 0.
    reasons.map((name) => [name, between(before.rejects?.[name] ?? 0, after.rejects[name], share)]),
  );
  return {
    uptime_ms: of("uptime_ms"),
    cpu_seconds: of("cpu_seconds"),
    rss_bytes: of("rss_bytes"),
    // The mean between the two samples.
    event_loop_lag_ms: after.event_loop_lag_ms,
    totals: {
      ingress_messages: of("ingress_messages"),
      egress_messages: of("egress_messages"),
      ...(after.rejects === undefined ? {} : { rejects }),
    },
    gauges: { connections: share === 1 ? after.connections : before.connections },
  };
}

/** The node at an earlier time; undefined if its samples do not reach that far. */
function nodeAt({ samples, ...node }, age_ms) {
  const next = samples.findIndex((sample) => sample.age_ms <= age_ms);
  const after = samples[next];
  if (after === undefined) return undefined;
  if (after.age_ms === age_ms) return { ...node, ...figures(after, after, 1) };
  const before = samples[next - 1];
  if (before === undefined) return undefined;
  const share = (before.age_ms - age_ms) / (before.age_ms - after.age_ms);
  return { ...node, ...figures(before, after, share) };
}

/** The nodes at that time; a process is left out until all its nodes are known. */
function nodesAt(known, age_ms) {
  const found = known.map((node) => ({ process_id: node.process_id, node: nodeAt(node, age_ms) }));
  const partly = new Set(
    found.filter(({ node }) => node === undefined).map(({ process_id }) => process_id),
  );
  return found.filter(({ process_id }) => !partly.has(process_id)).map(({ node }) => node);
}

/**
 * Readings `{at_ms, nodes}` of the last `span_ms` before `now_ms`, oldest first, `every_ms` apart; the newest is at
 * a time that the samples of all nodes cover. Nodes are as in `GET /v1/cluster`, with the members that charts need.
 */
export function readingsOf({ nodes, every_ms }, now_ms, span_ms) {
  const known = nodes.filter(({ samples }) => samples.length > 0);
  const youngest = known.map(({ samples }) => samples.at(-1).age_ms);
  // A process without recent samples is stuck: the others do not wait for it.
  const newest_ms = Math.max(0, ...youngest.filter((age_ms) => age_ms < 2 * every_ms));
  const readings = [];
  for (let age_ms = newest_ms; age_ms <= span_ms; age_ms += every_ms) {
    const there = nodesAt(known, age_ms);
    if (there.length > 0) readings.unshift({ at_ms: now_ms - age_ms, nodes: there });
  }
  return readings;
}
