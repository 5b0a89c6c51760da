/**
 * The effect that a change would have had on a past window, from the journal of the bus. All planned policies, mappings
 * and required signatures together decide each recorded operation again; each policy and schema that changes is also
 * looked at alone. What the journal cannot tell is said.
 */
import { matchesRoomPattern } from "@arqon/proto";
import { configFrom } from "../../../shared/config/load.ts";
import type { SignatureRule } from "../../../shared/config/schema_auth.ts";
import type { SchemaMapping } from "../../../shared/config/schema_governance.ts";
import { isHole, type JournalLine, type JournalRecord } from "../../../shared/journal/record.ts";
import type { PolicyBinding } from "../../../shared/records/verdict.ts";
import { SchemaError } from "../../../shared/schema/schema_error.ts";
import type { Admin } from "../../bus/admin.ts";
import { inOrder } from "../../../shield/policy/chain/chain.ts";
import type { Change, Desired, Kind, State } from "../../desired/form.ts";
import { type Planned, PlannedChain, SENDERS } from "../../replay/planned_chain.ts";
import { type AddedPolicy, isCovered, NO_MODULE, withAdded } from "../../replay/selection.ts";
import { busChunks, busModules } from "../../replay/bus_replay.ts";
import {
  addUnits,
  type Counts,
  countWithin,
  emptyHistogram,
  type FlipKind,
  fuelFigures,
  plain,
  type Sample,
  SAMPLES,
  sumOf,
} from "../../replay/tally.ts";
import { createModuleBook, readyModule } from "../../replay/replay_modules.ts";
import { linesIn } from "../../replay/journal_chunks.ts";
import { Repeater, type ReplayModule } from "../../replay/repeater.ts";
import { CommandError, printable } from "../../terminal/exit.ts";
import { createProgress } from "../../terminal/screen.ts";
import { MappedRooms, refusedBy, SchemaChecker } from "../../traffic/schema_checker.ts";
import { type Configuration, type LiveState, readSchema } from "./live_state.ts";
import { time } from "../../answers/figures.ts";
import { linesText } from "../../terminal/columns.ts";

/** Who sent an event, and where. */
type Named = Pick<Sample, "room" | "user">;

/** The effect of one policy's change on recorded traffic. */
type Consequence = ReturnType<Awaited<ReturnType<typeof withPolicy>>["found"]>;

const { platform: { overseer: { memory_limit_pages: PAGES } } } = configFrom({});

/** A bus, and the window to examine; Unix ms, both inclusive. */
interface Window {
  readonly admin: Admin;
  readonly tenant: string;
  readonly from_ms: number;
  readonly until_ms: number;
  /** The modules of the plan and of the bus. */
  readonly moduleOf: (sha256: string) => Promise<ReplayModule | undefined>;
  readonly configuration: Configuration;
}

/** One view of the window, which takes its lines in order. */
interface View<Found> {
  take(line: JournalLine): Promise<void> | undefined;
  readonly found: () => Found;
}

const eachRecord = (take: (record: JournalRecord) => void) => (line: JournalLine): undefined => {
  if (!isHole(line)) take(line);
};

/** Looks at the decisions of a policy that is removed. */
function withoutPolicy({ name, mode }: PolicyBinding): View<Consequence> {
  const units = emptyHistogram();
  const to_allowed: Named[] = [];
  let decisions = 0;
  let refuse_to_allow = 0;
  return {
    take: eachRecord(({ policies, allowed, room, sender }) => {
      const policy = policies.find((one) => one.name === name);
      if (policy === undefined) return;
      decisions++;
      addUnits(units, policy.units);
      // A chain ends with its first effective refusal: this one.
      if (policy.mode !== "enforce" || policy.allowed || allowed) return;
      refuse_to_allow++;
      if (to_allowed.length < SAMPLES) to_allowed.push({ room, user: sender?.user ?? null });
    }),
    found: () => ({
      policy: name,
      action: "remove",
      mode,
      decisions,
      repeated: decisions,
      allow_to_refuse: 0,
      refuse_to_allow,
      changed: 0,
      recorded_different: 0,
      unknown: 0,
      by_sender: new Map(),
      fuel: { recorded: fuelFigures(units), planned: fuelFigures(emptyHistogram()) },
      samples: { to_refused: [], to_allowed },
    }),
  };
}

