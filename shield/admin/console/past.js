// Turns the samples that each process keeps of itself (`GET /v1/cluster/history`) into readings of the
// cluster at common moments, as if the page had been open. Pure.

const between = (before, after, share) => before + share * (after - before);

function figures(before, after, share) {
  const of = (name) =>
    before[name] === undefined || after[name] === undefined
      ? undefined
      : between(before[name], after[name], share);
  const reasons = Object.keys(after.rejects ?? {});
  const rejects = Object.fromEntries(
    // A reason that was not there at the sample before began at 0.
    reasons.map((name) => [name, between(before.rejects?.[name] ?? 0, after.rejects[name], share)]),
  );
  return {
    uptime_ms: of("uptime_ms"),
    cpu_seconds: of("cpu_seconds"),
    rss_bytes: of("rss_bytes"),
    // Of the time between the two.
    event_loop_lag_ms: after.event_loop_lag_ms,
    totals: {
      ingress_messages: of("ingress_messages"),
      egress_messages: of("egress_messages"),
      ...(after.rejects === undefined ? {} : { rejects }),
    },
    gauges: { connections: share === 1 ? after.connections : before.connections },
  };
}

/** The node as it was so long ago; undefined when its samples do not reach there. */
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

/** The nodes of that moment; of a process of which one node is not known yet, none is. */
function nodesAt(known, age_ms) {
  const found = known.map((node) => ({ process_id: node.process_id, node: nodeAt(node, age_ms) }));
  const partly = new Set(
    found.filter(({ node }) => node === undefined).map(({ process_id }) => process_id),
  );
  return found.filter(({ process_id }) => !partly.has(process_id)).map(({ node }) => node);
}

/**
 * Readings `{at_ms, nodes}` of the last `span_ms` before `now_ms`, the oldest first, `every_ms` apart;
 * the newest is one that every node still knows. Nodes as in `GET /v1/cluster`, as far as charts go.
 */
export function readingsOf({ nodes, every_ms }, now_ms, span_ms) {
  const known = nodes.filter(({ samples }) => samples.length > 0);
  const youngest = known.map(({ samples }) => samples.at(-1).age_ms);
  // A process that has taken no sample for long is stuck: the others do not wait for it.
  const newest_ms = Math.max(0, ...youngest.filter((age_ms) => age_ms < 2 * every_ms));
  const readings = [];
  for (let age_ms = newest_ms; age_ms <= span_ms; age_ms += every_ms) {
    const there = nodesAt(known, age_ms);
    if (there.length > 0) readings.unshift({ at_ms: now_ms - age_ms, nodes: there });
  }
  return readings;
}
