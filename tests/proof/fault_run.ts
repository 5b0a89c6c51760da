/**
 * The script of `deno task chaos --focus proof`: rooms with logs get messages without a pause while their servers are
 * killed and frozen. Two witnesses, readers that keep each checkpoint, and the SDK's verification run, too. No
 * accusation may occur, because the run is honest.
 */
import { connect } from "@arqon/sdk";
import { ProofError, VerifiedLog } from "@arqon/sdk/proof";
import {
  type Checkpoint,
  encodeVerifier,
  type Signer,
  type Verifier,
  verifierOf,
} from "@arqon/proto";
import { generateKeyPairSync } from "node:crypto";
import { payloadHash } from "../../shared/proof/entry.ts";
import { type TreeFiles, TreeReader } from "../../shared/proof/reader.ts";
import { pemKey } from "../../shared/proof/signing.ts";
import { pace } from "../../shared/testing/pace.ts";
import { becomes, insist, until } from "../../shared/testing/until.ts";
import type { FaultKind, ServerCount } from "../faults/fault.ts";
import type { Say } from "../harness/task.ts";
import type { Verdict } from "../harness/verdict.ts";
import { createRandom, type Random } from "../presence_simulation/random.ts";
import { embedded, type FaultWorld, onNats } from "./fault_world.ts";
import { textsOf, treeUrl } from "./served.ts";
import { twoWitnesses } from "./two_witnesses.ts";

/** The plan of a run. */
export interface ProofFaultPlan {
  readonly seconds: number;
  /** Of NATS; 0: one embedded bus. */
  readonly servers: 0 | ServerCount;
  readonly rooms: number;
  readonly seed: number;
  /** Puts an older copy of the data back, which has to be found. */
  readonly rewinds?: boolean;
}

const ORIGIN = "bus.example";
/** A burst of messages of a room, and the pause after it. */
const BURST = 5;
const EVERY_MS = 200;
const LOOK_MS = 500;
/** Of a request, and of all its tries: longer than every fault, with the start of a process on a busy machine. */
const ASK_MS = 5_000;
const INSIST_MS = 120_000;
/** Longer than a log stays with a Shield that is frozen: five seconds. */
const AWAY_MS: Readonly<Record<"kill" | "stop", readonly [least: number, most: number]>> = {
  kill: [100, 3_000],
  stop: [500, 12_000],
};
const CALM_MS = [500, 5_000] as const;
/** What an honest bus does not log. */
const WRONG =
  /^.*(?:is not the one that was signed|has signed another|does not continue as|ended by itself|uncaught).*$/gm;
const CONFIG = `
[limits]
messages_per_second = 100_000
user_messages_per_second = 100_000
[[rooms]]
room = "bets-*"
durable = true
history_size = 1_000_000
history_ttl_seconds = 86_400
proof = true
proof_public = true
`;

interface Room {
  readonly name: string;
  readonly tree: string;
  readonly verifier: Verifier;
  /** The offsets of acknowledged messages, by their content. */
  readonly taken: Map<number, number>;
  /** Messages that the SDK has verified, and how often it began again. */
  verified: number;
  begun: number;
  /** The newest tree that was read, and the checkpoints before it. */
  newest: TreeReader | undefined;
  readonly kept: Checkpoint[];
}

interface Run {
  readonly world: FaultWorld;
  readonly random: Random;
  readonly rooms: readonly Room[];
  readonly problems: string[];
  readonly faults: Map<string, number>;
  /** How long the SDK waits for an entry. */
  readonly wait_ms: number;
  /** Readers end first, then publishers. */
  is_over: boolean;
  is_still: boolean;
}

const messageOf = (error: unknown) => error instanceof Error ? error.message : String(error);

/** The first answer of any process. */
const asked = (
  { world: { places }, random }: Run,
  path: string,
  init: RequestInit = {},
): Promise<Uint8Array> =>
  insist(
    path,
    async () => {
      const { http_url, token } = random.pick(places);
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const signal = AbortSignal.timeout(ASK_MS);
      const answer = await fetch(`${http_url}${path}`, { ...init, headers, signal });
      const bytes = new Uint8Array(await answer.arrayBuffer());
      if (answer.ok) return bytes;
      throw new Error(`${answer.status} ${new TextDecoder().decode(bytes)}`);
    },
    () => true,
    INSIST_MS,
  );

const filesOf = (run: Run, { tree }: Room): TreeFiles => (path) =>
  asked(run, `/v1/proof/${tree}/${path}`);

