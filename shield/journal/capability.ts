/** The journal capability of a Shield. */
import type { Config } from "../../shared/config/schema.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { Env } from "../../shared/env.ts";
import { METER_VERSION } from "../../wasm/metering/meter_costs.ts";
import type { LivingPart, OwnLife } from "../../shared/lives/own_life.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { Journal } from "./journal.ts";
import { JournalTotals } from "./metrics.ts";
import { JournalPlace } from "./journal_place.ts";
import { JournalQueue } from "./queue.ts";
import { JournalRules } from "./rules.ts";
import { TermsOf, type TermsParts } from "./terms.ts";
import { actionsOf, type Capability } from "../capability.ts";
import { type LiveKey, liveKeysOf } from "../../shared/config/keys/live_keys.ts";
import { canonicalJson } from "../../shared/canonical_json.ts";
import { payloadHash } from "../../shared/proof/entry.ts";
import { MIRROR } from "../mirror/capability.ts";
import { RATE_KEYS } from "../rates/rates.ts";
import { JOURNAL_ROUTES } from "./admin/api.ts";
import { linesOf } from "./admin/read.ts";

/** How long closing waits for the last blocks, in ms. */
const CLOSE_MS = 5_000;
/** The longest time between the start of a decision and its record, in ms: a policy may take a while. */
const IN_DECISION_MS = 1_000;

interface JournalStart
  extends Pick<Env, "spine" | "registry" | "log" | "node_id" | "now" | "monotonic_ms"> {
  readonly config: Pick<Config, "journal" | "platform" | "policy" | "limits" | "quota">;
  readonly classes: Pick<RoomClasses, "of">;
  readonly actions: NonNullable<TermsParts["actions"]>;
  readonly settings?: TermsParts["settings"];
  /** The mirror's rules; absent: no mirror. */
  readonly mirror?: TermsParts["mirror"];
  readonly life: Pick<OwnLife, "begin" | "lives" | "node_id" | "began_ms">;
}

interface StartedJournal {
  readonly journal: Journal;
  /** For its admin API: its store and keys, for readers. */
  readonly admin: {
    readonly place: JournalPlace;
    readonly node_id: string;
    readonly log: Logger;
  };
  /** Applies the journal settings of the current configuration. */
  renew(): void;
  /** Stores what is queued, then ends; decisions are accepted until then. Never rejects. */
  close(): Promise<void>;
}

function startJournal(start: JournalStart): StartedJournal {
  const { config, registry, node_id, now, monotonic_ms, classes } = start;
  const { fuel_limit } = config.platform.overseer;
  const { chain_fuel_limit } = config.policy;
  const log = start.log.child({ part: "journal" });
  const place = new JournalPlace({ ...start, lives: start.life.lives, own: start.life, log });
  const totals = new JournalTotals();
  const queue = new JournalQueue({
    owner: { node: node_id, meter_version: METER_VERSION, fuel_limit, chain_fuel_limit },
    store: () => place.store(),
    keys: () => place.keys(),
    queue_bytes: config.journal.queue_bytes,
    flush_ms: config.journal.flush_ms,
    totals,
    log,
    now,
    monotonic_ms,
  });
  // If there was no decision, none can be missing.
  let living: LivingPart | undefined;
  totals.register(registry, () => queue.bytes, () => place.keys_held, () => place.unkept);
  const rules = new JournalRules(config.journal);
  const first_writes: Pick<JournalQueue, "write"> = {
    write(tenant_id, keeping, entry) {
      living ??= start.life.begin("journal", () => queue.sure_ms - IN_DECISION_MS);
      queue.write(tenant_id, keeping, entry);
    },
  };
  const terms = new TermsOf(start);
  return {
    journal: new Journal({ rules, classes, queue: first_writes, terms, now }),
    admin: { place, node_id, log },
    renew() {
      rules.renew();
      terms.renew();
    },
    async close() {
      const is_whole = await queue.close(CLOSE_MS);
      living?.end(is_whole);
      await place.close();
    },
  };
}

/** The live keys: which decisions are written, and the settings that every decision depends on. */
const KEYS: readonly LiveKey[] = [
  ...RATE_KEYS,
  ...liveKeysOf("quota"),
  ...liveKeysOf("journal"),
];

/** The journal of decisions about messages. */
export const JOURNAL: Capability<StartedJournal> = {
  name: "journal",
  title: "decisions about messages",
  config: ["journal"],
  room_class: ["journal", "journal_share", "journal_ttl_seconds", "journal_payload"],
  stores: ["ARQON_JOURNAL", "ARQON_JOURNAL_KEYS"],
  admin: { tables: [JOURNAL_ROUTES], tags: { journal: "decisions about messages" } },
  open(env, { node_id, life, rooms: { classes }, settings, running }) {
    const mirror = running.of(MIRROR)?.admin?.rules;
    const actions = actionsOf(env.capabilities);
    const started = startJournal({ ...env, node_id, life, classes, actions, settings, mirror });
    const { journal, admin, renew, close } = started;
    const { place } = admin;
    return {
      own: started,
      gives: { journal },
      observer: journal,
      keeps: [{
        name: "journal",
        open: () => place.store(),
        stays: "all decisions, until [journal] retention_days: the journal does not erase by room",
        eraseUser: async (tenant_id, user_id) =>
          await (await place.keys()).erase(tenant_id, user_id),
        leavesOf: async (tenant_id, block) =>
          (await linesOf({ keys: () => place.keys() }, tenant_id, block))
            .map((line) => ({ sha256: payloadHash(canonicalJson(line)) })),
      }],
      start: ({ logs }) => ({
        routes: JOURNAL_ROUTES.serve({ ...admin, logs }),
        follow: (changes) => changes.follow(KEYS, renew),
      }),
      close,
    };
  },
};
