/**
 * The attacks of the gallery: a description of each, and how to start it on a running bus. A new attack is an entry of
 * `ATTACKS`; `attacker.ts` carries it out.
 */
import { field, gzippedSet } from "../../shield/schema/testing/messages.ts";
import type { TestBus } from "../harness/bus.ts";
import type { Bytes } from "../peers/hostile_bytes.ts";
import { type PolicyAdmin, policyAdmin } from "../peers/policy_admin.ts";
import { openText } from "../peers/raw_client.ts";
import type { Order } from "./attacker.ts";
import { COSTLY_WORK } from "./costly_work.ts";
import {
  burner,
  crossingStores,
  endlessInit,
  growing,
  longHeaderName,
  payloadHammer,
  sharedKey,
  stateHammer,
  subnormals,
  trapWithExports,
  trapWithTable,
  wastedInit,
} from "./modules.ts";

/** What an attack may use. */
export interface Ground {
  readonly bus: TestBus;
  /** For the attack's files; removed with the gallery. */
  readonly dir: string;
}

/** The attacker's order, or why the bus already refused the preparation. */
export type Begun = { readonly order: Order } | { readonly refused: string };

/** One attack. */
export interface Attack {
  readonly name: string;
  /** A short description for the table. */
  readonly says: string;
  begin(ground: Ground): Promise<Begun>;
}

/** More than the bus's limit of open files, in rounds of at most that many. */
const STRANGERS_AT_ONCE = 2_500;
const HALF_A_REQUEST = "GET /v1/socket HTTP/1.1\r\nHost: bus\r\nX-Slow: ";
/** Hostile tenants with the same policies, and messages per second of each. */
const TENANTS = 2;
const RATE = 50;

function strangers(
  name: string,
  says: string,
  url: (bus: TestBus) => string,
  text = "",
): Attack {
  const orderAt = (bus: TestBus): Order => ({
    kind: "strangers",
    url: url(bus),
    at_once: STRANGERS_AT_ONCE,
    says: text,
  });
  return { name, says, begin: ({ bus }) => Promise.resolve({ order: orderAt(bus) }) };
}

/** Rounds of a module that repeats its work: tried in this order until a message passes. */
const ROUNDS = [128, 96, 64, 48, 32, 24, 16, 12, 8, 4, 2, 1];

/** The module's hash, or why it was refused. */
async function upload(admin: PolicyAdmin, bytes: Bytes): Promise<string | { refused: string }> {
  const { status, body } = await admin.upload(bytes);
  return status === 200 ? String(body["sha256"]) : { refused: String(body["detail"]) };
}

/** The hash of the module with the most rounds whose messages are still allowed. */
async function dearestAllowed(
  { bus }: Ground,
  admin: PolicyAdmin,
  name: string,
  make: (rounds: number) => Bytes,
): Promise<string | { refused: string }> {
  for (const rounds of ROUNDS) {
    const sha256 = await upload(admin, make(rounds));
    if (typeof sha256 !== "string") return sha256;
    // One tenant for each, so that no breaker remembers the previous one.
    const tenant = `${name}-try-${rounds}`;
    const { status, body } = await admin.post("deploy", { tenant, name: "p", sha256 });
    if (status !== 200) return { refused: String(body["detail"]) };
    using client = await openText(bus.url, await bus.tokenFor({ tenant }));
    client.send({ op: "pub", room: "r", data: "judged", id: 1 });
    const { code } = await client.json();
    if (code === 0) return sha256;
  }
  return { refused: "no message passes, even with one round" };
}

