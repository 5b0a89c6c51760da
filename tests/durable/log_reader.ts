/**
 * Reads whole durable rooms over HTTP, page by page, into the recording: one more subscriber, which saw
 * everything that is stored. It also says where a room ends.
 */
import { insist } from "../../shared/testing/until.ts";
import { hashBytes } from "./recording.ts";
import type { Recorder } from "./recording.ts";

/** Where to ask. */
export interface LogReaderOptions {
  /** `http://host:port` of a Shield or balancer. */
  readonly http_url: string;
  readonly token: string;
}

/** The answer of `GET /v1/rooms/{room}/messages`, as far as it matters here. */
export interface HistoryAnswer {
  readonly messages: readonly {
    readonly op: string;
    readonly room: string;
    readonly offset: number;
    readonly message_id?: string;
    readonly data: string;
  }[];
  readonly offset: number;
  readonly epoch: string;
  readonly more: boolean;
}

const PAGE = 1_000;
/** For one attempt at a page: whoever asks after faults may have to wait for a leader. */
const DEADLINE_MS = 60_000;

function ask(
  { http_url, token }: LogReaderOptions,
  room_id: string,
  query: string,
): Promise<HistoryAnswer> {
  return insist(`the history of ${room_id}`, async () => {
    const response = await fetch(`${http_url}/v1/rooms/${room_id}/messages?${query}`, {
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    if (response.ok) return await response.json();
    throw new Error(`${response.status} ${await response.text()}`);
  });
}

/** The offset of the room's last message; 0 when it has none. */
export async function readHead(options: LogReaderOptions, room_id: string): Promise<number> {
  const { messages } = await ask(options, room_id, "limit=1&reverse=true");
  return messages[0]?.offset ?? 0;
}

/** Everything that the room has, as the sights of a subscriber called `name`. */
export async function recordLog(
  options: LogReaderOptions,
  room_id: string,
  recorder: Recorder,
  name: string,
): Promise<void> {
  const { sights } = recorder.subscriber(room_id, name);
  const encoder = new TextEncoder();
  let after = 0;
  for (let more = true; more;) {
    const page = await ask(options, room_id, `after=${after}&limit=${PAGE}`);
    const { epoch } = page;
    if (sights.length === 0) {
      sights.push({ kind: "subscribed", recovered: undefined, reason: "", epoch, offset: 0 });
    }
    for (const { offset, message_id = "", data } of page.messages) {
      const hash = hashBytes(encoder.encode(data));
      sights.push({ kind: "message", epoch, offset, message_id, hash });
      after = offset;
    }
    // A page without messages that promises more would never end.
    more = page.more && page.messages.length > 0;
  }
}
