/**
 * A raw client that maintains the member list of one room from the events that it gets, in text or binary, as a careful
 * application would, and fails on an event that contradicts its list. Not the SDK.
 */
import assert from "node:assert/strict";
import { encodeSub, encodeUnsub, readPresenceLeave, readPresenceUpdate } from "@arqon/proto";
import type { Subscribe } from "@arqon/proto";
import { RawClient } from "./raw_client.ts";

/** A member of the list. */
export interface Seen {
  readonly connection_id: string;
  readonly user_id: string;
  readonly meta: unknown;
  readonly joined_ms: number;
}

/** The answer to a request, in either form. */
export interface Answer {
  readonly id: number;
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  // deno-lint-ignore no-explicit-any
  readonly result: any;
}

/** A presence event, in either form. */
interface PresenceEvent {
  readonly leave: boolean;
  readonly members: readonly Seen[];
  readonly connections: number;
  readonly users: number;
  readonly snapshot: boolean;
}

/** Any other message to a client. */
export interface OtherMessage {
  readonly room: string;
  readonly type: string;
  readonly data: unknown;
  readonly signal: { kind: string; target: string; reason: string } | undefined;
}

type Frame =
  | { readonly kind: "answer"; readonly answer: Answer }
  | { readonly kind: "presence"; readonly event: PresenceEvent }
  | { readonly kind: "other"; readonly other: OtherMessage };

const decoder = new TextDecoder();

/** One connection and the members of the one room that it observes. */
export class PresenceClient implements Disposable {
  readonly members = new Map<string, Seen>();
  /** The room's counts in the latest event. */
  connections = 0;
  users = 0;
  /** Presence events that were changes, not pages. */
  changes = 0;
  connection_id = "";
  readonly raw: RawClient;
  readonly #text: boolean;
  readonly #others: OtherMessage[] = [];
  #pages_left = 0;
  #last_id = 0;

  private constructor(url: string, token: string, text: boolean) {
    this.raw = new RawClient(url, { token, subprotocols: [text ? "arqon.v1.json" : "arqon.v1"] });
    this.#text = text;
  }

  static async open(url: string, token: string, text = true): Promise<PresenceClient> {
    const client = new PresenceClient(url, token, text);
    if (text) client.connection_id = (await client.raw.json()).connection;
    else {
      const frame = await client.raw.frame();
      assert(frame.kind === "welcome", frame.kind);
      client.connection_id = frame.welcome.connection_id;
    }
    return client;
  }

