/**
 * What deltas save and cost: a transit feed of some 130 KB, captured each minute, to receivers that ask for deltas in
 * each form and to as many that do not, in turns. The bytes are those of frames as receivers get them, without compression.
 */
import { askDeltas, encodePub, encodeSub, writeEnvelope } from "@arqon/proto";
import { ROOT } from "../measure/scenario.ts";
import { connectSocket } from "../measure/socket.ts";
import { medianOf } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";
import type { BusProcess } from "../measure/targets.ts";
import { cpuSecondsOf, inBatches, openReceiver, pause } from "./receivers.ts";

const FEEDS = `${ROOT}/../shared/data/gtfs-realtime/feeds/nyct`;

/** In what form receivers ask for the feed. */
const KINDS = ["plain", "fossil", "vcdiff"] as const;
type Kind = typeof KINDS[number];

/** One feed to all receivers, after the first, which everybody gets whole. */
interface DeltaFigures {
  /** CPU time of the bus for one delivery, in µs. */
  readonly cpu_us: number;
  /** Bytes of one delivery. */
  readonly bytes: number;
}

/** Consecutive minutes of one feed, oldest first; none where the data is not there. */
export async function readFeeds(folder = FEEDS): Promise<Uint8Array[]> {
  try {
    const names = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
    const minutes = names.filter((name) => name.endsWith(".ace.pb")).toSorted();
    return await Promise.all(minutes.map((name) => Deno.readFile(`${folder}/${name}`)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Sends each feed once the one before has reached everybody. Throws when a receiver is disconnected. */
async function measureDeltas(
  bus: BusProcess,
  { room, receivers, kind }: { room: string; receivers: number; kind: Kind },
  feeds: readonly Uint8Array[],
): Promise<DeltaFigures> {
  const got = { messages: 0, bytes: 0, ended: "" };
  const sub = encodeSub({ room_id: room, request_id: 1 });
  const asked = kind === "plain" ? sub : askDeltas(sub, { vcdiff: kind === "vcdiff" });
  const onMessage = ({ length }: Uint8Array) => {
    got.messages++;
    got.bytes += length;
  };
  const onEnd = (why: string) => void (got.ended = why || "closed");
  const ends = await inBatches(receivers, () => openReceiver(bus, asked, onMessage, onEnd));
  const publisher = await connectSocket(bus.url, ["arqon.v1", `arqon.token.${bus.token}`]);
  const send = async (data: Uint8Array) => {
    got.messages = 0;
    const event = { type: "feed", data, content_type: "application/x-protobuf", schema_id: "" };
    publisher.send(encodePub(writeEnvelope({ room_id: room, event })));
    while (got.messages < receivers) {
      if (got.ended !== "") throw new Error(`a receiver was disconnected: ${got.ended}`);
      await pause(5);
    }
  };
  const [first, ...rest] = feeds;
  if (first === undefined || rest.length === 0) throw new Error("two feeds are needed");
  await send(first);
  got.bytes = 0;
  const before = await cpuSecondsOf(bus);
  for (const feed of rest) await send(feed);
  const cpu_seconds = await cpuSecondsOf(bus);
  const deliveries = rest.length * receivers;
  const figures = {
    cpu_us: (cpu_seconds - before) * 1e6 / deliveries,
    bytes: got.bytes / deliveries,
  };
  for (const end of [() => publisher.close(), ...ends]) end();
  await pause(300);
  return figures;
}

/** Receivers without deltas and with those of both forms in turns, as a table of medians. */
export async function deltaTable(bus: BusProcess, count: number, receivers: number) {
  const feeds = await readFeeds();
  const rounds: Record<string, DeltaFigures[]> = {};
  if (feeds.length === 0) return { rounds, table: "no transit feed here: no deltas measured" };
  for (let round = 0; round < count; round++) {
    for (const kind of KINDS) {
      console.error(`feed, ${kind} ...`);
      const to = { room: `feed-${kind}-${round}`, receivers, kind };
      (rounds[kind] ??= []).push(await measureDeltas(bus, to, feeds));
    }
  }
  const of = (kind: string, key: keyof DeltaFigures) => medianOf(rounds[kind] ?? [], key);
  const table = renderTable(Object.keys(rounds), [
    ["transit feed", (kind) => kind],
    ["bytes a delivery", (kind) => of(kind, "bytes")],
    ["of plain", (kind) => `${(100 * of(kind, "bytes") / of("plain", "bytes")).toFixed(1)} %`],
    ["CPU a delivery, µs", (kind) => of(kind, "cpu_us"), 1],
    ["of plain", (kind) => `${(of(kind, "cpu_us") / of("plain", "cpu_us")).toFixed(2)}x`],
  ]);
  return { rounds, table };
}