/** Repeats a policy's calls with its new module. A new policy has `orders`, those of all: for it all records count. */
async function withPolicy(
  { moduleOf, configuration: { fuel_limit } }: Window,
  policy: PolicyBinding,
  bytes: Uint8Array,
  orders?: AddedPolicy["orders"],
) {
  const { name, mode } = policy;
  const added = orders && { ...policy, fuel_limit, orders };
  const by_sender: Counts = new Map();
  const repeater = new Repeater({
    selection: { policy: name },
    // A changed policy may cover less than it did.
    isSelected: (record) => isCovered(policy, record),
    candidate: await readyModule(bytes, PAGES),
    withAdded: added && ((record) => withAdded(record, added)),
    moduleOf: (sha256) => sha256 === NO_MODULE ? Promise.resolve(undefined) : moduleOf(sha256),
    onFlip: (kind, { user }) => {
      if (kind === "to_refused") countWithin(SENDERS, by_sender, user ?? "(erased)");
    },
  });
  const found = () => {
    const { decisions, recorded, candidate } = repeater.tally;
    const { to_refused, to_allowed }: Readonly<Record<FlipKind, readonly Named[]>> =
      candidate.samples;
    return {
      policy: name,
      /** `add`: the policy did not exist then, so everything it refuses is new; `remove`: nothing is repeated. */
      action: (added === undefined ? "change" : "add") as "add" | "change" | "remove",
      /** Whether it will decide or only observe; an observing policy refuses nothing. */
      mode,
      /** Decisions of the policy; for a new one, decisions about messages that were admitted without it. */
      decisions,
      repeated: candidate.repeated,
      allow_to_refuse: candidate.to_refused,
      refuse_to_allow: candidate.to_allowed,
      /** The same verdict with another code, reason or headers. */
      changed: added === undefined ? candidate.changed : 0,
      /** Decisions that the former module does not repeat as recorded. */
      recorded_different: sumOf(recorded.different),
      /** Decisions that cannot be judged, because they depend on data that the journal does not have. */
      unknown: candidate.not_judged,
      by_sender,
      fuel: {
        recorded: fuelFigures(candidate.recorded_fuel),
        planned: fuelFigures(candidate.fuel),
      },
      samples: { to_refused, to_allowed },
    };
  };
  return { take: (line: JournalLine) => repeater.take(line), found };
}

/** The mappings that can refuse an event; an observing one is skipped like another schema's. */
function refusing(mappings: readonly SchemaMapping[]): SchemaMapping[] {
  return mappings.map((one) => one.mode === "observe" ? { ...one, schema_id: "~" } : one);
}

/** A checker for the events of a schema. Throws a `CommandError` for a set that cannot be used. */
function checkerOf(
  tenant: string,
  { mappings, general }: Record<"mappings" | "general", readonly SchemaMapping[]>,
  schema_id: string,
  set: Uint8Array,
): SchemaChecker {
  try {
    return new SchemaChecker({ tenant, schema_id, set, mappings: refusing(mappings), general });
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw new CommandError(`schema ${schema_id}: ${error.message}`);
  }
}

/** Checks the window's events against the new schema with the new mappings. */
function withSchema(schema: string, checker: SchemaChecker) {
  const found = () => {
    const { refused, refused_before, allowed_now, ...rest } = checker.tally;
    const { checked, no_payload, by_sender, by_rule } = rest;
    return {
      schema,
      checked,
      allow_to_refuse: refused - refused_before,
      refuse_to_allow: allowed_now,
      still_refused: refused_before,
      // The last two also count events that were refused then, too.
      no_payload,
      by_sender,
      by_rule,
    };
  };
  return { take: eachRecord((record) => checker.take(record, {})), found };
}

/** Schemas that have a new or changed mapping, and changed schemas that have any mapping. */
function changedSchemas(mappings: readonly SchemaMapping[], changes: readonly Change[]): string[] {
  const changed = (kind: Change["kind"], name: string) =>
    changes.some((one) => one.kind === kind && one.name === name && one.action !== "remove");
  const ids = mappings.filter(({ subject, schema_id, mode }) =>
    mode !== "observe" && (changed("mappings", subject) || changed("schemas", schema_id))
  ).map(({ schema_id }) => schema_id);
  return [...new Set(ids)].sort();
}

/** What a change of these does to messages is not in the journal; other kinds are decided again. */
const NOT_REPLAYED: Partial<Record<Kind, string>> = {
  rooms: "the journal does not record what a room class limits",
  mirror: "copies decide about no message",
  quotas: "the journal does not have the counts of all Shields",
  budgets: "the journal does not have the use that they count",
  hooks: "the journal does not have the answers of webhooks",
  schedules: "what they would have published is not in the journal",
  reducers: "arq room deploy CLASS FILE --dry-run tries a program on the past calls of its rooms",
};
const REFUSED_BY: Partial<Record<Kind, string>> = {
  quotas: "tenant-quota",
  budgets: "budget-exhausted",
};