/** Publishes until the run is over; each message again until it is answered. */
async function publishing(run: Run, room: Room): Promise<void> {
  for (let n = 0; !run.is_still; n += BURST) {
    await Promise.all(Array.from({ length: BURST }, async (_, at) => {
      const message = { type: "t", message_id: `m-${n + at}`, data: { n: n + at } };
      const init = { method: "POST", body: JSON.stringify(message) };
      const ack = await asked(run, `/v1/rooms/${room.name}/messages`, init);
      room.taken.set(n + at, JSON.parse(new TextDecoder().decode(ack)).offset);
    }));
    await pace(EVERY_MS);
  }
}

/** Reads checkpoints, and that each continues the one before, or is continued by it: an older one may be served. */
async function watching(run: Run, room: Room): Promise<void> {
  for (; !run.is_over; await pace(LOOK_MS)) {
    const tree = await TreeReader.open(filesOf(run, room), room.verifier);
    const { newest } = room;
    if (newest !== undefined && newest.checkpoint.size > tree.checkpoint.size) {
      await newest.continues(tree.checkpoint);
      continue;
    }
    if (newest !== undefined) await tree.continues(newest.checkpoint);
    if (newest?.checkpoint.size !== tree.checkpoint.size) room.kept.push(tree.checkpoint);
    room.newest = tree;
  }
}

/** A program that verifies while it subscribes; it retries every error but an accusation. */
async function verifying(run: Run, room: Room): Promise<void> {
  const { world: { front: { url, http_url, token } } } = run;
  let checkpoint: string | undefined;
  while (!run.is_over) {
    const log = new VerifiedLog({
      url: treeUrl({ http_url }, room.tree),
      vkeys: [encodeVerifier(room.verifier)],
      wait_ms: run.wait_ms,
      ...(checkpoint === undefined ? {} : { checkpoint }),
    });
    room.begun++;
    try {
      await using client = await connect({ url, token });
      for await (const _ of log.verify(client.room(room.name).subscribe())) {
        room.verified++;
        if (run.is_over) break;
      }
    } catch (error) {
      if (error instanceof ProofError) throw error;
      await pace(LOOK_MS);
    }
    checkpoint = log.checkpoint ?? checkpoint;
  }
}

/** Kills and freezes one of them after the other. */
async function hurting(run: Run, group: readonly string[], until_ms: number): Promise<void> {
  const { world, random, faults, problems } = run;
  while (performance.now() < until_ms && problems.length === 0) {
    const kind: FaultKind & keyof typeof AWAY_MS = random.chance(0.5) ? "kill" : "stop";
    const target = random.pick(group);
    await world.hurt({ target, kind, away_ms: random.int(...AWAY_MS[kind]) });
    const name = `${kind} ${target}`;
    faults.set(name, (faults.get(name) ?? 0) + 1);
    await pace(random.int(...CALM_MS));
  }
}

async function hurtingAll(run: Run, seconds: number): Promise<void> {
  const until_ms = performance.now() + seconds * 1_000;
  await Promise.all(run.world.groups.map((group) => hurting(run, group, until_ms)));
}

/** Does the work, and waits for newer checkpoints: without one, a reader cannot detect an older copy. */
async function untilNewer({ rooms }: Run, work: () => Promise<void>): Promise<void> {
  const sizes = () => rooms.map(({ newest }) => newest?.checkpoint.size ?? 0);
  const before = sizes();
  await work();
  await until("newer checkpoints", () => sizes().every((size, at) => size > before[at]!));
}

/** When all is calm: both witnesses have cosigned the whole log, which has each message of the room, and no break. */
async function judge(
  run: Run,
  room: Room,
  witnesses: Awaited<ReturnType<typeof twoWitnesses>>,
): Promise<number> {
  const { name, tree, verifier, taken, kept } = room;
  const files = filesOf(run, room);
  const last = await witnesses.cosigned(files, verifier, taken.size);
  for (const checkpoint of kept) await last.continues(checkpoint);
  const hashes = new Map<number, string>();
  const breaks: string[] = [];
  let behind = 0;
  for await (const { entry } of last.whole()) {
    if ("break" in entry) {
      breaks.push(`${JSON.stringify(entry)} behind ${behind}`);
      continue;
    }
    behind = entry.offset;
    hashes.set(entry.offset, entry.sha256);
  }
  const texts = await textsOf(run.world.places[0]!, name);
  const there = new Map<number, number>();
  for (const text of texts) {
    const { offset, data: { n } } = JSON.parse(text);
    there.set(offset, n);
    const hash = hashes.get(offset);
    if (hash !== payloadHash(text)) throw new Error(`the log has ${hash} of message ${offset}`);
  }
  const lost = [...taken].filter(([n, offset]) => there.get(offset) !== n);
  if (lost.length + breaks.length > 0) {
    const first = lost.slice(0, 5).map(([, offset]) => offset).join(", ");
    const detail = `the log says ${breaks.join(", ") || "no break"}`;
    throw new Error(
      `of ${taken.size} acknowledged messages ${lost.length} lack (${first}); ${detail}`,
    );
  }
  if (hashes.size > texts.length) throw new Error(`${tree} has more than the room`);
  return hashes.size;
}

