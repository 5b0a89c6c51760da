/** Follows the log of a database by the replication protocol: what commits comes by itself. */
import { Buffer } from "node:buffer";
import { databaseAt } from "./database.ts";
import type { Wire } from "./database.ts";
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
  let [noted, told_ms, is_paused] = [standing.lsn, now(), false];
  const tell = (now_ms: number) => {
    told_ms = now_ms;
    wire.sendCopyFromChunk(
      Buffer.from(statusUpdate(intake.progress.flushed(noted), now_ms)),
    );
  };
  following.onOver(() => {
    if (!is_paused || intake.waiting >= waiting_messages / 2) return;
    is_paused = false;
    wire.stream.resume();
  });
  wire.once("replicationStart", following.onFollowing);
  wire.on("copyData", ({ chunk }) => {
    try {
      if (take(chunk, following)) tell(now());
    } catch (error) {
      broken.reject(error);
    }
    is_paused ||= pauseIfFull(following, wire);
  });
  const tick = async () => {
    const { done_lsn } = intake.progress;
    if (done_lsn === noted && now() - told_ms < STATUS_MS) return;
    if (done_lsn > noted) await note();
    noted = done_lsn;
    tell(now());
  };
  let ticking = Promise.resolve();
  const timer = setInterval(() => {
    ticking = ticking.then(tick).catch((error) => broken.reject(error));
  }, SAVE_MS);
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
