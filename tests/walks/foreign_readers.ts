/** Third-party clients as readers of a walk, from npm: `eventsource` and `pusher-js`, which reconnect by themselves. */
import { EventSource } from "eventsource";
import { becomes } from "../../shared/testing/until.ts";
import { type LiveReader, Record as ReaderRecord } from "../model/fault_readers.ts";
import type { Seat } from "../model/reading.ts";
import { placeOf, Pusher } from "../peers/pusher_peer.ts";

const THERE_MS = 30_000;

const isMessage = (type: string | undefined) => type?.startsWith("ROOM_") !== true;

async function readerOf(
  record: ReaderRecord,
  isThere: () => boolean,
  leave: () => void,
): Promise<LiveReader> {
  if (!await becomes(isThere, THERE_MS)) throw new Error("a reader does not come");
  return {
    record,
    received: () => Promise.resolve(record.items),
    [Symbol.asyncDispose]: () => Promise.resolve(leave()),
  };
}

/** docs/sse.md: an EventSource, which sends the last id that it received. */
export async function eventSource({ bus, tenant, user, room }: Seat): Promise<LiveReader> {
  const record = new ReaderRecord();
  const token = await bus.tokenFor({ tenant, user });
  let times = 0;
  const source = new EventSource(`${bus.http_url}/v1/rooms/${room}/events`, {
    async fetch(place, init) {
      const headers = { ...init.headers, authorization: `Bearer ${token}` };
      const response = await fetch(place, { ...init, headers });
      // Else it gives up for good: HTML, "fail the connection". A page would create a new one.
      if (response.status < 500) return response;
      await response.body?.cancel();
      throw new TypeError(`${response.status}`);
    },
  });
  // What arrives before `subscribed` belongs to this connection, too.
  let begun = 0;
  source.addEventListener("welcome", () => begun = record.items.length);
  source.addEventListener("subscribed", ({ data }) => {
    if (++times === 1 || JSON.parse(data).recovered === true) return;
    record.items.splice(begun, 0, { again: true });
  });
  source.addEventListener("gap", ({ data }) => {
    record.items.push({ gap: JSON.parse(data).signal.reason });
  });
  source.addEventListener("message", ({ data }) => {
    const { type, data: value } = JSON.parse(data);
    if (isMessage(type)) record.text(JSON.stringify(value));
  });
  return await readerOf(record, () => times > 0, () => source.close());
}

/**
 * docs/pusher.md: each room of the app's tenant is a channel; missed messages are lost, which `arqon:gap` may report.
 */
export async function pusherJs({ bus, app_key, room }: Seat): Promise<LiveReader> {
  const record = new ReaderRecord();
  const client = new Pusher(app_key, placeOf(bus.url));
  let times = 0;
  let begun = 0;
  client.connection.bind("connected", () => begun = record.items.length);
  const channel = client.subscribe(room);
  channel.bind_global((event: string, data: unknown) => {
    if (event === "pusher:subscription_succeeded") {
      if (++times > 1) record.items.splice(begun, 0, { again: true });
    } else if (event === "arqon:gap") record.items.push({ gap: JSON.stringify(data) });
    else if (!event.startsWith("pusher:") && isMessage(event)) record.text(JSON.stringify(data));
  });
  return await readerOf(record, () => times > 0, () => client.disconnect());
}
