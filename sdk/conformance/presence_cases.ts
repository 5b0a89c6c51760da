/**
 * What presence.json is made of: what a Shield says about one room, step by step, and who is in it
 * afterwards. `generate.ts` adds the Protobuf bytes of the events.
 */

/** One connection; `meta` is any JSON, null for none. */
export interface CaseMember {
  readonly connection_id: string;
  readonly user_id: string;
  readonly meta: unknown;
  readonly joined_ms: number;
}

/** One thing that happens to the client. */
export type Step =
  /**
   * The JSON of the ACK to SUB: a new list begins; `pages` is the number of its pages, the first
   * one included.
   */
  | {
    readonly ack: { members: CaseMember[]; connections: number; users: number; pages: number };
  }
  | { readonly update: readonly CaseMember[]; readonly users: number; readonly snapshot?: true }
  | { readonly leave: readonly CaseMember[]; readonly users: number }
  /** Event data that is no presence: the step is refused and changes nothing. */
  | { readonly garbage: "PRESENCE_UPDATE" | "PRESENCE_LEAVE"; readonly hex: string }
  /** The connection ended. */
  | { readonly lost: true };

/** One sequence and its outcome: members sorted by connection id. */
export interface PresenceCase {
  readonly name: string;
  readonly steps: readonly Step[];
  readonly expect: { members: CaseMember[]; users: number; complete: boolean };
}

const member = (connection_id: string, meta: unknown = null, joined_ms = 1): CaseMember => ({
  connection_id,
  user_id: `user-${connection_id}`,
  meta,
  joined_ms,
});
const ack = (members: CaseMember[], pages = 1, users = members.length): Step => ({
  ack: { members, connections: users, users, pages },
});
const update = (users: number, ...members: CaseMember[]): Step => ({ update: members, users });
const page = (users: number, ...members: CaseMember[]): Step => ({
  update: members,
  users,
  snapshot: true,
});
const leave = (users: number, ...ids: string[]): Step => ({
  leave: ids.map((id) => member(id)),
  users,
});
const whole = (users: number, ...members: CaseMember[]) => ({ members, users, complete: true });

const [a, b, c, d] = [member("a"), member("b", { n: 1 }), member("c", "text"), member("d", [1])];

/** Whole lists: one page, changes, duplicates. */
const CHANGES: readonly PresenceCase[] = [
  { name: "the ACK alone", steps: [ack([a, b])], expect: whole(2, a, b) },
  { name: "an empty room", steps: [ack([])], expect: whole(0) },
  { name: "a join", steps: [ack([a]), update(2, b)], expect: whole(2, a, b) },
  {
    name: "a join that comes twice",
    steps: [ack([a]), update(2, b), update(2, b)],
    expect: whole(2, a, b),
  },
  {
    name: "a join of who is there already",
    steps: [ack([a, b]), update(2, b)],
    expect: whole(2, a, b),
  },
  {
    name: "other metadata",
    steps: [ack([a]), update(1, member("a", { n: 2 }))],
    expect: whole(1, member("a", { n: 2 })),
  },
  {
    name: "metadata taken away",
    steps: [ack([b]), update(1, member("b"))],
    expect: whole(1, member("b")),
  },
  { name: "a leave", steps: [ack([a, b]), leave(1, "a")], expect: whole(1, b) },
  {
    name: "a leave that comes twice",
    steps: [ack([a, b]), leave(1, "a"), leave(1, "a")],
    expect: whole(1, b),
  },
  {
    name: "a leave of somebody who never came: a gap before",
    steps: [ack([a]), leave(1, "x")],
    expect: whole(1, a),
  },
  {
    name: "gone and back with a later join",
    steps: [ack([a]), leave(0, "a"), update(1, member("a", null, 9))],
    expect: whole(1, member("a", null, 9)),
  },
  {
    name: "several in one event",
    steps: [ack([]), update(3, a, b, c), leave(1, "a", "c")],
    expect: whole(1, b),
  },
  {
    name: "one connection twice in one event: the later entry counts",
    steps: [ack([]), update(1, member("a", 1), member("a", 2))],
    expect: whole(1, member("a", 2)),
  },
  {
    name: "users are the Shield's number, not the length of the list",
    steps: [ack([a, b], 1, 1), update(1, c)],
    expect: whole(1, a, b, c),
  },
];