/** What the answer cannot know, in sentences; the classes are those in force, `reasons` are refusals of the window. */
function notReplayed(
  changes: readonly Change[],
  { policies = [] }: State,
  { rooms = [] }: State,
  { journals }: Configuration,
  reasons?: Counts,
): string[] {
  const lines = changes.flatMap(({ kind, name }) => {
    const why = NOT_REPLAYED[kind];
    if (why === undefined) return [];
    const refused = REFUSED_BY[kind];
    const then = refused === undefined
      ? ""
      : `; ${reasons?.get(refused) ?? 0} refused by ${refused}`;
    return [`${kind} ${name}: ${why}${then}`];
  });
  const pieces = policies.filter(({ name, hooks }) =>
    hooks.includes("on_append") &&
    changes.some((one) => one.kind === "policies" && one.name === name)
  ).map(({ name }) => `policies ${name}: the journal does not have the pieces of growing messages`);
  const others = journals.filter(({ room }) => !rooms.some((one) => one.room === room));
  const general = journals.at(-1)?.journal;
  const parts = [...rooms, ...others].filter(({ journal = general, journal_share = 1 }) =>
    journal === "refused" || journal === "off" || journal_share < 1
  ).map(({ room }) => `rooms ${room}: their class records a part of the decisions, or none`);
  return [...lines, ...pieces, ...parts];
}

/** The verdict of the planned schemas on a message. */
function schemaOf(rooms: MappedRooms, record: JournalRecord): Planned {
  const refused = refusedBy(rooms, record);
  if (refused === undefined) return { unknown: ["payload"] };
  return refused === false ? {} : { by: `schema ${refused}` };
}

/** The verdict of the required signatures. */
function signatureOf(rules: readonly SignatureRule[], record: JournalRecord): Planned {
  const { hook, room, is_signed, terms } = record;
  if (hook !== "on_message" || is_signed === true) return {};
  const of = rules.filter((rule) => matchesRoomPattern(rule.room, room));
  if (of.length > 0 && terms === undefined) return { unknown: ["role"] };
  return of.some(({ role }) => role === terms?.credential.role) ? { by: "require_signature" } : {};
}

/** Whoever reads them from a folder or a bus checks hooks and modes. */
const bindingsOf = ({ policies = [] }: State) => policies as readonly PolicyBinding[];

/** What all that is planned would have decided together. */
async function together(
  { moduleOf, tenant, configuration }: Window,
  planned: State,
  sets: ReadonlyMap<string, Uint8Array>,
  changes: readonly Change[],
) {
  const isChanged = (...kinds: Kind[]) => changes.some(({ kind }) => kinds.includes(kind));
  const { mappings: general, fuel_limit, chain_fuel_limit, max_frame_bytes } = configuration;
  const rooms = new MappedRooms({ tenant, mappings: planned.mappings ?? [], general }, sets);
  const rules = [...configuration.require_signature, ...planned.require_signature ?? []];
  const chain = await PlannedChain.of({
    policies: bindingsOf(planned).toSorted(inOrder),
    moduleOf,
    fuel_limit,
    chain_fuel_limit,
    max_frame_bytes,
    gates: {
      signature: {
        is_changed: isChanged("require_signature"),
        decide: (record) => signatureOf(rules, record),
      },
      schema: {
        is_changed: isChanged("mappings", "schemas"),
        decide: (record) => schemaOf(rooms, record),
      },
    },
  });
  return { take: eachRecord((record) => chain.take(record)), found: () => chain.tally };
}

/** The consequences of a plan: of all together, and of each policy and schema alone. */
export type Consequences = Awaited<ReturnType<typeof consequences>>;

