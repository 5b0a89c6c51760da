/**
 * What the bus must, may and must not do with a row's messages while a server or a connection is lost. Written from
 * `docs/`, which is quoted for each rule; where a document permits two outcomes, both are right. Pure.
 */
import { FACTORS, type Row } from "./factors.ts";
import { decisionsOf, deliveredTo, fateOf, formOf, messageOf } from "./model.ts";

/** The effects of a fault on clients. */
export interface Harm {
  /** Connections of clients end. */
  readonly cuts_clients?: boolean;
  /** Messages between processes may be lost, and the log is unavailable for a while. */
  readonly cuts_spine?: boolean;
  /** Those of a Shield that stops orderly: clients that move miss nothing. */
  readonly moves?: boolean;
  /** A Shield is killed. */
  readonly kills_shield?: boolean;
  /** A Brain is killed. */
  readonly kills_brain?: boolean;
  /** Shields restart: their memory is lost, after an orderly stop, too. */
  readonly forgets?: boolean;
  /** The clock of the journal's store is set back. */
  readonly sets_clock?: boolean;
  /** The wall clocks of processes are set, and set back after a moment. */
  readonly steps_clock?: boolean;
  /** Nothing can be stored for a while. */
  readonly fills_disk?: boolean;
}

const READERS = [
  ...["text", "binary", "filter", "pattern", "events", "delta", "session"],
  ...["late", "after", "start", "history", "stream", "poll"],
] as const;

/**
 * Values of the factors for rows in which connections break. Other values publish under another name, or refuse nobody.
 */
export const FAULT_FACTORS = {
  ...FACTORS,
  source: ["text", "binary", "http", "batch", "session", "protobuf"],
  gate: ["none", "policy", "replace", "schema"],
  // The log's check looks for every accepted message.
  log: ["plain", "durable", "latest"],
  shape: ["small", "large"],
  // Here: an unanswered message is sent again until it is answered.
  twice: ["yes", "no"],
  again: ["no"],
  // A receipt is in an answer, and one of those may be lost.
  proof: ["off", "log"],
  removed: ["no"],
  first: READERS,
  second: READERS,
  third: READERS,
} as const;

/** Before the fault, during it, and after it. */
export type Phase = 0 | 1 | 2;
const PHASE_LENGTH = 3;
/** The phase of the message at that place. */
export const phaseOf = (place: number): Phase => Math.floor(place / PHASE_LENGTH) as Phase;

/** The outcome of a message for its publisher. */
export interface Fact {
  readonly place: number;
  /** How often it was sent. */
  readonly tries: number;
  /** "": acknowledged; else `status reason`; undefined: never answered, or temporarily refused. */
  readonly outcome: string | undefined;
  /** In the log, from the answer; absent, undefined, 0: none. */
  readonly offset?: number | undefined;
  /** The source; absent: the row's. */
  readonly source?: Row["source"];
}

/** What a reader received, in order. `again`: it has reconnected. */
export type Item =
  | { readonly text: string; readonly offset?: number | undefined }
  | { readonly gap: string }
  | { readonly again: true };

/** Readers that begin after the fault. */
export const LATE_READERS: readonly string[] = ["late", "after", "start", "history", "stream"];

/** The places that a reader receives if they were accepted, whatever happens to its connection. */
function dueTo(row: Row, kind: Row["first"], taken: readonly number[]): readonly number[] {
  if (kind === "late") return taken.filter((place) => phaseOf(place) === 2);
  if (kind === "after") return taken.slice(1);
  if (kind !== "filter") return taken;
  const wanted = deliveredTo(row, kind);
  return taken.filter((place) => wanted.includes(place));
}

/**
 * Whether an acknowledged message may be missing, if that is reported. docs/durable.md, "What is promised": "A
 * subscriber receives each stored message once"; docs/protocol.md, "GAP": "After its own reconnect a client has missed
 * messages without a GAP", "A GAP says that messages may be missing".
 */
export const mayMiss = ({ log }: Row, { cuts_clients, cuts_spine }: Harm): boolean =>
  log === "plain" && (cuts_clients === true || cuts_spine === true);

/** What a reader may and must receive. */
export interface Claim {
  readonly kind: string;
  /** The place of the message with this text; undefined: none. */
  placeOf(text: string): number | undefined;
  /** From its acknowledgement; absent, undefined: unknown. */
  offsetOf?(place: number): number | undefined;
  /** Whether the reader has to receive it if it was accepted. */
  isDue(place: number): boolean;
  /** Whether it may receive a message that is not due; absent: never. */
  isOnItsWay?(place: number): boolean;
  /** Whether the item, which is not a message, reports that this one may be missing there. */
  isHole(place: number, item: Item): boolean;
  /** How often a message that was sent `tries` times may be received. */
  timesOf(place: number, tries: number): number;
  /** Whether the GAP at that index may be there. */
  isGapRight(at: number, item: Item): boolean;
}

