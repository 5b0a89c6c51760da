/** The ledger capability of a Shield, the source of "why" answers. */
import { steadyMs } from "../../shared/spine/contract/log_clock.ts";
import type { Capability, KeptBlocks, Opened, ShieldOptions } from "../capability.ts";
import { readingOf } from "../journal/admin/read.ts";
import { JOURNAL } from "../journal/capability.ts";
import { openOf, WHY_ROUTES } from "./admin/why.ts";
import { subscriptionNotes } from "./marks.ts";
import { ledgerAnswers, startLedger } from "./start.ts";

/** Its blocks, if it is stored. */
function keptBy(
  { config: { ledger }, spine }: Pick<ShieldOptions, "config" | "spine">,
): KeptBlocks[] {
  if (!ledger.store) return [];
  const bounds = { max_bytes: ledger.log_bytes, max_age_seconds: ledger.seconds };
  return [{
    name: "ledger",
    open: () => spine.blocks("ledger", bounds),
    stays: "deliveries without payloads, until [ledger] seconds",
  }];
}

/** Records deliveries, and messages that were not delivered. */
export const WHY: Capability = {
  name: "why",
  title: "deliveries, and messages that were not delivered",
  config: ["ledger"],
  stores: ["ARQON_LEDGER"],
  admin: { tables: [WHY_ROUTES], tags: {} },
  open(env, { node_id, life, rooms: { classes }, running }) {
    // Its timestamps stay in order when the wall clock jumps.
    const started = startLedger({ ...env, node_id, life, now: steadyMs(env) });
    const ledger = started?.ledger;
    const ledgerNow = () => ledger?.now_ms ?? env.now();
    const start: Opened["start"] = (parts) => {
      const { node_id, connections, hub, logs, cluster: { asker }, rooms: { classes }, running } =
        parts;
      const place = running.of(JOURNAL)?.admin.place;
      const journal = place && readingOf(place);
      const known = { journal, former: started?.store?.former, logs, classes };
      return {
        routes: WHY_ROUTES.serve({
          asker,
          node_id,
          now: env.now,
          ledgerNow,
          log: env.log.child({ part: "admin" }),
          ...known,
        }),
        questions: ledgerAnswers(
          started ?? {},
          ledgerNow,
          (query) => openOf(parts, query),
        ),
        begin: () => started?.store?.writer.begin(connections, hub.patterns),
      };
    };
    if (started === undefined) return { start };
    const { noteRead, observer, close } = started;
    const marks = subscriptionNotes(started.ledger, classes, () => running.given.filters);
    return { gives: { ledger, marks, noteRead }, keeps: keptBy(env), observer, close, start };
  },
};
