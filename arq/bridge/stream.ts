/** Follows the log of a database by the replication protocol: what commits comes on its own. */
import { Buffer } from "node:buffer";
import { databaseAt } from "./database.ts";
import type { Wire } from "./database.ts";
import { IDLE_BYTES } from "./following.ts";
import type { Following } from "./following.ts";
import { lsnText, readWal, statusUpdate } from "./wal.ts";

/** How often is noted how far everything is over. */
const SAVE_MS = 200;
/** The server closes what says nothing for a minute. */
const STATUS_MS = 5_000;

/** Until the signal. Rejects when the connection breaks, and with 55006 while another one has the slot. */
export async function stream(following: Following): Promise<void> {
  const { url, slot, standing, intake, waiting_messages, signal, now, note } = following;
  const client = databaseAt(url, "replicates");
  await client.connect();
  const wire = client.connection;
  const broken = Promise.withResolvers<never>();
  let checked = Promise.resolve();
  let [noted, told_ms, is_paused] = [standing.lsn, now(), false];
  following.onOver(() => {
    if (!is_paused || intake.waiting >= waiting_messages / 2) return;
    is_paused = false;
    wire.stream.resume();
  });
  wire.once("replicationStart", () => {
    // From now on nobody can make another slot of this name.
    checked = following.check().then(following.onFollowing);
    checked.catch(broken.reject);
  });
  wire.on("copyData", ({ chunk }) => {
    try {
      if (take(chunk, following)) tickSoon(true);
    } catch (error) {
      broken.reject(error);
    }
    is_paused ||= pauseIfFull(following, wire);
  });
  // A server that shuts down asks, until all that it has sent is confirmed.
  const tick = async (is_asked: boolean) => {
    const { done_lsn, over_lsn } = intake.progress;
    const is_far = done_lsn > noted || over_lsn - noted >= (is_asked ? 1n : IDLE_BYTES);
    if (!is_far && !is_asked && now() - told_ms < STATUS_MS) return;
    if (is_far) {
      await checked;
      noted = await note();
    }
    told_ms = now();
    wire.sendCopyFromChunk(Buffer.from(statusUpdate(noted, told_ms)));
  };
  let ticking = Promise.resolve();
  const tickSoon = (is_asked: boolean) => {
    ticking = ticking.then(() => tick(is_asked)).catch((error) => broken.reject(error));
  };
  const timer = setInterval(tickSoon, SAVE_MS, false);
  const onAbort = () => void client.end();
  signal.addEventListener("abort", onAbort);
  try {
    const start = `START_REPLICATION SLOT "${slot}" LOGICAL ${lsnText(standing.lsn)} ` +
      "(proto_version '1', publication_names 'arqon', messages 'true')";
    await Promise.race([client.query(start), broken.promise, following.lost]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    clearInterval(timer);
    await ticking;
    await client.end();
  }
}

/** Whether the server wants an answer. */
function take(chunk: Uint8Array, { intake }: Following): boolean {
  const message = readWal(chunk);
  if (message.kind !== "alive") {
    intake.take(message);
    return false;
  }
  intake.progress.alive(message.lsn);
  return message.wants_reply;
}

function pauseIfFull({ intake, waiting_messages }: Following, wire: Wire): boolean {
  if (intake.waiting < waiting_messages) return false;
  wire.stream.pause();
  return true;
}