/** Messages of each hostile tenant through `chain` policies in a row. */
function policies(
  name: string,
  says: string,
  module: (() => Bytes) | { readonly rounds: (rounds: number) => Bytes },
  chain = 1,
): Attack {
  return {
    name,
    says,
    async begin(ground) {
      const { bus } = ground;
      const admin = await policyAdmin(bus);
      const sha256 = typeof module === "function"
        ? await upload(admin, module())
        : await dearestAllowed(ground, admin, name, module.rounds);
      if (typeof sha256 !== "string") return sha256;
      const tokens: string[] = [];
      for (let at = 0; at < TENANTS; at++) {
        const tenant = `${name}-${at}`;
        tokens.push(await bus.tokenFor({ tenant }));
        for (let place = 0; place < chain; place++) {
          const policy = { tenant, name: `p${place}`, sha256 };
          const { status, body } = await admin.post("deploy", policy);
          if (status !== 200 && place === 0) return { refused: String(body["detail"]) };
          // The accepted part of the chain is an attack, too.
          if (status !== 200) break;
        }
      }
      // Each type is a different key for a policy that keeps state by type.
      const frames = ['{"op":"pub","room":"r","type":"t%n","data":"judged","id":1}'];
      const clients = tokens.map((token) => ({ token, frames }));
      return { order: { kind: "frames", url: bus.url, clients, rate: RATE } };
    },
  };
}

function flood(name: string, says: string, frames: "publications" | "pings" | "garbage"): Attack {
  return {
    name,
    says,
    async begin({ bus }) {
      const token = await bus.tokenFor({ tenant: name });
      return { order: { kind: "flood", url: bus.url.replace(/^ws/, "http"), token, frames } };
    },
  };
}

const MESSAGES = 9_000;
const FIELDS = 19;

/** A valid schema of a few kilobytes with the maximum number of fields. */
function crowdedSchema(): Bytes {
  const fields = Array.from({ length: FIELDS }, (_none, at) => field(`f${at}`, at + 1, "int32"));
  const messages = Array.from({ length: MESSAGES }, (_none, at) => ({
    name: `M${at}`,
    field: fields,
  }));
  return gzippedSet(messages);
}

const crowdedSchemas: Attack = {
  name: "crowded-schema",
  says: `a schema of ${MESSAGES} messages with ${FIELDS} fields, pushed again and again`,
  async begin({ bus, dir }) {
    const body = { file: `${dir}/crowded.binpb.gz`, type: "application/gzip" };
    await Deno.writeFile(body.file, crowdedSchema());
    const token = await bus.tokenFor({ role: "admin", user: "root" });
    const url = `${bus.admin_url}/v1/schemas/crowded`;
    return { order: { kind: "requests", method: "PUT", url, token, at_once: 1, body } };
  },
};

/** All attacks, in the table's order. */
export const ATTACKS: readonly Attack[] = [
  strangers("idle", "connections that say nothing, in turns", ({ http_url }) => http_url),
  strangers(
    "half-requests",
    "connections that begin a request and do not end it",
    ({ http_url }) => http_url,
    HALF_A_REQUEST,
  ),
  strangers("idle-ops", "connections to the ops port that say nothing", ({ ops_url }) => ops_url),
  strangers(
    "idle-admin",
    "connections to the admin port that say nothing",
    ({ admin_url }) => admin_url,
  ),
  policies("long-header-name", "policies that ask for a header of 4 MiB", longHeaderName),
  policies("subnormals", "policies that multiply the smallest floats", { rounds: subnormals }),
  policies("crossing-stores", "policies that store across pages", { rounds: crossingStores }),
  policies("burners", "chains of 64 policies that use their fuel", { rounds: burner }, 64),
  policies(
    "trap-exports",
    "policies that trap and have 120,000 exports",
    () => trapWithExports(120_000),
  ),
  policies(
    "trap-table",
    "policies that trap and fill a table of 10,000 functions nine times",
    () => trapWithTable(10_000, 9),
  ),
  policies("state-hammer", "policies that write the largest state under ever new keys", {
    rounds: stateHammer,
  }),
  policies("shared-key", "chains of 8 slow policies that wait for one key", {
    rounds: sharedKey,
  }, 8),
  policies("payload-hammer", "policies that replace the payload by large ones", {
    rounds: payloadHammer,
  }),
  policies("endless-init", "policies whose initialisation never ends", endlessInit),
  policies("wasted-init", "policies that waste instances of a long initialisation", wastedInit),
  policies("growing", "policies that need an instance of 4 MiB for each call", growing),
  flood("flood-publications", "one connection publishes at full speed", "publications"),
  flood("flood-pings", "one connection pings at full speed", "pings"),
  flood("flood-garbage", "one connection sends what nobody reads, also when closed", "garbage"),
  crowdedSchemas,
  ...COSTLY_WORK,
];
