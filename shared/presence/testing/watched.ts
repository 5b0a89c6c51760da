/**
 * For tests: a watched replica. After every merge or mark, its report is checked against its view and against its
 * earlier reports.
 */
import assert from "node:assert/strict";
import { countOnline, markDown, mergeFull, online, onlineRooms } from "../state.ts";
import type { Changes, MergeResult, PresenceState } from "../state.ts";
import { fullDeltas, tagOf } from "./replicas.ts";
import type { Delta, Writer } from "../types.ts";

/** Everything online, in one line per member, sorted. */
export function allOnline(state: PresenceState): string[] {
  const lines: string[] = [];
  for (const { tenant_id, room_id } of onlineRooms(state)) {
    for (const held of online(state, tenant_id, room_id)) {
      lines.push(`${tagOf(held)} ${JSON.stringify(held.entry)}`);
    }
  }
  return lines.sort();
}

/** A replica whose reports are replayed. */
export class Watched {
  readonly state: PresenceState;
  /** The replay of joins and leaves: member line by tag. */
  readonly #shown = new Map<string, string>();
  /** Entries that ended, not only became hidden. */
  readonly #ended = new Set<string>();

  constructor(state: PresenceState) {
    this.state = state;
  }

  take(way: (state: PresenceState, delta: Delta) => MergeResult, delta: Delta): MergeResult {
    const result = way(this.state, delta);
    this.#replay(result, true);
    if (result.outcome !== "merged") assert.deepEqual([result.joins, result.leaves], [[], []]);
    return result;
  }

  /** Merges another replica's complete state. */
  exchange(from: PresenceState): void {
    for (const delta of fullDeltas(from, this.state)) this.take(mergeFull, delta);
  }

  mark(how: (state: PresenceState, writer: Writer) => Changes, writer: Writer): void {
    this.#replay(how(this.state, writer), how !== markDown);
  }

  #replay({ joins, leaves }: Changes, is_end: boolean): void {
    for (const left of leaves) {
      const tag = tagOf(left);
      assert.equal(this.#shown.get(tag), JSON.stringify(left.entry), "a leave of what had joined");
      this.#shown.delete(tag);
      if (is_end) this.#ended.add(tag);
    }
    for (const joined of joins) {
      const tag = tagOf(joined);
      assert.ok(!this.#shown.has(tag), "a join of what had not");
      assert.ok(!this.#ended.has(tag), "a join of what had not ended");
      this.#shown.set(tag, JSON.stringify(joined.entry));
    }
    this.check();
  }

  /** The view equals the reports, and the counts are right. */
  check(): void {
    const lines = [...this.#shown].map(([tag, entry]) => `${tag} ${entry}`).sort();
    assert.deepEqual(allOnline(this.state), lines);
    for (const { tenant_id, room_id } of onlineRooms(this.state)) {
      const entries = [...online(this.state, tenant_id, room_id)].map(({ entry }) => entry);
      const users = new Set(
        entries.map(({ issuer, user_id }) => JSON.stringify([issuer, user_id])),
      );
      // A connection that moves between two writers has two.
      const connections = new Set(entries.map(({ connection_id }) => connection_id)).size;
      const count = { connections, users: users.size };
      assert.deepEqual(countOnline(this.state, tenant_id, room_id), count);
    }
  }
}