  /** SUB with an id; resolves when its answer and all pages have arrived. */
  async sub(
    room_id: string,
    options: Partial<Subscribe> & { meta?: unknown } = {},
  ): Promise<Answer> {
    const { meta, ...flags } = options;
    const id = ++this.#last_id;
    if (this.#text) {
      const member = meta === undefined ? {} : { member_meta: meta };
      this.raw.send({ op: "sub", room: room_id, id, ...flags, ...member });
    } else {
      const member = meta === undefined
        ? {}
        : { member_meta: new TextEncoder().encode(JSON.stringify(meta)) };
      this.raw.send(encodeSub({ room_id, request_id: id, ...flags, ...member }));
    }
    const answer = await this.answer(id);
    if (answer.code !== 0 || options.presence !== true) return answer;
    const { members, connections, users, pages } = answer.result;
    this.members.clear();
    for (const member of members) this.members.set(member.connection_id, member);
    Object.assign(this, { connections, users });
    this.#pages_left = pages - 1;
    await this.until(() => this.#pages_left === 0);
    return answer;
  }

  async unsub(room_id: string): Promise<Answer> {
    const id = ++this.#last_id;
    const binary = () => encodeUnsub({ room_id, request_id: id });
    this.raw.send(this.#text ? { op: "unsub", room: room_id, id } : binary());
    return await this.answer(id);
  }

  /** A command on a text connection. */
  async command(room: string, name: string, fields: Record<string, unknown> = {}): Promise<Answer> {
    const id = ++this.#last_id;
    this.raw.send({ op: "cmd", room, name, id, ...fields });
    return await this.answer(id);
  }

  /** The answer with that id; earlier presence events are applied, other messages are kept for `nextOther`. */
  async answer(id: number): Promise<Answer> {
    for (;;) {
      const frame = await this.#next();
      if (frame.kind === "other") this.#others.push(frame.other);
      if (frame.kind !== "answer") continue;
      assert.equal(frame.answer.id, id);
      return frame.answer;
    }
  }

  /** Applies presence events until the condition holds. Fails on any other message. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      const frame = await this.#next();
      assert.equal(frame.kind, "presence", JSON.stringify(frame));
    }
  }

  /** As `until`, and keeps other messages for `nextOther`. */
  async untilAny(holds: () => boolean): Promise<void> {
    while (!holds()) {
      const frame = await this.#next();
      assert.notEqual(frame.kind, "answer", JSON.stringify(frame));
      if (frame.kind === "other") this.#others.push(frame.other);
    }
  }

  /** The next message that is not presence. */
  async nextOther(): Promise<OtherMessage> {
    const kept = this.#others.shift();
    if (kept !== undefined) return kept;
    for (;;) {
      const frame = await this.#next();
      if (frame.kind === "other") return frame.other;
      assert.equal(frame.kind, "presence", JSON.stringify(frame));
    }
  }

  /** Sorted users of the list, one per member. */
  get names(): string[] {
    return [...this.members.values()].map(({ user_id }) => user_id).sort();
  }

  /** The member of a user that has one connection in the room. */
  member(user_id: string): Seen | undefined {
    return [...this.members.values()].find((member) => member.user_id === user_id);
  }

  [Symbol.dispose](): void {
    this.raw[Symbol.dispose]();
  }

  async #next(): Promise<Frame> {
    const frame = this.#text ? await this.#readText() : await this.#readBinary();
    if (frame.kind === "presence") this.#fold(frame.event);
    return frame;
  }

  async #readText(): Promise<Frame> {
    const { op, id, code, room, type, data, signal, ...rest } = await this.raw.json();
    if (op === "ack") return { kind: "answer", answer: { id, code, ...rest } };
    if (op === "err") throw new Error(`refused without an id: ${JSON.stringify(rest)}`);
    if (op !== "msg") return await this.#readText();
    if (type !== "PRESENCE_UPDATE" && type !== "PRESENCE_LEAVE") {
      return { kind: "other", other: { room, type, data, signal } };
    }
    assert.match(rest.headers["X-Twist-ID"], /^[0-9a-f-]{36}$/);
    assert.equal(rest.sender, "");
    const { members, connections, users, snapshot = false } = data;
    const leave = type === "PRESENCE_LEAVE";
    return { kind: "presence", event: { leave, members, connections, users, snapshot } };
  }

  async #readBinary(): Promise<Frame> {
    const frame = await this.raw.frame();
    if (frame.kind === "ack") {
      const { request_id, result, ...rest } = frame.ack;
      const parsed = result.length === 0 ? undefined : JSON.parse(decoder.decode(result));
      return { kind: "answer", answer: { ...rest, id: Number(request_id), result: parsed } };
    }
    if (frame.kind === "err") throw new Error(`refused without an id: ${frame.message}`);
    if (frame.kind !== "msg") return await this.#readBinary();
    const { event, signal, room_id: room, sender_id } = frame.envelope;
    const leave = event?.type === "PRESENCE_LEAVE";
    if (event === undefined || (!leave && event.type !== "PRESENCE_UPDATE")) {
      return { kind: "other", other: { room, type: event?.type ?? "", data: event?.data, signal } };
    }
    assert.equal(event.content_type, "application/protobuf");
    assert.equal(sender_id, "");
    const change = leave ? readPresenceLeave(event.data) : readPresenceUpdate(event.data);
    const members = change.members.map((member) => (
      { ...member, meta: member.meta === "" ? null : JSON.parse(member.meta) }
    ));
    return { kind: "presence", event: { ...change, members, leave, snapshot: !!change.snapshot } };
  }

  #fold({ leave, members, connections, users, snapshot }: PresenceEvent): void {
    for (const member of members) {
      const before = this.members.get(member.connection_id);
      if (leave) {
        assert.ok(before !== undefined, `the leave of a stranger: ${JSON.stringify(member)}`);
        assert.equal(member.user_id, before.user_id);
        this.members.delete(member.connection_id);
        continue;
      }
      assert.notDeepEqual(member, before, "an update that changes nothing");
      if (before !== undefined) assert.equal(member.joined_ms, before.joined_ms);
      this.members.set(member.connection_id, member);
    }
    Object.assign(this, { connections, users });
    if (snapshot) this.#pages_left--;
    else this.changes++;
  }
}
