/** Leader election: one of many workers leads; if it fails, another takes over. */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { ArqonError, connect, withLock } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";

const LEASE_MS = 5_000;
const [url = "", token = "", room_id = "workers", name = "one"] = process.argv.slice(2);
const bus = await connect({ url, token });
const room = bus.room(room_id);
const state = roomState(room);

/** The leader's work. With the fence, the bus refuses writes of a former leader that has not noticed its loss. */
async function lead(fence: number, lost: AbortSignal): Promise<void> {
  console.log(`${name} leads with fence ${fence}`);
  for (let beat = 1; !lost.aborted; beat++) {
    await state.set("beat", { name, beat }, { fence });
    await sleep(1_000, undefined, { signal: lost });
  }
}

for (;;) {
  try {
    const options = { ttl_ms: LEASE_MS, wait_ms: 60_000 };
    await withLock(room, options, ({ fence, signal }) => lead(fence, signal));
  } catch (error) {
    // Another worker leads, or this one has lost the lock: it tries again.
    const why = error instanceof ArqonError ? error.reason : String(error);
    console.log(`${name} does not lead: ${why}`);
    await sleep(1_000);
  }
}
