/**
 * The effect of policies on growing messages, on any bus: every reader gets the text without forbidden phrases, however
 * it is split. The producer alternates between several Shields. Tests only.
 */
import assert from "node:assert/strict";
import type { Connection, Room } from "@arqon/sdk";
import { maskedWhole, PARTS } from "../../policies/testing/phrases.ts";
import { seeded } from "../../shared/testing/seeded.ts";
import { until } from "../../shared/testing/until.ts";
import { Received, stored } from "./received.ts";

/** The raw pieces sent for a room: no SDK has joined them. */
class RawPieces implements Disposable {
  readonly texts = new Map<string, string>();
  readonly #messages;
  readonly ready: Promise<unknown>;

  constructor(connection: Connection, room: string) {
    this.#messages = connection.room(`${room}~growing`).subscribe();
    this.ready = this.#messages.ready;
    void this.#read();
  }

  async #read(): Promise<void> {
    for await (const message of this.#messages) {
      const { op, id, text } = message.json<{ op: string; id: string; text: string }>();
      if (op === "append") this.texts.set(id, (this.texts.get(id) ?? "") + text);
    }
  }

  [Symbol.dispose](): void {
    this.#messages.close();
  }
}

/**
 * Texts with phrases, split anywhere, each piece sent by another connection: the raw pieces, a reader's text, the
 * answer to a query, and the stored message have no phrase, and everything else.
 */
export async function cutAnywhere(
  writers: readonly Connection[],
  reader: Connection,
  room: string,
  texts: number,
): Promise<void> {
  const numbers = seeded(31);
  const random = (most: number) => Math.floor(numbers() * most);
  using raw = new RawPieces(reader, room);
  using received = new Received(reader.room(room));
  await raw.ready;
  for (let at = 0; at < texts; at++) {
    const id = `cut-${at}`;
    const whole = Array.from({ length: 12 }, () => PARTS[random(PARTS.length)]).join("");
    const ask = (verb: string, data: object): ReturnType<Room["command"]> =>
      writers[random(writers.length)]!.room(room).command(`growing.${verb}`, { id, ...data });
    await ask("start", {});
    const units = [...whole];
    for (let seq = 1; units.length > 0; seq++) {
      const text = units.splice(0, 1 + random(7)).join("");
      await ask("append", { seq, text });
      // A repeated piece after a lost answer is no new piece.
      if (random(5) === 0) await ask("append", { seq, text });
      const now = (await ask("get", {})).json<{ text: string }>()!.text;
      assert.ok(maskedWhole(whole).startsWith(now), `${at}: ${now} of ${whole}`);
      assert.equal(maskedWhole(now), now);
    }
    await ask("finish", {});
    await until("its end is received", () => received.of(id)?.state === "finished");
    assert.equal(received.of(id)?.text, maskedWhole(whole));
    assert.equal(received.pieces(id).join(""), maskedWhole(whole));
    // A repeated piece may be sent again.
    assert.equal(maskedWhole(raw.texts.get(id) ?? ""), raw.texts.get(id) ?? "");
  }
  const messages = (await stored(reader.room(room))).map((message) => message.text());
  assert.equal(messages.length, texts);
  assert.ok(messages.every((text) => maskedWhole(text) === text));
}
