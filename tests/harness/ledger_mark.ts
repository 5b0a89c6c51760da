/** Reads from a real NATS up to which time a Shield's ledger is stored. Not the ledger's content. */
import { configFrom } from "../../shared/config/load.ts";
import { openSpine } from "../../shared/spine/open.ts";
import { Lives } from "../../shared/lives/lives.ts";
import { atEnd } from "../../shared/testing/at_end.ts";
import { testLog } from "../../shared/testing/logs.ts";

const log = testLog();

/** Up to which time that Shield's ledger is stored, in Unix ms, by the bucket of lives; 0: nothing is stored. */
export async function ledgerMarkOf(nats_url: string, node_id: string): Promise<number> {
  const spine = await openSpine(configFrom({ nats: { urls: [nats_url] } }), { log, now: Date.now });
  await using _end = atEnd(() => spine.drain());
  const lives = await new Lives(spine).all();
  return lives.find((one) => one.node_id === node_id)?.parts.ledger?.until_ms ?? 0;
}