/** The consequences of each change that can be repeated: the window is read once, for all of them. */
export async function consequences(
  admin: Admin,
  desired: Desired,
  { changes: all, live }: { readonly changes: readonly Change[]; readonly live: LiveState },
  since_seconds: number,
) {
  const { tenant, state, modules } = desired;
  const given = Object.entries(state).filter(([, list]) => list !== undefined);
  const planned: State = { ...live.state, ...Object.fromEntries(given) };
  const { configuration } = live;
  const { mappings: general } = configuration;
  const { mappings = [] } = planned;
  // A schema without a mapping checks nothing.
  const changes = all.filter(({ kind, name }) =>
    kind !== "schemas" || [...mappings, ...general].some(({ schema_id }) => schema_id === name)
  );
  const now_ms = Math.trunc(await admin.now());
  const from_ms = Math.max(0, now_ms - 1_000 * since_seconds);
  // The bus tells its time in whole seconds.
  const until_ms = now_ms + 1_000;
  const onBus = busModules(admin, tenant);
  const source = async (sha256: string) => modules.get(sha256) ?? await onBus(sha256);
  const moduleOf = createModuleBook(source, PAGES);
  const window = { admin, tenant, from_ms, until_ms, moduleOf, configuration };
  const counts = changes.some(({ kind }) => NOT_REPLAYED[kind] === undefined || REFUSED_BY[kind]);
  const sets = new Map([
    ...await configuredSets(admin, general),
    ...live.sets,
    ...desired.sets,
  ]);
  const messages = counts ? await together(window, planned, sets, changes) : undefined;
  const policies = await policyViews(
    window,
    desired,
    changes,
    bindingsOf(live.state),
    bindingsOf(state),
  );
  const schemas = changedSchemas([...general, ...mappings], changes).flatMap((id) => {
    const set = sets.get(id);
    if (set === undefined) return [];
    return [withSchema(id, checkerOf(tenant, { mappings, general }, id, set))];
  });
  const views = [...messages === undefined ? [] : [messages], ...policies, ...schemas];
  const read = { lines: 0, bad_lines: 0, holes: 0 };
  const begins_ms = views.length === 0 ? undefined : await readWindow(window, views, read);
  const { holes } = read;
  const not_replayed = notReplayed(
    changes,
    planned,
    live.state,
    configuration,
    messages?.found().reasons,
  );
  if (begins_ms !== undefined && begins_ms > from_ms) {
    not_replayed.push(`before ${time(begins_ms)}: the journal begins then`);
  }
  return {
    messages: messages === undefined ? null : plain({ from_ms, ...messages.found(), ...read }),
    policies: policies.map((one) => plain({ from_ms, holes, ...one.found() })),
    schemas: schemas.map((one) => plain({ from_ms, holes, ...one.found() })),
    not_replayed,
  };
}

/** The sets of the schemas that the configuration maps. */
async function configuredSets(
  admin: Admin,
  general: readonly SchemaMapping[],
): Promise<Map<string, Uint8Array>> {
  const sets = new Map<string, Uint8Array>();
  for (const id of new Set(general.map(({ schema_id }) => schema_id))) {
    const found = await readSchema(admin, id);
    if (found !== undefined) sets.set(id, found.bytes);
  }
  return sets;
}

/** Gives each line of the window to all views; resolves with the journal's beginning, if it has any. */
async function readWindow(
  { admin, tenant, from_ms, until_ms }: Window,
  views: readonly View<unknown>[],
  read: Parameters<typeof linesIn>[1],
): Promise<number | undefined> {
  const { io } = admin;
  const progress = await createProgress(io);
  try {
    for await (const chunk of busChunks(admin, tenant, { policy: "", from_ms, until_ms })) {
      progress.update(chunk.first_line);
      for (const line of linesIn(chunk, read)) {
        read.holes += Number(isHole(line));
        for (const view of views) {
          const waits = view.take(line);
          if (waits !== undefined) await waits;
        }
      }
    }
    io.signal.throwIfAborted();
    const { first_ms } = await admin.get("/v1/journal/status", { tenant });
    return typeof first_ms === "number" ? first_ms : undefined;
  } finally {
    progress.stop();
  }
}

/** A view for each policy that is new or has another module, then for each that is removed. */
async function policyViews(
  window: Window,
  { modules }: Pick<Desired, "modules">,
  changes: readonly Change[],
  before: readonly PolicyBinding[],
  wanted: readonly PolicyBinding[],
): Promise<View<Consequence>[]> {
  const orders = new Map([...before, ...wanted].map(({ name, order }) => [name, order]));
  const views: View<Consequence>[] = [];
  const removed: View<Consequence>[] = [];
  for (const { kind, name, action, members } of changes) {
    const policy = (action === "remove" ? before : wanted).find((one) => one.name === name);
    if (kind !== "policies" || policy === undefined) continue;
    const bytes = modules.get(policy.sha256);
    if (action === "remove") removed.push(withoutPolicy(policy));
    else if (bytes !== undefined && members.some(({ member }) => member === "sha256")) {
      const others = action === "add" ? orders : undefined;
      views.push(await withPolicy(window, policy, bytes, others));
    }
  }
  return [...views, ...removed];
}

/** Shown names of each list. */
const SHOWN = 5;

/** The most frequent ones, one per line. */
function countedLines(counted: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(counted).sort(([a, one], [b, other]) =>
    other - one || (a < b ? -1 : 1)
  );
  const lines = sorted.slice(0, SHOWN).map(([name, count]) => `${count} ${name}`);
  const more = sorted.length - SHOWN;
  return linesText([...lines, ...more > 0 ? [`… and ${more} more`] : []], "    ");
}