/** Rooms whose logs that key signs. */
const roomsOf = (count: number, tenant: string, pem: string): Room[] =>
  Array.from({ length: count }, (_, at) => {
    const tree = `${tenant}.bets-${at}`;
    const { public_key } = pemKey(pem, `${ORIGIN}/${tree}`) as Signer;
    const verifier = verifierOf(`${ORIGIN}/${tree}`, public_key);
    const counts = {
      taken: new Map<number, number>(),
      verified: 0,
      begun: 0,
      newest: undefined,
      kept: [],
    };
    return { name: `bets-${at}`, tree, verifier, ...counts };
  });

/** Runs it all. Rejects only when what serves does not start or start again. */
export async function runProofFaults(plan: ProofFaultPlan, say: Say): Promise<Verdict> {
  const { seconds, servers, seed } = plan;
  const random = createRandom(seed);
  const dir = await Deno.makeTempDir({ prefix: "arqon-proof-" });
  await using witnesses = await twoWitnesses();
  const { privateKey } = generateKeyPairSync("ed25519");
  const pem = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  await Deno.writeTextFile(`${dir}/proof.pem`, pem, { mode: 0o600 });
  const config =
    `${witnesses.config}origin = "${ORIGIN}"\nkey_file = "${dir}/proof.pem"\n${CONFIG}`;
  await using world = await (servers === 0 ? embedded(config) : onNats(servers, config, dir));
  const rooms = roomsOf(plan.rooms, world.tenant, pem);
  witnesses.logs.push(...rooms.map(({ verifier }) => verifier));
  const run: Run = {
    world,
    random,
    rooms,
    problems: [],
    faults: new Map(),
    wait_ms: plan.rewinds === true ? ASK_MS : INSIST_MS,
    is_over: false,
    is_still: false,
  };
  const { problems } = run;
  const noted = (work: (run: Run, room: Room) => Promise<void>) =>
    rooms.map((room) =>
      work(run, room).catch((error) =>
        void problems.push(`${work.name} ${room.name}: ${messageOf(error)}`)
      )
    );
  const publishers = noted(publishing);
  const readers = [...noted(watching), ...noted(verifying)];
  const hurt = () => hurtingAll(run, seconds);
  if (plan.rewinds === true) await world.rewind?.(() => untilNewer(run, hurt));
  else await hurt();
  const before = rooms.map(({ verified }) => verified);
  const isRead = () => rooms.every(({ verified }, at) => verified > before[at]!);
  if (!await becomes(() => isRead() || problems.length > 0, INSIST_MS)) {
    problems.push(`rooms are not read any more: ${rooms.map(({ verified }) => verified)}`);
  }
  run.is_over = true;
  await Promise.all(readers);
  run.is_still = true;
  await Promise.all(publishers);
  const entries = problems.length > 0
    ? []
    : await Promise.all(rooms.map((room) =>
      judge(run, room, witnesses).catch((error) => {
        problems.push(`${room.name}: ${messageOf(error)}`);
        return 0;
      })
    ));
  for (const fork of witnesses.forks) {
    problems.push(`a witness has seen a fork:\n${fork.join("\n")}`);
  }
  problems.push(...(await world.logs()).match(WRONG) ?? []);
  const sum = (count: (room: Room) => number) => rooms.reduce((all, one) => all + count(one), 0);
  say(`faults    ${[...run.faults].map(([name, count]) => `${name} ${count}`).join(", ")}`);
  const judged = entries.length === 0 ? "not judged" : `${entries.join(" + ")} entries are right`;
  say(`taken     ${sum(({ taken }) => taken.size)} messages; ${judged}`);
  say(`read      ${sum(({ kept }) => kept.length)} checkpoints, each continued by all later ones`);
  say(
    `verified  ${sum(({ verified }) => verified)} messages by the SDK, which began ${
      sum(({ begun }) => begun)
    } times`,
  );
  return { problems, seed, dir };
}