/** Lists that come in pages, with changes between them. */
const PAGES: readonly PresenceCase[] = [
  {
    name: "a page is missing: nothing to show yet",
    steps: [ack([a], 2)],
    expect: { members: [], users: 1, complete: false },
  },
  {
    name: "three pages",
    steps: [ack([a], 3, 3), page(3, b), page(3, c)],
    expect: whole(3, a, b, c),
  },
  {
    name: "a page with somebody of an earlier page",
    steps: [ack([a], 2, 2), page(2, a, b)],
    expect: whole(2, a, b),
  },
  {
    name: "an update between pages is newer than the later page",
    steps: [ack([a], 2, 2), update(2, member("b", { n: 2 })), page(2, b)],
    expect: whole(2, a, member("b", { n: 2 })),
  },
  {
    name: "a leave between pages is newer than the later page",
    steps: [ack([a], 2, 2), leave(1, "b"), page(1, b)],
    expect: whole(1, a),
  },
  {
    name: "a leave between pages takes away what an earlier page said",
    steps: [ack([a, c], 2, 3), leave(2, "a"), page(2, b)],
    expect: whole(2, b, c),
  },
  {
    name: "left and joined again between pages",
    steps: [ack([a], 2, 2), leave(1, "b"), update(2, member("b", 5, 9)), page(2, b)],
    expect: whole(2, a, member("b", 5, 9)),
  },
  {
    name: "changes between pages are not shown before the list is whole",
    steps: [ack([a], 2, 2), update(3, d)],
    expect: { members: [], users: 3, complete: false },
  },
];

/** Reconnects: gaps that only a new list closes. */
const RECONNECTS: readonly PresenceCase[] = [
  {
    name: "before the first ACK nothing counts",
    steps: [update(1, a), leave(0, "b")],
    expect: { members: [], users: 0, complete: false },
  },
  {
    name: "a lost connection keeps the list",
    steps: [ack([a, b]), { lost: true }],
    expect: whole(2, a, b),
  },
  {
    name: "after a lost connection events do not count until the next ACK",
    steps: [ack([a]), { lost: true }, update(2, b), leave(0, "a")],
    expect: whole(1, a),
  },
  {
    name: "the new list replaces the old one: who came and went in the gap",
    steps: [ack([a, b]), { lost: true }, ack([b, c])],
    expect: whole(2, b, c),
  },
  {
    name: "the old list stays until all pages of the new one have come",
    steps: [ack([a, b]), { lost: true }, ack([c], 2, 2)],
    expect: whole(2, a, b),
  },
  {
    name: "a connection lost between pages: the half list is forgotten",
    steps: [ack([a], 2, 2), { lost: true }, ack([c])],
    expect: whole(1, c),
  },
  {
    name: "another ACK while pages are missing begins anew",
    steps: [ack([a], 3, 3), page(3, b), ack([c], 2, 2), page(2, d)],
    expect: whole(2, c, d),
  },
];

/** Data that is no presence. */
const GARBAGE: readonly PresenceCase[] = [
  {
    name: "an update cut in a member",
    steps: [ack([a]), { garbage: "PRESENCE_UPDATE", hex: "0a050a0162" }],
    expect: whole(1, a),
  },
  {
    name: "a leave of garbage",
    steps: [ack([a]), { garbage: "PRESENCE_LEAVE", hex: "ffff" }],
    expect: whole(1, a),
  },
  {
    name: "an update that counts twice",
    steps: [ack([a]), { garbage: "PRESENCE_UPDATE", hex: "10011002" }],
    expect: whole(1, a),
  },
  {
    name: "a member with two ids",
    steps: [ack([a]), { garbage: "PRESENCE_UPDATE", hex: "0a060a01620a0163" }],
    expect: whole(1, a),
  },
  {
    name: "an update whose count is bytes",
    steps: [ack([a]), { garbage: "PRESENCE_UPDATE", hex: "120101" }],
    expect: whole(1, a),
  },
  {
    name: "a member who joined at 2^53",
    steps: [ack([a]), { garbage: "PRESENCE_UPDATE", hex: "0a0c0a0162208080808080808010" }],
    expect: whole(1, a),
  },
  {
    name: "metadata that is no JSON: NaN",
    steps: [ack([a]), { garbage: "PRESENCE_UPDATE", hex: "0a080a01621a034e614e" }],
    expect: whole(1, a),
  },
  {
    name: "a leave with a group",
    steps: [ack([a]), { garbage: "PRESENCE_LEAVE", hex: "6364" }],
    expect: whole(1, a),
  },
  {
    name: "garbage counts also before the first ACK",
    steps: [{ garbage: "PRESENCE_LEAVE", hex: "ffff" }],
    expect: { members: [], users: 0, complete: false },
  },
];

/** All sequences, in the order of the file. */
export const PRESENCE: readonly PresenceCase[] = [...CHANGES, ...PAGES, ...RECONNECTS, ...GARBAGE];