/** The first samples of a list, one per line. */
const namedLines = (samples: readonly Named[]): string =>
  linesText(
    samples.slice(0, 3).map(({ room, user }) => `${user ?? "an erased user"} in ${room}`),
    "    ",
  );

function headOf(what: string, name: string, from_ms: number): string {
  return `${[what, printable(name)].join(" ").trim()} since ${time(from_ms)}: `;
}

/** The effects of one change after what makes them doubtful; `count`: what of the journal was repeated. */
function effectsText(
  count: number,
  doubts: readonly (readonly [count: number, what: string])[],
  effects: string,
): string {
  const found = doubts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  const doubt = found.length === 0 ? "" : `  in doubt: ${found.join(", ")}\n`;
  if (count > 0) return doubt + effects;
  return `  the journal has none, so the effect is unknown\n${doubt}`;
}

const flipsText = (
  { allow_to_refuse, refuse_to_allow }: {
    readonly allow_to_refuse: number;
    readonly refuse_to_allow: number;
  },
  others: string,
) => `  would be refused: ${allow_to_refuse}, would be allowed: ${refuse_to_allow}, ${others}\n`;

function policyText(one: Consequences["policies"][number]): string {
  const { decisions, repeated, fuel, samples } = one;
  const senders = one.allow_to_refuse === 0 ? "" : `  by sender:\n${countedLines(one.by_sender)}`;
  const observes = one.mode === "observe"
    ? "  it only observes: none of this is enforced yet\n"
    : "";
  const let_through = one.action === "remove" ? namedLines(samples.to_allowed) : "";
  const steps = one.action === "add"
    ? fuel.planned.p99
    : `${fuel.recorded.p99} → ${fuel.planned.p99}`;
  const effects = flipsText(one, `otherwise changed: ${one.changed}`) +
    namedLines(samples.to_refused) + let_through + senders + observes +
    `  fuel p99: ${steps}\n`;
  const head = headOf("policy", one.policy, one.from_ms);
  return `${head}${decisions} decisions, ${repeated} repeated\n` + effectsText(decisions, [
    [one.recorded_different, "do not repeat as recorded"],
    [one.unknown, "NOT JUDGED, since the journal does not have an input"],
    [one.holes, "holes"],
  ], effects);
}

function schemaText(one: Consequences["schemas"][number]): string {
  const refused = one.allow_to_refuse + one.still_refused === 0
    ? ""
    : `  by sender:\n${countedLines(one.by_sender)}` +
      `  by field and rule:\n${countedLines(one.by_rule)}`;
  const effects = flipsText(one, `refused as then: ${one.still_refused}`) + refused;
  const head = headOf("schema", one.schema, one.from_ms);
  return `${head}${one.checked} events checked\n` + effectsText(one.checked, [
    [one.no_payload, "NOT JUDGED, since the journal does not have the payload"],
    [one.holes, "holes"],
  ], effects);
}

function messagesText(one: Consequences["messages"]): string {
  if (one === null) return "";
  const { operations, admitted, samples } = one;
  const inputs = Object.keys(one.unknown_inputs).slice(0, SHOWN).map(printable).join(", ");
  const unseen = admitted === 0
    ? "  the journal has no admitted operation, so what would be refused is unknown\n"
    : "";
  const named = namedLines(samples.to_refused) + namedLines(samples.to_allowed);
  const counted = one.allow_to_refuse === 0
    ? ""
    : `  by sender:\n${countedLines(one.by_sender)}  refused by:\n${countedLines(one.by_gate)}`;
  const effects = unseen + flipsText(one, `refused as then: ${one.still_refused}`) + named +
    counted;
  const head = headOf("all together", "", one.from_ms);
  return `${head}${operations} operations, ${admitted} of them admitted then\n` +
    effectsText(operations, [
      [one.unknown, `NOT JUDGED, since the journal does not have: ${inputs}`],
      [one.warm_up, "depend on keyed state from before that time"],
      [one.bad_lines, "lines that cannot be read"],
      [one.holes, "holes"],
    ], effects);
}

/** The consequences of all changes that could be repeated, and what could not. */
export function consequencesText(all: Consequences | undefined): string {
  if (all === undefined) return "";
  const { messages, policies, schemas, not_replayed } = all;
  const lines = linesText(not_replayed, "NOT REPLAYED: ");
  return messagesText(messages) + policies.map(policyText).join("") +
      schemas.map(schemaText).join("") + lines || "no change: nothing to replay\n";
}
