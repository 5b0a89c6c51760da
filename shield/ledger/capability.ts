/** What the ledger, from which "why" is answered, brings to a Shield. */
import { steadyMs } from "../../shared/spine/contract/log_clock.ts";
import type { Capability, KeptBlocks } from "../capability.ts";
import type { Parts } from "../parts.ts";
import type { ShieldOptions } from "../server.ts";
import { type StartedLedger, startLedger } from "./start.ts";

/** Its blocks, where it is stored. */
function keptBy(
  { config: { ledger }, spine }: Pick<ShieldOptions, "config" | "spine">,
): KeptBlocks[] {
  if (!ledger.store) return [];
  const bounds = { max_bytes: ledger.log_bytes, max_age_seconds: ledger.seconds };
  return [{
    name: "ledger",
    open: () => spine.blocks("ledger", bounds),
    stays: "who was sent what, without payloads, until [ledger] seconds",
  }];
}

/** What was delivered to whom, and what was not. */
export const WHY: Capability<StartedLedger> = {
  name: "why",
  title: "what was delivered to whom, and what was not",
  open(env, { node_id, life }) {
    // What it tells apart by time, it tells right when the wall clock is set.
    const started = startLedger({ ...env, node_id, life, now: steadyMs(env) });
    if (started === undefined) return {};
    const { ledger, observer, close } = started;
    const begin = ({ connections }: Pick<Parts, "connections">) =>
      started.store?.writer.begin(connections);
    return {
      own: started,
      gives: { ledger, noteRead: started.noteRead },
      ...{ observer, close, keeps: keptBy(env) },
      start: (parts) => ({ begin: () => begin(parts) }),
    };
  },
};
