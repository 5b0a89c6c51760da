/**
 * A page of history in clients' formats, each encoded once for all equal requests. A page that is too large for one
 * answer in its format is cut, and says that there is more.
 */
import { encodeMsgAt, encodeTextMessage, readRouted, writeHistory } from "@arqon/proto";
import type { LogMessage } from "../../../shared/spine/contract/durable_log.ts";
import { readable } from "../../../shared/spine/contract/read_page.ts";
import { slice } from "../../../shared/turns/slices.ts";
import type { HistoryPage } from "./history_window.ts";

const utf8 = new TextEncoder();
const FRAME_BYTES = 256;
/** Bytes between two messages: a comma, or tag and length. */
const BETWEEN_BYTES = 6;

interface Cut<Form> {
  readonly messages: readonly Form[];
  readonly more: boolean;
}

/** The answer of a room's history to one question. */
export class HistoryAnswer {
  readonly page: HistoryPage;
  readonly #tenant_id: string;
  readonly #epoch: string;
  readonly #bytes_max: number;
  /** The offset of the last message that was examined; undefined: the last in the answer. */
  readonly #next: number | undefined;
  /** Whether filters were applied. */
  get is_filtered(): boolean {
    return this.#next !== undefined;
  }
  #json: Promise<Uint8Array> | undefined;
  #protobuf: Promise<Uint8Array> | undefined;
  /** The number of messages in each form. */
  readonly #counts = { json: 0, protobuf: 0 };

  /** Cuts the page so that neither form is larger than `bytes_max`; it always has at least one message. */
  constructor(
    tenant_id: string,
    page: HistoryPage,
    epoch: string,
    bytes_max: number,
    next?: number,
  ) {
    this.#tenant_id = tenant_id;
    this.page = page;
    this.#next = next;
    this.#epoch = epoch;
    this.#bytes_max = bytes_max;
  }

  /** The same answer with only these messages; the last examined one is `next`. */
  only(entries: HistoryPage["entries"], next: number, more: boolean): HistoryAnswer {
    const page = { ...this.page, entries, more };
    return new HistoryAnswer(this.#tenant_id, page, this.#epoch, this.#bytes_max, next);
  }

  /** The offsets of the messages that are in that form of the answer, once it is made. */
  offsetsIn(form: "json" | "protobuf"): number[] {
    return this.page.entries.slice(0, this.#counts[form]).map(({ offset }) => offset);
  }

  /** The answer as JSON, in UTF-8: `{"messages":[…],"offset":N,"epoch":"…","more":false}`. */
  json(): Promise<Uint8Array> {
    return this.#json ??= this.#encodeJson();
  }

  /** The answer as a Protobuf `History`. */
  protobuf(): Promise<Uint8Array> {
    return this.#protobuf ??= this.#encodeProtobuf();
  }

  async #encodeJson(): Promise<Uint8Array> {
    const { messages, more } = await this.#cut(textOf, (text) => utf8.encode(text).length);
    this.#counts.json = messages.length;
    const { offset, entries } = this.page;
    // If the answer was cut, the next page continues after its last message.
    const is_whole = this.#next !== undefined && messages.length === entries.length;
    const next = is_whole ? `,"next":${this.#next}` : "";
    const rest = `"offset":${offset},"epoch":${JSON.stringify(this.#epoch)},"more":${more}${next}`;
    return utf8.encode(`{"messages":[${messages.join(",")}],${rest}}`);
  }

  async #encodeProtobuf(): Promise<Uint8Array> {
    const { messages, more } = await this.#cut(envelopeOf, ({ length }) => length);
    this.#counts.protobuf = messages.length;
    const { offset } = this.page;
    return writeHistory({ messages: [...messages], offset, epoch: this.#epoch, more });
  }

  async #cut<Form>(
    encode: (message: LogMessage) => Form,
    sizeOf: (form: Form) => number,
  ): Promise<Cut<Form>> {
    const messages: Form[] = [];
    let size_bytes = FRAME_BYTES;
    for (const entry of this.page.entries) {
      await slice(this.#tenant_id);
      const message = encode(entry);
      size_bytes += sizeOf(message) + BETWEEN_BYTES;
      if (messages.length > 0 && size_bytes > this.#bytes_max) return { messages, more: true };
      messages.push(message);
    }
    return { messages, more: this.page.more };
  }
}

function envelopeOf({ payload, offset }: LogMessage): Uint8Array {
  return encodeMsgAt(readable(payload), offset).subarray(1);
}

function textOf({ payload, offset }: LogMessage): string {
  return encodeTextMessage({ ...readRouted(payload), offset });
}