/** Compares what a reader received with its claim. */
export function judgeReader(
  row: Row,
  kind: Row["first"],
  harm: Harm,
  facts: readonly Fact[],
  items: readonly Item[],
): string[] {
  const taken = facts.filter(({ outcome }) => outcome === "").map(({ place }) => place);
  const due = dueTo(row, kind, taken);
  const claim: Claim = {
    kind,
    placeOf: placesOf(row, kind, facts),
    isDue: (place) => due.includes(place),
    isHole: (place, item) => phaseOf(place) === 1 && mayMiss(row, harm) || isConflated(row, item),
    offsetOf: (place) => facts.find((one) => one.place === place)?.offset || undefined,
    timesOf: (_place, tries) => timesOf(row, harm, tries),
    isGapRight: (_at, item) => isGapRight(row, kind, harm, item) || isConflated(row, item),
  };
  return judgeItems(claim, facts, items);
}

/** The place of each of these messages, by the content that a reader receives. */
export function placesOf(row: Row, kind: Row["first"], facts: readonly Fact[]): Claim["placeOf"] {
  const byText = new Map(
    facts.map(({ place }) => [formOf(row, kind, messageOf(row, place)), place]),
  );
  return (text) => byText.get(text);
}

/** As `judgeReader`, for any number of messages. */
export function judgeItems(
  claim: Claim,
  facts: readonly Fact[],
  items: readonly Item[],
): string[] {
  const { kind } = claim;
  const wrong: string[] = [];
  const places = items.map((item) => "text" in item ? claim.placeOf(item.text) : undefined);
  const byPlace = new Map(facts.map((one) => [one.place, one]));
  const received = new Map<number, { at: number; times: number }>();
  items.forEach((item, at) => {
    if ("gap" in item && !claim.isGapRight(at, item)) wrong.push(`${kind} got a GAP, ${item.gap}`);
    if (!("text" in item)) return;
    const place = places[at];
    if (place === undefined) return void wrong.push(`${kind} hears ${item.text.slice(0, 80)}`);
    const { outcome = "", tries = 0 } = byPlace.get(place) ?? {};
    if (outcome !== "") wrong.push(`${kind} hears message ${place}, which was refused`);
    const acked = claim.offsetOf?.(place);
    if (item.offset !== undefined && acked !== undefined && item.offset !== acked) {
      wrong.push(`${kind} hears message ${place} at ${item.offset}, acknowledged at ${acked}`);
    }
    const { at: first = at, times = 0 } = received.get(place) ?? {};
    received.set(place, { at: first, times: times + 1 });
    if (times >= claim.timesOf(place, tries)) wrong.push(`${kind} hears message ${place} again`);
  });
  let last = -1;
  for (const { place, tries } of facts.filter(({ outcome }) => outcome === "")) {
    const at = received.get(place)?.at;
    if (at === undefined) {
      if (claim.isDue(place) && !isMissingRight(claim, place, items, places)) {
        wrong.push(`${kind} does not hear message ${place}`);
      }
      continue;
    }
    if (!claim.isDue(place) && claim.isOnItsWay?.(place) !== true) {
      wrong.push(`${kind} hears message ${place}, which is not for it`);
    }
    // A reader that missed the first of several attempts may get a later one, if its Shield "forgets all".
    const is_repeated = tries > 1 && claim.timesOf(place, tries) > 1;
    if (at < last && !is_repeated) wrong.push(`${kind} hears message ${place} behind a later one`);
    last = Math.max(at, last);
  }
  return wrong;
}

/**
 * docs/protocol.md, "Deduplication": each Shield "delivers only the first", and "forgets all when the tenant's last
 * subscription on it ends". "In a durable room the log deduplicates".
 */
export const timesOf = (
  { log, source }: Row,
  { cuts_clients, forgets }: Harm,
  tries: number,
): number => {
  if (log !== "plain" || cuts_clients !== true && forgets !== true) return 1;
  return PERSISTENT.includes(source) ? Infinity : tries;
};

/**
 * docs/durable.md, "Slow readers": with `latest`, "the buffer keeps only the newest message of each key"; there may be
 * a GAP before each buffered message. Any reader is slow on a busy machine.
 */
