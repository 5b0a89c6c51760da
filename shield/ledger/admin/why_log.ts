/**
 * What the logs of durable rooms have of messages that no Shield reports about, as all that heard them are gone, or nobody
 * was to get them as they came: a part of `GET /v1/why`. Reads a bounded part of a log within a bounded time.
 */
import { ArqonError, DecodeError, readEnvelope } from "@arqon/proto";
import { WHY_MESSAGES_MAX } from "../../../shared/cluster/cluster_why.ts";
import type { WhyMessage, WhyRoom } from "../../../shared/cluster/cluster_why.ts";
import type { DurableLog, LogMessage } from "../../../shared/spine/contract/durable_log.ts";
import { legible } from "../../../shared/spine/contract/legible_message.ts";
import type { RoomClasses } from "../../../shared/rooms/classes.ts";

/** What one question reads of a log: of more, the newest. */
const MESSAGES_MAX = 2_000;
const PAGE = { limit: 500, max_bytes: 2_097_152 };
const TWIST = "x-twist-id";

/** A message as its room's log has it; it was stored at `time_ms` by the log's clock. */
export type StoredMessage = Omit<WhyMessage, "duplicate">;

/** What reading logs needs of the process. */
export interface WhyLogContext {
  readonly logs: { of(tenant_id: string): Promise<Pick<DurableLog, "read" | "readBack">> };
  readonly classes: Pick<RoomClasses, "of">;
}

/** The log of one room, as far as one question needs it. */
export class WhyLog {
  readonly #context: WhyLogContext;
  readonly #place: { readonly tenant_id: string; readonly room_id: string };

  constructor(context: WhyLogContext, tenant_id: string, room_id: string) {
    this.#context = context;
    this.#place = { tenant_id, room_id };
  }

  /**
   * The message with that offset; undefined where the room is not durable, its log has it no more, or does not answer
   * within so many ms.
   */
  async at(offset: number, within_ms: number): Promise<StoredMessage | undefined> {
    return await this.#read(within_ms, undefined, async (log) => {
      const { room_id } = this.#place;
      const { messages } = await log.read(room_id, { ...PAGE, after: offset - 1, limit: 1 });
      return messages.filter((one) => one.offset === offset).map((one) => factsOf(room_id, one))[0];
    });
  }

  /** The messages that were stored since then, as rows of one that has heard them; none where `at` has none. */
  async since(since_ms: number, within_ms: number): Promise<WhyRoom["rows"]> {
    return await this.#read<WhyRoom["rows"]>(
      within_ms,
      [],
      async (log) =>
        (await this.#newest(log, since_ms)).map((
          { time_ms, offset, twist_id },
        ) => [time_ms, offset, twist_id, false]),
    );
  }

  /** Those of the newest messages that are meant; none where `at` has none. */
  async find(
    isMeant: (message: StoredMessage) => boolean,
    within_ms: number,
  ): Promise<StoredMessage[]> {
    return await this.#read<StoredMessage[]>(
      within_ms,
      [],
      async (log) => (await this.#newest(log, 0)).filter(isMeant).slice(-WHY_MESSAGES_MAX),
    );
  }

  /** The newest messages since then, the oldest first. */
  async #newest(log: Pick<DurableLog, "readBack">, since_ms: number): Promise<StoredMessage[]> {
    const { room_id } = this.#place;
    const found: StoredMessage[] = [];
    for (let before = 0; found.length < MESSAGES_MAX;) {
      const { messages, more } = await log.readBack(room_id, { ...PAGE, before });
      const young = messages.filter(({ time_ms }) => time_ms >= since_ms);
      found.unshift(...young.flatMap((one) => factsOf(room_id, one) ?? []));
      const [first] = messages;
      if (!more || first === undefined || young.length < messages.length) break;
      before = first.offset;
    }
    return found;
  }

  /** What is read, or `otherwise` when it cannot be had in time. */
  async #read<T>(
    within_ms: number,
    otherwise: T,
    read: (log: Pick<DurableLog, "read" | "readBack">) => Promise<T>,
  ): Promise<T> {
    const { logs, classes } = this.#context;
    const { tenant_id, room_id } = this.#place;
    if (!classes.of(tenant_id, room_id).durable) return otherwise;
    const late = Promise.withResolvers<T>();
    const timer = setTimeout(() => late.resolve(otherwise), within_ms);
    const reading = logs.of(tenant_id).then(read).catch((error) => {
      // The ledgers' answer holds without the log's.
      if (error instanceof ArqonError) return otherwise;
      throw error;
    });
    try {
      return await Promise.race([reading, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The ids of a stored message; undefined for what cannot be read. */
function factsOf(
  room_id: string,
  { offset, time_ms, payload }: LogMessage,
): StoredMessage | undefined {
  try {
    const { trace_id, message_id, headers } = readEnvelope(legible(payload));
    const [, twist_id = ""] = Object.entries(headers).find(([name]) =>
      name.toLowerCase() === TWIST
    ) ?? [];
    return { room_id, offset, time_ms, trace_id, twist_id, message_id };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}
