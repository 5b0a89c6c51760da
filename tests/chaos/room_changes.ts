/**
 * What the contenders for locks hear of the changes of their rooms, by loops of the SDK: each change once
 * and in order, or a GAP in its place, and in the end where the room stands. What is wrong with one
 * record says `change_checker.ts`.
 */
import { ArqonError } from "../../sdk/typescript/mod.ts";
import type { Message } from "../../sdk/typescript/mod.ts";
import type { RoomEvent } from "@arqon/sdk/state";
import { roomState } from "@arqon/sdk/state";
import { becomes } from "../../shared/testing/until.ts";
import { ChangeRecord } from "./change_checker.ts";
import type { Client } from "./client.ts";

/** What came of it. */
export interface ChangesVerdict {
  readonly violations: readonly string[];
  readonly report: string;
}

/** Those of one room. */
export class RoomChanges {
  readonly #room_id: string;
  readonly #records = new Map<Client, ChangeRecord>();

  constructor(room_id: string) {
    this.#room_id = room_id;
  }

  /** A message of the room, as that client's loop brings it. */
  hear(client: Client, message: Message): void {
    const { tenant_id, user_id } = client.options;
    let record = this.#records.get(client);
    if (record === undefined) {
      record = new ChangeRecord(`${user_id} in ${tenant_id}/${this.#room_id}`);
      this.#records.set(client, record);
    }
    if (message.signal?.kind === "GAP") record.gap();
    if (message.type === "ROOM_UPDATE") record.hear(message.json<RoomEvent>());
  }

  /** Once nobody changes the room any more. Waits until everybody has heard of its last change. */
  async judge(bound_ms: number): Promise<ChangesVerdict> {
    const deadline_ms = performance.now() + bound_ms;
    const [one] = this.#records.keys();
    const now = one && await this.#standing(one, deadline_ms);
    if (now === undefined) {
      return { violations: [`nobody says where ${this.#room_id} stands`], report: "" };
    }
    const records = [...this.#records.values()];
    const isAll = () => records.every((record) => record.isAt(now));
    await becomes(isAll, deadline_ms - performance.now());
    const sum = (count: (of: ChangeRecord) => number) =>
      records.reduce((all, record) => all + count(record), 0);
    const report = `heard of ${sum(({ heard }) => heard)} times by ${records.length} clients, ` +
      `up to version ${now.version}, ${sum(({ gaps }) => gaps)} GAPs`;
    return { violations: records.flatMap((record) => record.judge(now)), report };
  }

  async #standing(
    client: Client,
    deadline_ms: number,
  ): Promise<{ epoch: string; version: number } | undefined> {
    const room = await client.room(this.#room_id);
    let standing: { epoch: string; version: number } | undefined;
    await becomes(async () => {
      standing = await roomState(room).get().catch((error) => {
        if (!(error instanceof ArqonError)) throw error;
        return undefined;
      });
      return standing !== undefined;
    }, deadline_ms - performance.now());
    return standing;
  }
}