export const isConflated = ({ log }: Row, item: Item): boolean =>
  log === "latest" && "gap" in item && item.gap === "slow-consumer";

/** docs/protocol.md, "GAP": only ROOM_UPDATEs "are missing, no messages. Durable rooms have this GAP, too". */
const isOfChanges = (item: Item): boolean => "gap" in item && item.gap === "changes-lost";

/**
 * docs/protocol.md, "GAP": "Durable rooms have no such GAP"; in the case of a pattern, about rooms that it cannot name.
 */
export function isGapRight(
  { log }: Row,
  kind: string,
  { cuts_clients, cuts_spine, kills_brain }: Harm,
  item: Item,
): boolean {
  const is_cut = cuts_clients === true || cuts_spine === true;
  // docs/protocol-rooms.md, "ROOM_UPDATE": one from a Brain that did "not reach its Shield".
  if (isOfChanges(item)) return is_cut || kills_brain === true;
  return is_cut && (log === "plain" || kind === "pattern");
}

/** A missing message is reported: by a GAP or a lost connection between what was received before it and after it. */
function isMissingRight(
  { isHole }: Claim,
  place: number,
  items: readonly Item[],
  places: readonly (number | undefined)[],
): boolean {
  const before = places.findLastIndex((one) => one !== undefined && one < place);
  const next = places.findIndex((one) => one !== undefined && one > place);
  const after = next < 0 ? items.length : next;
  return items.slice(before + 1, after).some((item) =>
    !("text" in item) && !isOfChanges(item) && isHole(place, item)
  );
}

/** The room's history, each message with its data as JSON. docs/durable.md: "Acknowledged means stored." */
export function judgeLog(row: Row, facts: readonly Fact[], stored: readonly Item[]): string[] {
  return judgeReader(row, "history", {}, facts, stored).map((one) => `the log: ${one}`);
}

/**
 * Sources that retry by themselves. sdk/typescript/README.md: "With a `message_id` or `command_id` it is sent again".
 */
const PERSISTENT: readonly string[] = ["binary", "session"];

/**
 * How many decisions about a message the journal may have. docs/journal.md: "One that is killed loses what it had
 * collected"; a `hole` reports that.
 */
export function decisionsWithin(row: Row, fact: Fact, has_hole: boolean) {
  const { tries, outcome, place, source = row.source } = fact;
  if (decisionsOf(row, messageOf(row, place)).length === 0) return { least: 0, most: 0 };
  const most = PERSISTENT.includes(source) ? Infinity : tries;
  return { least: has_hole || outcome === undefined ? 0 : 1, most };
}

/** A line of the journal that reports nothing missing. */
export const SET_BACK = "clock-set-back";

/** Whether the fault may have caused that hole of the journal. */
export function isHoleRight(
  { kills_shield, cuts_spine, sets_clock, fills_disk }: Harm,
  why: string,
): boolean {
  // docs/journal.md: "Where the store's clock was set back between two blocks, the line `clock-set-back` stands".
  if (why === SET_BACK) return sets_clock === true;
  // docs/journal.md: "a block that the store did not take in five tries within some five seconds".
  const is_away = cuts_spine === true || fills_disk === true;
  return why === "killed" && kills_shield === true || why === "unavailable" && is_away ||
    why === "storage-full" && fills_disk === true;
}

/**
 * What a hook is called for. docs/hooks.md: "An accepted call may come again if a Brain dies, or its storage fails,
 * before it stores that", "In order by room", "From the log".
 */
export function judgeHook(
  row: Row,
  harm: Harm,
  facts: readonly Fact[],
  called: readonly string[],
): string[] {
  const { kills_brain, cuts_spine, fills_disk, forgets } = harm;
  const may_repeat = [kills_brain, cuts_spine, fills_disk, forgets].includes(true);
  const texts = may_repeat ? [...new Set(called)] : called;
  const items = texts.map((text) => ({ text }));
  return judgeReader(row, "text", {}, facts, items).map((one) => `the hook: ${one}`);
}

/** Compares the answers to a row's publisher with the model. */
export const judgeFacts = (row: Row, facts: readonly Fact[]): string[] =>
  facts.flatMap((fact) => judgeFact(row, fact));

/** Compares one answer with the model. */
export function judgeFact(row: Row, { place, outcome }: Fact): string[] {
  const { refusal } = fateOf(row, messageOf(row, place));
  if (outcome === undefined || outcome === refusal) return [];
  return [`message ${place}: ${outcome || "taken"}, the model: ${refusal || "taken"}`];
}
